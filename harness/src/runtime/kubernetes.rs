//! Runtime `kubernetes`: a real cluster in containers, with every certificate of it minted by us.
//!
//! ```text
//! harness --- folders of the run, mounted as /etc/kubernetes ----> node: first process (this executable)
//!       \---- kube-rs, to the node's address ------\               |- containerd, kube-proxy
//!                                                   \              \- kubelet
//!                                                    \----------------- kube-apiserver, etcd, ... (static pods)
//! ```
//!
//! A node is laid out as kubeadm lays it out, so an engineer finds what they know, and `kubeadm certs`
//! works in it. Programs come from the image that `ci/setup kubernetes` makes; nothing is pulled.
//!
//! The system of a scenario is the control plane itself: its components are the services. Or it is made of
//! programs, and each service is a Deployment: see `pods`.

mod access;
mod charge;
mod cluster;
mod component;
mod endpoint;
mod files;
mod guest;
mod health;
mod init;
pub mod look;
mod machine;
mod manifests;
mod network;
mod node;
mod pods;
mod secrets;
mod shown;
mod tokens;
mod workload;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use testcontainers::bollard::Docker;

pub(super) use self::cluster::{Nodes, Place};
pub(crate) use self::guest::leave;
pub use self::{
    component::{ACCOUNTS, CLUSTER_CA, ETCD_CA, FRONT_PROXY_CA, admin, system},
    files::Files,
    guest::CLUSTER,
};
use super::containers::{self, elf, engine, leftovers};
use crate::{
    error::{Error, Result},
    history::Recorder,
    pki::{Credential, Pki, Validity},
    run::RunFolder,
    runtime::Cluster,
    system::System,
};

/// The node with the control plane; of several, the first, on which a cluster is set up.
pub const CONTROL_PLANE: &str = "control-plane";
/// Where kube-apiserver listens.
pub const API_PORT: u16 = 6443;
/// The servers that others wrote and that nodes have, for pods to run.
pub(super) const SERVERS: [&str; 1] = ["nginx"];

/// What is asked of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// How many nodes have a control plane: one or three.
    pub control_planes: usize,
    /// How many nodes there are beside those with a control plane.
    pub workers: usize,
    /// From when to when its leaf certificates are valid.
    pub validity: Validity,
    /// How long a kubelet waits at most before it starts again what crashed, from 1 s on; as usual, which is
    /// from 10 s to 5 min, if none.
    pub patience: Option<Duration>,
    /// How often a kubelet looks whether what its pods have mounted was replaced; as usual, which is every minute or
    /// so, if none.
    pub looks: Option<Duration>,
}

/// A cluster of Kubernetes that is up. Dropped without [`Kubernetes::tear_down`] it is removed all the
/// same, as when its creation is interrupted.
pub struct Kubernetes {
    docker: Docker,
    folder: RunFolder,
    system: System,
    pki: Pki,
    members: Vec<Member>,
    client: kube::Client,
    /// Names what a condition makes in the cluster.
    tried: AtomicU32,
    place: Containers,
}

/// A node of a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    name: String,
    number: usize,
    address: IpAddr,
    container: String,
}

impl Default for Spec {
    /// One control plane, two workers, and a year, as kubeadm has it.
    fn default() -> Self {
        let validity = Validity::lasting(Duration::from_hours(365 * 24));
        Self { control_planes: 1, workers: 2, validity, patience: None, looks: None }
    }
}

impl Spec {
    /// The same, for a cluster that is there for whatever comes: its kubelets look often at what pods have mounted.
    pub fn held() -> Self {
        Self { looks: Some(pods::LOOKS), ..Self::default() }
    }
}

impl Member {
    fn has_control_plane(&self) -> bool {
        component::has_control_plane(&self.name)
    }
}

/// The nodes that have a control plane.
fn control_planes(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| member.has_control_plane())
}

/// In the first process of a node this never returns.
pub(super) fn dispatch() {
    init::dispatch();
}

/// Whether a cluster can be made here.
///
/// # Errors
/// What is missing, and how to get it.
pub async fn available() -> Result<()> {
    let docker = engine::connect()?;
    engine::check(&docker).await?;
    machine::check(&docker).await?;
    node::image(&docker).await
}

/// What is missing for servers that others wrote; none if nothing is, or Docker itself.
pub(super) fn lacks_servers() -> Option<Error> {
    leftovers::with_docker((), async |docker| node::servers(docker).await).err()
}

/// Makes a place for every service of a system: a control plane itself, or pods in a cluster that is up.
pub(super) async fn create(system: &System, folder: &RunFolder, recorder: &Recorder) -> Result<Cluster> {
    if is_control_plane(system) {
        cluster::create(system, folder, recorder).await
    } else {
        pods::create(system, folder, recorder).await
    }
}

/// A client of the API server at this address that shows a credential. It has no connection yet.
///
/// # Errors
/// If the credential cannot be used for TLS.
pub async fn connect(api: SocketAddr, credential: &Credential) -> Result<kube::Client> {
    access::connect(api, credential).await
}

