//! The TLS Secrets of a service that runs as pods: what lies in the folders of its mounts, its kubelet delivers.
//!
//! ```text
//! harness --- folder of the mount ---- kube-rs, every 50 ms ----> Secret SERVICE-MOUNT
//! Secret ---- kubelet, about once a second --> folder in the pod, whole, by a link that it moves
//! ```
//!
//! Where no certificate lies there is no Secret either, as where cert-manager is late: a pod that wants it waits for
//! it, and its kubelet says so.

use std::{
    collections::BTreeMap,
    future::pending,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Event, Pod, Secret},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams},
};
use tokio::time::{Instant, sleep, timeout};

use super::{look::words, workload::NAMESPACE};
use crate::{
    error::{Context, Error, Result},
    history::{Recorder, What},
    pki::{Mark, read_files},
    runtime::{containers::engine, layout::mount_folder},
    service::{BUNDLE_FILE, CHAIN_FILE, CRL_FILE, KEY_FILE},
    system::Service,
};

/// Who may read what is delivered: a key that others can read is not used.
pub(super) const MODE: u32 = 0o600;
/// How often the folders are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often is asked what a kubelet says of a Secret that is not there.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A Secret that is not written by then never will be.
const LIMIT: Duration = Duration::from_secs(10);
/// To whom the fields of a Secret belong (server-side apply).
const MANAGER: &str = "notafter";
/// What a kubelet calls it when it cannot mount something.
const REASON: &str = "FailedMount";

/// The Secrets of one service.
pub(super) struct Secrets {
    run: String,
    service: String,
    client: Client,
    recorder: Recorder,
    kept: Vec<Kept>,
    /// When a kubelet was last asked.
    asked: Instant,
}

/// One mount, and the Secret that stands for it.
struct Kept {
    mount: String,
    name: String,
    folder: PathBuf,
    /// What the Secret was made of; none before the first time.
    put: Option<Mark>,
    is_there: bool,
    /// Whether a kubelet has said that a pod waits for it.
    missed: bool,
}

/// The mounts of a service that are Secrets.
pub(super) fn mounts_of(service: &Service) -> impl Iterator<Item = &str> {
    service.mounts.iter().filter(|(_, mount)| mount.secret).map(|(name, _)| name.as_str())
}

/// The name of the Secret that stands for a mount.
pub(super) fn name_of(service: &Service, mount: &str) -> String {
    format!("{}-{mount}", service.name)
}

impl Secrets {
    /// Those of a service whose folder this is. None is there yet.
    pub(super) fn of(run: &str, service: &Service, home: &Path, client: Client, recorder: &Recorder) -> Self {
        let kept = mounts_of(service).map(|mount| Kept {
            mount: mount.to_owned(),
            name: name_of(service, mount),
            folder: mount_folder(home, mount),
            put: None,
            is_there: false,
            missed: false,
        });
        let (service, kept) = (service.name.clone(), kept.collect());
        Self { run: run.to_owned(), service, client, recorder: recorder.clone(), kept, asked: Instant::now() }
    }

    /// Whether one of them is not there.
    pub(super) fn lacks_some(&self) -> bool {
        self.kept.iter().any(|kept| !kept.is_there)
    }

    /// Makes each of them what lies in its folder now.
    ///
    /// # Errors
    /// If the API server refuses one, or does not answer in 10 s.
    pub(super) async fn put(&mut self) -> Result<()> {
        let service = self.service.clone();
        let put = timeout(LIMIT, self.put_all()).await;
        let put = put.unwrap_or_else(|_| Err(Error::new(format!("no answer in {} s", LIMIT.as_secs()))));
        put.context(|| format!("cannot write the Secrets of {service}"))
    }

    /// Does so after a while, and hears what kubelets say of those that are not there. Nothing is lost where nobody
    /// waits for the end: what was not done is done the next time.
    pub(super) async fn keep(&mut self) {
        if self.kept.is_empty() {
            return pending().await;
        }
        sleep(LOOK_EVERY).await;
        // An API server that does not answer now is asked again soon.
        let _ = self.put_all().await;
        let is_missed = self.kept.iter().any(|kept| !kept.is_there && !kept.missed);
        if is_missed && self.asked.elapsed() >= ASK_EVERY {
            self.asked = Instant::now();
            let _ = self.ask().await;
        }
    }

