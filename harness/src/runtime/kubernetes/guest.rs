//! A run as a guest: its services are pods of a cluster that another run holds up. It has that for itself, and leaves it
//! as it was, after `kill -9` as well.
//!
//! ```text
//! folder of the host:  cluster.json   what a guest must know     guest   the run that is there
//! folder of a guest:   host           the folder of its host, as long as it is there
//! ```

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Pod, Secret, Service},
    },
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout};

use super::{CONTROL_PLANE, Member, SUPER_ADMIN, Spec, access, look::words, node, workload::NAMESPACE};
use crate::{
    error::{Context, Error, Result},
    run::RunFolder,
    runtime::containers::engine,
};

/// The environment variable that names the run whose cluster is to be used: `kube-58d9e123`.
pub const CLUSTER: &str = "NOTAFTER_KUBE_CLUSTER";
const HOSTING: &str = "cluster.json";
const GUEST: &str = "guest";
const HOST: &str = "host";
/// How long the pods of a guest may take to go, on a machine that is busy.
const GONE: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Nobody waits longer for a cluster that is going away itself.
const LEFT: Duration = Duration::from_secs(50);

/// What a guest must know of a cluster.
#[derive(Serialize, Deserialize)]
struct Hosting {
    /// The control plane first.
    members: Vec<Member>,
    patience: Option<Duration>,
    looks: Option<Duration>,
}

/// A run that is a guest.
pub(super) struct Guest {
    /// Of the run.
    folder: RunFolder,
    host: RunFolder,
    client: Client,
}

/// The cluster of a host.
pub(super) struct Joined {
    pub members: Vec<Member>,
    pub client: Client,
    /// Whose network it is.
    pub host: RunFolder,
    pub guest: Guest,
}

/// Lets guests into a cluster.
pub(super) fn open(folder: &RunFolder, spec: &Spec, members: &[Member]) -> Result<()> {
    let hosting = Hosting { members: members.to_vec(), patience: spec.patience, looks: spec.looks };
    let text = serde_json::to_vec(&hosting).context(|| "what guests must know".into())?;
    let path = folder.path().join(HOSTING);
    fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
}

/// The host that a run is to have, if somebody asks for one.
pub(super) fn asked_for(folder: &RunFolder) -> Option<RunFolder> {
    let id = env::var(CLUSTER).ok().filter(|id| !id.is_empty())?;
    let beside = folder.path().parent().unwrap_or(Path::new("/"));
    Some(RunFolder::open(&beside.join(id)))
}

/// Goes into the cluster of a host. What a guest before has left there is removed first.
///
/// # Errors
/// If there is no such cluster, it is not what is wanted, or another guest is there.
pub(super) async fn join(host: RunFolder, folder: &RunFolder, wanted: &Spec) -> Result<Joined> {
    let path = host.path().join(HOSTING);
    let told = fs::read(&path).ok().filter(|_| host.in_use()).ok_or_else(|| {
        let runs = host.path().parent().unwrap_or(Path::new("/")).display();
        Error::usage(format!("{CLUSTER}={}: no cluster of that name is held up below {runs}", host.id()))
            .hint("`notafter kube --hold` makes one and says what it is called; runs have to be in the same folder")
    })?;
    let hosting: Hosting =
        serde_json::from_slice(&told).context(|| format!("cannot understand {}", path.display()))?;
    fits(&hosting, wanted).map_err(|(what, hint)| {
        Error::usage(format!("cluster {} is not what this system wants: {what}", host.id())).hint(hint)
    })?;
    let there = RunFolder::open(&host.path().with_file_name(text_in(&host.path().join(GUEST))));
    if there.id() != host.id() && there.in_use() {
        return Err(Error::usage(format!("cluster {} has a guest already: {}", host.id(), there.id()))
            .hint("one at a time: wait for it, or hold up another cluster"));
    }
    let client = client(&host, &hosting).await?;
    remove(&client, engine::RUN).await.context(|| format!("cannot clear cluster {}", host.id()))?;
    let note = |path: PathBuf, text: &str| fs::write(&path, text).context(|| path.display().to_string());
    note(folder.path().join(HOST), &host.path().to_string_lossy())?;
    note(host.path().join(GUEST), folder.id())?;
    let guest = Guest { folder: folder.clone(), host: host.clone(), client: client.clone() };
    Ok(Joined { members: hosting.members, client, host, guest })
}

/// What is not as it is wanted, and a way out.
fn fits(hosting: &Hosting, wanted: &Spec) -> Result<(), (String, String)> {
    let seconds =
        |it: Option<Duration>, usual: &str| it.map_or(usual.into(), |it| format!("{} s", it.as_secs()));
    if hosting.patience != wanted.patience {
        let [is, wants] = [hosting.patience, wanted.patience].map(|it| seconds(it, "5 min"));
        let what =
            format!("its kubelets wait for up to {is} before they start again what crashed, not {wants}");
        return Err((what, format!("notafter kube --hold --patience {}", wants.replace(' ', ""))));
    }
    if wanted.looks.is_some() && hosting.looks != wanted.looks {
        let [is, wants] = [hosting.looks, wanted.looks].map(|it| seconds(it, "1 min"));
        let what = format!("its kubelets look for new Secrets every {is}, not every {wants}");
        return Err((what, "hold up another one".into()));
    }
    if hosting.members.iter().all(Member::has_control_plane) {
        return Err(("it has no worker".into(), "notafter kube --hold --workers 2".into()));
    }
    Ok(())
}