/// Whether a system is one whose services are components of a cluster, as in [`system`]: it has an API server.
/// An etcd may be anybody's.
pub fn is_control_plane(system: &System) -> bool {
    let is_api = |service| component::Component::of(service) == Some(component::Component::ApiServer);
    system.services.iter().any(is_api)
}

/// Makes a cluster: containers, certificates, control plane, DNS. It comes up by itself from there;
/// [`Kubernetes::whole`] waits for it.
///
/// # Errors
/// If nobody would have so many control planes, or it cannot be made, or its API does not answer in a minute; what was
/// made is removed, and the logs are in the run's folder.
pub async fn up(spec: &Spec, folder: &RunFolder) -> Result<Kubernetes> {
    let system = system(spec.control_planes, spec.workers, admin("admin", "admin"));
    // Those of other runs, too, which may be its guests.
    let runs = folder.path().parent().unwrap_or(folder.path()).to_owned();
    let (place, docker, members) = start_nodes(&system, folder, &[(runs, pods::RUNS)]).await?;
    let pki = files::authorities(&system, &members)?;
    for member in &members {
        let mut files = mint(&system, &pki, &members, member, spec.validity)?;
        files.extend(manifests::node(member, &component::Settings::default(), spec.patience, spec.looks)?);
        if member.has_control_plane() {
            files.extend(manifests::control_plane(member, &members)?);
        }
        node::lay_out(folder, member, &members, files)?;
    }
    let conf = node::on_host(folder, CONTROL_PLANE, SUPER_ADMIN)?;
    let client = access::client(&conf, members[0].address).await?;
    let tried = AtomicU32::new(0);
    let folder = folder.clone();
    let cluster = Kubernetes { docker, folder, system, pki, members, client, tried, place };
    api_servers_serve(&cluster.folder, &cluster.members).await?;
    cluster.members.iter().try_for_each(|member| node::go_on(&cluster.folder, member))?;
    // It has tried to register before there was an API, and now waits; a new one does not. Pods stay.
    for node in control_planes(&cluster.members) {
        cluster.kill(&node.name, "kubelet").await?;
    }
    access::put_addons(&cluster.client, endpoint::shared(&cluster.members)).await?;
    Ok(cluster)
}

/// Waits until there is an API on every node that has a control plane.
async fn api_servers_serve(folder: &RunFolder, members: &[Member]) -> Result<()> {
    let conf = node::on_host(folder, CONTROL_PLANE, SUPER_ADMIN)?;
    let serves = async |member: &Member| access::serves(&access::client(&conf, member.address).await?).await;
    try_join_all(control_planes(members).map(serves)).await.map(drop)
}

/// What a cluster said of its objects, in the folder of logs.
const EVENTS: &str = "events.txt";
/// By which a cluster is set up, before anybody has been given a right.
const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// The containers of all nodes of a system, on a network of the run's own. They wait for their files.
async fn start_nodes(
    system: &System,
    folder: &RunFolder,
    shared: &[(PathBuf, &str)],
) -> Result<(Containers, Docker, Vec<Member>)> {
    if !crate::multicall::ready() {
        return Err(Error::new(
            "this executable did not begin with notafter::multicall::dispatch, so it cannot be a node",
        ));
    }
    let mut names = vec![CONTROL_PLANE.to_owned()];
    for node in system.services.iter().map(component::node_of) {
        if !names.contains(&node) {
            names.push(node);
        }
    }
    can_be_a_quorum(names.iter().filter(|name| component::has_control_plane(name)).count())?;
    let docker = engine::connect()?;
    node::image(&docker).await?;
    let place = Containers { run: folder.id().to_owned(), given_back: AtomicBool::new(false) };
    network::create(&docker, folder).await?;
    elf::put(folder)?;
    let names = names.into_iter().enumerate();
    let starts = names.map(|(number, name)| node::start(&docker, folder, shared, number, name));
    let members = try_join_all(starts).await?;
    Ok((place, docker, members))
}

/// etcd answers as long as most of its members do.
fn can_be_a_quorum(control_planes: usize) -> Result<()> {
    match control_planes {
        1 | 3 => Ok(()),
        count => Err(Error::usage(format!(
            "a cluster has 1 node with a control plane or 3, not {count}: etcd needs most of its members, so that 3 go \
             on without any one of them, and 2 do not"
        ))
        .hint("take 1 or 3")),
    }
}

