//! A system of programs on Kubernetes: each service is a Deployment of one pod behind a Service.
//!
//! ```text
//! harness --- folder of the service, mounted into its pod ------> credentials, data, control socket
//!        \--- kube-rs: scale, delete --------------------------> Deployment --> pod: this executable
//!         \-- TCP to an address of the Service's own -> kube-proxy ----------/
//! Secrets --- kubelet ------------------------------------------> credentials, where a mount is one: see `secrets`
//! pods ------ TCP to the Service, by its name in DNS -> kube-proxy ----------/
//! ```
//!
//! A Service leads to its pod whether that is ready or not: that a certificate has expired has to be seen by
//! whoever calls, and not only by the kubelet.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service as Front};
use kube::Api;
use serde_json::{Value, json};
use testcontainers::bollard::Docker;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Kubernetes, Member, Nodes, Spec, access,
    cluster::{Holding, Place},
    guest::{self, Joined},
    look, manifests, network, node,
    secrets::{self, Secrets},
    up,
    workload::{NAMESPACE, Workload},
};
use crate::{
    error::{Context, Error, Result},
    history::Recorder,
    multicall::is_foreign,
    run::{RunFolder, write_private},
    runtime::{
        Cluster, Pod, Runtime,
        containers::{
            control, elf, engine,
            init::{ADDRESS, LAUNCH, ONCE, POD},
        },
        launch, lay_out,
        layout::mount_folder,
        observer,
    },
    service::{HEALTH_PORT, RUN},
    system::{Service, System},
};

/// The folders of all runs beside this one, as seen in a node.
pub(super) const RUNS: &str = "/runs";
/// The run's logs, as seen in a pod.
const LOGS: &str = "/run-logs";
/// A service's folder, as seen in its pod.
const FOLDER: &str = "/pod";
/// What this executable needs of a node, in whose image it runs as in its own.
const LIBRARIES: [&str; 3] = ["/lib", "/lib64", "/usr/lib"];
/// What a server that others wrote needs of it beside that: its program, and whom to become where it was root.
const OF_OTHERS: [(&str, &str); 3] =
    [("/usr/sbin", "Directory"), ("/etc/passwd", "File"), ("/etc/group", "File")];
/// How long a kubelet waits at most if nobody says otherwise.
const USUAL: Duration = Duration::from_mins(5);
/// How often a kubelet looks whether a Secret was replaced, where there are any: people who wait for it have not got
/// the minute and more that is usual.
pub(super) const LOOKS: Duration = Duration::from_secs(1);
/// Nodes for the pods, beside that of the control plane.
const WORKERS: usize = 2;

/// Brings a cluster up, or goes into one that is held up, and puts every service of the system into it, without a pod
/// yet.
pub(super) async fn create(system: &System, folder: &RunFolder, recorder: &Recorder) -> Result<Cluster> {
    let has_secrets = system.services.iter().flat_map(|service| service.mounts.values()).any(|it| it.secret);
    let looks = has_secrets.then_some(LOOKS);
    let spec = Spec { workers: WORKERS, patience: patience(system), looks, ..Spec::default() };
    let (ground, host) = match guest::asked_for(folder) {
        Some(host) => joined(host, folder, &spec).await?,
        None => (own(&spec, folder).await?, folder.clone()),
    };
    access::settled(&ground.client, ground.members.len()).await?;
    let addresses = network::addresses(&ground.docker, &host, system.services.len()).await?;
    let (tasks, pods) = (JoinSet::new(), BTreeMap::new());
    let mut making = Making { ground, folder, system, recorder, tasks, pods };
    for (number, (service, address)) in system.services.iter().zip(addresses).enumerate() {
        making.put(number, service, address).await?;
    }
    Ok(making.finish())
}

/// How long kubelets wait at most before they start again what crashed: as long as the most patient of the
/// services, so that a scaled incident has a scaled backoff. Whole seconds, as they take it.
fn patience(system: &System) -> Option<Duration> {
    let cap = system.own().map(|service| service.restart.cap.0).max()?;
    Some(Duration::from_secs(cap.as_secs().max(1))).filter(|cap| *cap < USUAL)
}