impl Guest {
    /// Removes everything that the run has made in the cluster, and waits until its pods are gone.
    pub(super) async fn leave(&self) -> Result<()> {
        let ours = format!("{}={}", engine::RUN, self.folder.id());
        remove(&self.client, &ours).await.context(|| format!("cannot leave cluster {}", self.host.id()))?;
        let note = self.host.path().join(GUEST);
        // Who is cleaned up late may have a successor there.
        if text_in(&note) == self.folder.id() {
            let _ = fs::remove_file(note);
        }
        let _ = fs::remove_file(self.folder.path().join(HOST));
        Ok(())
    }
}

/// The same for a run whose harness is gone. Does nothing for one that is no guest, or whose host is gone, too.
///
/// # Errors
/// What could not be removed.
pub(crate) fn leave(folder: &RunFolder) -> Result<()> {
    let host = RunFolder::open(Path::new(&text_in(&folder.path().join(HOST))));
    if host.id().is_empty() || !host.in_use() {
        return Ok(());
    }
    let folder = folder.clone();
    let leaving = async move {
        let told = fs::read(host.path().join(HOSTING)).context(|| "what the host says".into())?;
        let hosting: Hosting = serde_json::from_slice(&told).context(|| "what the host says".into())?;
        let client = client(&host, &hosting).await?;
        let guest = Guest { folder, host, client };
        let late = || Error::new(format!("no end after {} s", LEFT.as_secs()));
        timeout(LEFT, guest.leave()).await.map_err(|_| late())?
    };
    // Whoever cleans up may be within a runtime, which must not wait for another one.
    let apart = std::thread::spawn(|| {
        tokio::runtime::Runtime::new().context(|| "cannot start".into())?.block_on(leaving)
    });
    apart.join().unwrap_or_else(|_| Err(Error::new("whoever leaves the cluster has panicked")))
}

async fn client(host: &RunFolder, hosting: &Hosting) -> Result<Client> {
    let conf = node::on_host(host, CONTROL_PLANE, SUPER_ADMIN)?;
    access::client(&conf, hosting.members[0].address).await
}

fn text_in(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Removes what has a label, and waits until no such pod is left.
async fn remove(client: &Client, label: &str) -> Result<()> {
    let labelled = ListParams::default().labels(label);
    all_of::<Deployment>(client, &labelled).await?;
    all_of::<Service>(client, &labelled).await?;
    all_of::<Secret>(client, &labelled).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let end = Instant::now() + GONE;
    loop {
        let left = pods.list(&labelled).await.map_err(|why| Error::new(words(why)))?.items;
        let Some(one) = left.first() else { return Ok(()) };
        if Instant::now() > end {
            let name = one.metadata.name.as_deref().unwrap_or_default();
            return Err(Error::new(format!("pod {name} is not gone after {} s", GONE.as_secs())));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn all_of<K>(client: &Client, labelled: &ListParams) -> Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    for one in api.list(labelled).await.map_err(|why| Error::new(words(why)))?.items {
        let name = one.meta().name.clone().unwrap_or_default();
        match api.delete(&name, &DeleteParams::background()).await {
            Err(kube::Error::Api(why)) if why.is_not_found() => {}
            done => drop(done.map_err(|why| Error::new(format!("{name}: {}", words(why))))?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn hosting(patience: Option<u64>, nodes: usize) -> Hosting {
        let member = |number| Member {
            name: if number == 0 { CONTROL_PLANE.into() } else { format!("worker-{number}") },
            number,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            container: String::new(),
        };
        let patience = patience.map(Duration::from_secs);
        Hosting { members: (0..nodes).map(member).collect(), patience, looks: None }
    }

    #[test]
    fn a_cluster_that_is_not_what_is_wanted_is_refused_with_a_way_out() {
        let wanted = Spec { patience: Some(Duration::from_secs(1)), ..Spec::default() };
        let refused = |hosting: &Hosting, wanted: &Spec| {
            fits(hosting, wanted).err().map(|(what, hint)| format!("{what}; {hint}"))
        };
        assert_eq!(refused(&hosting(Some(1), 3), &wanted), None);
        let impatient = Spec { looks: Some(Duration::from_secs(1)), ..wanted };
        let all = [
            refused(&hosting(None, 3), &wanted),
            refused(&hosting(Some(1), 1), &wanted),
            refused(&hosting(Some(1), 3), &impatient),
        ];
        insta::assert_snapshot!(all.map(Option::unwrap_or_default).join("\n"));
    }
}