impl Kubernetes {
    /// The names of its nodes, those with a control plane first.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Typed access, as a user who may do everything.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// The address of a node, as seen from the host.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn address(&self, node: &str) -> Result<IpAddr> {
        Ok(self.member(node)?.address)
    }

    /// The kubeconfig of the administrator, on the host; gone after the run.
    ///
    /// # Errors
    /// Never, for a cluster that is up.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        self.path(CONTROL_PLANE, "/etc/kubernetes/admin.conf")
    }

    /// Where a file of a node is on the host: of what lies below `/etc/kubernetes` or
    /// `/var/lib/kubelet/pki`.
    ///
    /// # Errors
    /// If there is no such node, or the path lies elsewhere.
    pub fn path(&self, node: &str, path: &str) -> Result<PathBuf> {
        node::on_host(&self.folder, &self.member(node)?.name, path)
    }

    /// Every certificate and kubeconfig of a node, newly minted by the authorities that the cluster has,
    /// by path. Nothing is written.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn mint(&self, node: &str, validity: Validity) -> Result<Files> {
        mint(&self.system, &self.pki, &self.members, self.member(node)?, validity)
    }

    /// Replaces a file of a node by renaming, as kubeadm does; who reads it sees the old one or the new.
    ///
    /// # Errors
    /// As [`Self::path`], or if it cannot be written.
    pub fn write(&self, node: &str, path: &str, text: &str) -> Result<()> {
        node::put(&self.folder, &self.member(node)?.name, path, text)
    }

    /// Runs a command in a node; gives what it printed.
    ///
    /// # Errors
    /// If it cannot be run, ends with another code than 0, or takes longer than two minutes.
    pub async fn exec(&self, node: &str, command: &[&str]) -> Result<String> {
        node::exec(&self.docker, self.member(node)?, command).await
    }

    /// Cuts every connection to a port of a node, so that whoever had one must shake hands again.
    ///
    /// # Errors
    /// As [`Self::exec`].
    pub async fn cut_connections(&self, node: &str, port: u16) -> Result<()> {
        let port = format!("( sport = :{port} )");
        self.exec(node, &["ss", "--kill", "state", "established", &port]).await.map(drop)
    }

    /// Ends a program of a node without warning; its kubelet, or the node, starts it again.
    ///
    /// # Errors
    /// As [`Self::exec`]; and if it does not run.
    pub async fn kill(&self, node: &str, program: &str) -> Result<()> {
        node::signal(&self.docker, self.member(node)?, "-KILL", program).await
    }

    /// Waits until the cluster does everything that a cluster is for, each within a limit: the API
    /// answers, every node is ready, cluster DNS is available, a new Deployment of so many pods becomes
    /// available, a Service answers by its DNS name from a pod on another node, and logs and exec work.
    ///
    /// # Errors
    /// The first condition that does not hold within the limit, and why; what the cluster said of its
    /// objects is kept beside the logs.
    pub async fn whole(&self, pods: u32, limit: Duration) -> Result<()> {
        let name = format!("notafter-{}", self.tried.fetch_add(1, Ordering::Relaxed));
        let conditions = access::Conditions { client: &self.client, nodes: self.members.len(), limit };
        let held = conditions.all(&name, pods).await;
        if held.is_err() {
            // An API that does not answer tells no events either, and that is said already.
            let _ = access::keep_events(&self.client, &self.folder.logs().join(EVENTS)).await;
        }
        held
    }

    /// Lets other runs put their pods into it, as long as it is there; each has it for itself.
    ///
    /// # Errors
    /// If what they must know cannot be written.
    pub fn open(&self, spec: &Spec) -> Result<()> {
        guest::open(&self.folder, spec, &self.members)
    }

    /// Removes the cluster. Nothing of the run is left but its evidence.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn tear_down(self) -> Result<()> {
        let removed = self.place.give_back(&self.docker).await;
        removed.and(self.folder.remove_secrets())
    }

    fn member(&self, name: &str) -> Result<&Member> {
        self.members.iter().find(|member| member.name == name).ok_or_else(|| {
            let known = self.nodes().collect::<Vec<_>>().join(", ");
            Error::usage(format!("there is no node `{name}`; there are: {known}"))
        })
    }
}

/// New credentials for all that belongs to a node, as files, and the authorities where they are kept.
fn mint(system: &System, pki: &Pki, members: &[Member], node: &Member, validity: Validity) -> Result<Files> {
    let mut files = Files::new();
    for service in &system.services {
        let slots = service.mounts.keys().filter_map(|it| Some((it, component::slot_of(service, it)?)));
        for (mount, slot) in slots.filter(|(_, slot)| component::is_on(service, slot, &node.name)) {
            let user = pki.identity(&service.name, mount).common_name;
            let credential = pki.issue(slot.authority, &service.name, mount, validity)?;
            files.extend(files::of_credential(slot, &credential, &user, endpoint::of(members, node, slot)));
        }
        for name in service.issues.iter().filter(|_| component::node_of(service) == node.name) {
            files.extend(files::of_authority(name, pki.authority(name)?.issuer().credential())?);
        }
    }
    Ok(files)
}

/// What a run has in Docker, until it is given back.
struct Containers {
    run: String,
    given_back: AtomicBool,
}

impl Containers {
    /// Removes containers and network. What it cannot, the guardians will.
    async fn give_back(&self, docker: &Docker) -> Result<()> {
        self.given_back.store(true, Ordering::Relaxed);
        containers::remove(docker, &self.run, 1).await
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        if !self.given_back.load(Ordering::Relaxed) {
            // What cannot be removed now, the guardians will.
            let _ = containers::remove_run(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_number_of_control_planes_that_is_no_use() {
        assert_eq!([1, 3].map(|count| can_be_a_quorum(count).is_ok()), [true; 2]);
        insta::assert_snapshot!(can_be_a_quorum(2).expect_err("refused").to_string());
    }
}