/// The cluster that pods are put into.
struct Ground {
    docker: Docker,
    /// The control plane first.
    members: Vec<Member>,
    client: kube::Client,
    holding: Holding,
}

/// A cluster of the run's own.
async fn own(spec: &Spec, folder: &RunFolder) -> Result<Ground> {
    let Kubernetes { docker, members, client, place, .. } = up(spec, folder).await?;
    Ok(Ground { docker, members, client, holding: Holding::Own(place) })
}

/// One that is held up, and whose it is.
async fn joined(host: RunFolder, folder: &RunFolder, spec: &Spec) -> Result<(Ground, RunFolder)> {
    let docker = engine::connect()?;
    elf::put(folder)?;
    let Joined { members, client, host, guest } = guest::join(host, folder, spec).await?;
    Ok((Ground { docker, members, client, holding: Holding::Guest(guest) }, host))
}

struct Making<'a> {
    ground: Ground,
    folder: &'a RunFolder,
    system: &'a System,
    recorder: &'a Recorder,
    tasks: JoinSet<()>,
    pods: BTreeMap<String, Pod>,
}

impl Making<'_> {
    async fn put(&mut self, number: usize, service: &Service, address: Ipv4Addr) -> Result<()> {
        let (folder, name) = (self.folder, &service.name);
        let home = folder.service(name);
        lay_out(self.system, service, &home, IpAddr::V4(Ipv4Addr::UNSPECIFIED), &str::to_owned)?;
        let log = PathBuf::from(LOGS).join(format!("{name}.log"));
        let launch = launch(service, folder.id(), PathBuf::from(FOLDER).join("config.json"), log);
        write_private(&home.join(LAUNCH), &serde_json::to_vec(&launch).context(|| "launch".into())?)?;
        let door =
            control::listen(&home).context(|| format!("cannot make the control socket of `{name}`"))?;

        let workers: Vec<_> =
            self.ground.members.iter().filter(|member| !member.has_control_plane()).collect();
        let member = workers[number % workers.len()];
        let own = format!("{address}/32");
        // A guest before may have had it.
        node::exec(&self.ground.docker, member, &["ip", "address", "replace", &own, "dev", "eth0"]).await?;
        let client = self.ground.client.clone();
        let put = async {
            look::put::<Front>(
                &Api::namespaced(client.clone(), NAMESPACE),
                &front(service, folder.id(), address),
            )
            .await?;
            let deployment = deployment(service, folder.id(), &member.name);
            look::put::<Deployment>(&Api::namespaced(client.clone(), NAMESPACE), &deployment).await
        };
        put.await.map_err(|why| Error::new(format!("cannot put `{name}` into the cluster: {why}")))?;

        let (supervisor, orders) = mpsc::channel(4);
        let secrets = Secrets::of(folder.id(), service, &home, client.clone(), self.recorder);
        let service = name.clone();
        let workload = Workload { service, client, door, secrets, wanted: false, starts: 0, asked: false };
        self.tasks.spawn(workload.keep(orders, observer(self.recorder, name)));
        let address = IpAddr::V4(address);
        let health = SocketAddr::new(address, HEALTH_PORT);
        let source = Some(home.join(ADDRESS));
        self.pods.insert(name.clone(), Pod { address, health, supervisor, source });
        Ok(())
    }

    fn finish(self) -> Cluster {
        let Ground { docker, members, client, holding } = self.ground;
        let folder = self.folder.clone();
        let nodes = Nodes { docker, folder: folder.clone(), members, set_up: OnceLock::from(Ok(())) };
        let place = Place::of(Arc::new(nodes), Some(client), holding, self.tasks);
        Cluster {
            system: self.system.clone(),
            runtime: Runtime::Kubernetes,
            folder,
            pods: self.pods,
            nodes: None,
            place: tokio::sync::Mutex::new(Some(crate::runtime::Place::Kubernetes(Box::new(place)))),
        }
    }
}