    async fn put_all(&mut self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        for kept in &mut self.kept {
            let mark = Mark::of(&kept.folder);
            if kept.put.as_ref() == Some(&mark) {
                continue;
            }
            let data = data_of(&kept.folder)?;
            let is_there = data.is_some();
            let done = match data {
                Some(data) => {
                    let secret = secret(&kept.name, &self.run, data);
                    let ours = PatchParams::apply(MANAGER).force();
                    secrets.patch(&kept.name, &ours, &Patch::Apply(&secret)).await.map(drop)
                }
                None => match secrets.delete(&kept.name, &DeleteParams::default()).await {
                    Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                    done => done.map(drop),
                },
            };
            done.map_err(|error| Error::new(format!("Secret {}: {}", kept.name, words(error))))?;
            (kept.put, kept.is_there, kept.missed) = (Some(mark), is_there, false);
        }
        Ok(())
    }

    /// Asks what the kubelet says of the pod that waits, if one does, and tells it as what the service will not use:
    /// there is no process that could say it.
    async fn ask(&mut self) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let ours = ListParams::default().labels(&format!("app={}", self.service));
        for pod in pods.list(&ours).await?.items {
            let Some((waits, uid)) = waits_for(&pod).zip(pod.metadata.uid.as_deref()) else { continue };
            let events: Api<Event> = Api::namespaced(self.client.clone(), NAMESPACE);
            let about = format!("involvedObject.uid={uid},reason={REASON}");
            let said = events.list(&ListParams::default().fields(&about)).await?.items;
            for kept in self.kept.iter_mut().filter(|kept| !kept.is_there && !kept.missed) {
                let missing = format!("secret \"{}\" not found", kept.name);
                let mut said = said.iter().filter_map(|event| event.message.as_deref());
                if let Some(said) = said.find(|said| said.contains(&missing)) {
                    kept.missed = true;
                    let (service, mount) = (self.service.clone(), kept.mount.clone());
                    let why = format!("its pod waits, {waits}: {said}");
                    self.recorder.record(What::Rejected { service, mount, why });
                }
            }
        }
        Ok(())
    }
}

/// Why the container of a pod that is to stay does not run, in the words of its kubelet.
fn waits_for(pod: &Pod) -> Option<&str> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

/// What lies in a folder, sense or none, as a TLS Secret has it; none without certificate or key.
fn data_of(folder: &Path) -> Result<Option<BTreeMap<String, ByteString>>> {
    let files = read_files(folder).context(|| format!("cannot read {}", folder.display()))?;
    if files.chain.is_none() || files.key.is_none() {
        return Ok(None);
    }
    let all = [
        (CHAIN_FILE, files.chain),
        (KEY_FILE, files.key),
        (BUNDLE_FILE, files.bundle),
        (CRL_FILE, files.crl),
    ];
    let there = all.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), ByteString(bytes?))));
    Ok(Some(there.collect()))
}

fn secret(name: &str, run: &str, data: BTreeMap<String, ByteString>) -> Secret {
    let labels = BTreeMap::from([(engine::RUN.to_owned(), run.to_owned())]);
    Secret {
        metadata: ObjectMeta { name: Some(name.into()), labels: Some(labels), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".into()),
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Files, Manner, write_bundle_alone, write_files};

    #[test]
    fn half_a_certificate_is_delivered_as_it_is_and_a_bundle_alone_is_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        let torn =
            Files { chain: bytes("-----BEG"), key: bytes("key"), bundle: bytes("roots"), ..Files::default() };
        write_files(folder.path(), &torn, Manner::Swap).expect("written");
        let data = data_of(folder.path()).expect("readable").expect("a Secret");
        let names: Vec<_> = data.keys().map(String::as_str).collect();
        assert_eq!(names, [BUNDLE_FILE, CHAIN_FILE, KEY_FILE]);
        assert_eq!(data[CHAIN_FILE].0, b"-----BEG");
        write_bundle_alone(folder.path(), "roots").expect("written");
        assert!(data_of(folder.path()).expect("readable").is_none());
    }

    #[test]
    fn a_pod_waits_until_its_container_runs_or_it_is_to_go() {
        let pod = |status: &str, deleted: &str| -> Pod {
            let text = format!(
                r#"{{"metadata": {{"name": "a"{deleted}}}, "status": {{"containerStatuses": [{{"name": "s",
                "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {status}}}]}}}}"#
            );
            serde_json::from_str(&text).expect("a pod")
        };
        let waiting = r#"{"waiting": {"reason": "ContainerCreating"}}"#;
        assert_eq!(waits_for(&pod(waiting, "")), Some("ContainerCreating"));
        let deleted = r#", "deletionTimestamp": "2026-01-26T20:55:00Z""#;
        assert_eq!(waits_for(&pod(waiting, deleted)), None);
        assert_eq!(waits_for(&pod(r#"{"running": {}}"#, "")), None);
    }
}