/// The Service that leads to a pod, under an address of its own beside that which Kubernetes gives it.
fn front(service: &Service, run: &str, address: Ipv4Addr) -> Value {
    let doors = service.doors.iter().map(|(mount, port)| (mount.clone(), *port));
    let ports: BTreeMap<u16, String> = doors
        .chain([("tls".to_owned(), service.port()), ("health".to_owned(), HEALTH_PORT)])
        .map(|(name, port)| (port, name))
        .collect();
    let ports = ports.into_iter().map(|(port, name)| json!({"name": name, "port": port}));
    json!({
        "metadata": {"name": service.name, "labels": {engine::RUN: run}},
        "spec": {
            "selector": {"app": service.name},
            "ports": ports.collect::<Vec<_>>(),
            "publishNotReadyAddresses": true,
            "externalIPs": [address],
            // Whoever calls from outside is seen with the address that it calls from.
            "externalTrafficPolicy": "Local",
        },
    })
}

/// The Deployment of a service on a node, with no pod yet.
fn deployment(service: &Service, run: &str, node: &str) -> Value {
    let (selected, labels) = (json!({"app": service.name}), json!({"app": service.name, engine::RUN: run}));
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let here = format!("{RUNS}/{run}");
    let libraries = LIBRARIES.map(|path| (path, path.to_owned(), "Directory", true));
    let of_others = OF_OTHERS.map(|(path, kind)| (path, path.to_owned(), kind, true));
    let of_others = of_others.into_iter().filter(|_| is_foreign(&service.program));
    let shared = [
        ("/notafter", format!("{here}/services/notafter"), "File", true),
        (FOLDER, format!("{here}/services/{}", service.name), "Directory", false),
        (LOGS, format!("{here}/logs"), "Directory", false),
    ];
    let places: Vec<_> = libraries.into_iter().chain(of_others).chain(shared).collect();
    let named = |path: &str| path.trim_start_matches('/').replace('/', "-");
    let mounts = places.iter().map(
        |(path, _, _, read_only)| json!({"name": named(path), "mountPath": path, "readOnly": read_only}),
    );
    let volumes = places
        .iter()
        .map(|(path, from, kind, _)| json!({"name": named(path), "hostPath": {"path": from, "type": kind}}));
    let secrets: Vec<_> = secrets::mounts_of(service).collect();
    let mounts = mounts.chain(secrets.iter().map(|mount| {
        let path = mount_folder(Path::new(FOLDER), mount);
        json!({"name": secrets::name_of(service, mount), "mountPath": path, "readOnly": true})
    }));
    let volumes = volumes.chain(secrets.iter().map(|mount| {
        let name = secrets::name_of(service, mount);
        json!({"name": name, "secret": {"secretName": name, "defaultMode": secrets::MODE}})
    }));
    json!({
        "metadata": {"name": service.name, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": selected},
            // Two at once would be two writers of one store.
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "terminationGracePeriodSeconds": 4,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    // What it writes stays ours, and what root writes for it, it may read.
                    "securityContext": {"runAsUser": user, "runAsGroup": group, "fsGroup": group},
                    "containers": [{
                        "name": "service",
                        "image": manifests::IMAGE,
                        "imagePullPolicy": "Never",
                        "command": ["/notafter"],
                        "env": [
                            {"name": POD, "value": FOLDER},
                            {"name": ONCE, "value": "1"},
                            {"name": ADDRESS, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                            {"name": RUN, "value": run},
                        ],
                        "readinessProbe": {
                            "httpGet": {"path": "/ready", "port": HEALTH_PORT},
                            "periodSeconds": 1,
                        },
                        "volumeMounts": mounts.collect::<Vec<_>>(),
                    }],
                    "volumes": volumes.collect::<Vec<_>>(),
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_are_as_patient_as_the_most_patient_service() {
        let system = |cap: u64| {
            let text = format!(
                "name = \"one\"\nauthorities = [\"mesh\"]\n[[services]]\nname = \"a\"\nprogram = \"a\"\n\
                 serves = \"w\"\nmounts.w.authority = \"mesh\"\n\
                 restart = {{ first = \"50ms\", cap = \"{cap}ms\", reset_after = \"10s\" }}"
            );
            System::from_toml(&text, "test").expect("a system")
        };
        let seconds = [250, 2_500, 300_000].map(|cap| patience(&system(cap)).map(|it| it.as_secs()));
        assert_eq!(seconds, [Some(1), Some(2), None]);
    }
}
