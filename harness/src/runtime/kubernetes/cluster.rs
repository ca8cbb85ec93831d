//! The components of a control plane as services of a cluster, with everything that a cluster can do to them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::future::try_join_all;
use testcontainers::bollard::Docker;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    CONTROL_PLANE, Containers, EVENTS, Member, SUPER_ADMIN, access, api_servers_serve,
    charge::Charge,
    component::{Component, Settings, has_control_plane, is_extension, is_on, node_of, slot_of},
    endpoint, files,
    guest::Guest,
    health,
    init::{SAW, Saw},
    manifests, network, node, start_nodes,
};
use crate::{
    error::{Context, Error, Result},
    history::Recorder,
    pki::{Credential, Pki},
    run::RunFolder,
    runtime::{Cluster, Pod, Runtime, launch, lay_out, observer, processes},
    service::HEALTH_PORT,
    supervise::{Order, Request, supervise},
    system::{Service, System},
};

/// How often is read what a node has told.
const READ_EVERY: Duration = Duration::from_millis(10);

/// The nodes of a cluster, as whoever writes into them sees them.
pub(in crate::runtime) struct Nodes {
    pub(super) docker: Docker,
    pub(super) folder: RunFolder,
    /// Those with a control plane first.
    pub(super) members: Vec<Member>,
    /// What came of setting the cluster up; nothing as long as that goes on.
    pub(super) set_up: OnceLock<Result<(), String>>,
}

/// What a run has, and must give back.
pub(in crate::runtime) struct Place {
    nodes: Arc<Nodes>,
    /// By which its events are read; as soon as there is one, if none.
    client: Option<kube::Client>,
    holding: Holding,
    tasks: JoinSet<()>,
}

/// Whose the cluster of a run is.
pub(super) enum Holding {
    Own(Containers),
    Guest(Guest),
}

impl Place {
    pub(super) fn of(
        nodes: Arc<Nodes>,
        client: Option<kube::Client>,
        holding: Holding,
        tasks: JoinSet<()>,
    ) -> Self {
        Self { nodes, client, holding, tasks }
    }

    /// Ends everything beside the cluster, and removes that. What the cluster said of its objects is kept beside the
    /// logs.
    pub(in crate::runtime) async fn give_back(mut self) -> Result<()> {
        self.tasks.shutdown().await;
        // An API that does not answer tells no events, and whoever asks why has the logs.
        let _ = Box::pin(self.nodes.keep_events(self.client)).await;
        match self.holding {
            Holding::Own(containers) => containers.give_back(&self.nodes.docker).await,
            Holding::Guest(guest) => Box::pin(guest.leave()).await,
        }
    }
}

/// Starts the nodes of a control plane. They wait for the first order to start their kubelets.
pub(super) async fn create(system: &System, folder: &RunFolder, recorder: &Recorder) -> Result<Cluster> {
    let (containers, docker, members) = start_nodes(system, folder, &[]).await?;
    let (folder, set_up) = (folder.clone(), OnceLock::new());
    let nodes = Arc::new(Nodes { docker, folder, members, set_up });
    let gateway = network::gateway(&nodes.docker, &nodes.folder).await?;
    let mut making = Making::begin(system, nodes, recorder, gateway)?;
    for (index, service) in system.services.iter().enumerate() {
        match Component::of(service) {
            Some(component) => making.charge(index, service, component).await?,
            None => making.program(index, service)?,
        }
    }
    Ok(making.finish(containers))
}

/// Who is told what happens to a program of a node, by the node's number and the program.
type Told = BTreeMap<(usize, &'static str), mpsc::UnboundedSender<Saw>>;

/// A cluster that is being made.
struct Making<'a> {
    system: &'a System,
    nodes: Arc<Nodes>,
    recorder: &'a Recorder,
    /// A loopback address for each service: its own if it is a program, that of its health otherwise.
    block: std::net::Ipv4Addr,
    /// Where nodes reach what runs beside the cluster.
    gateway: IpAddr,
    tasks: JoinSet<()>,
    pods: BTreeMap<String, Pod>,
    told: Arc<Mutex<Told>>,
}

impl<'a> Making<'a> {
    fn begin(system: &'a System, nodes: Arc<Nodes>, recorder: &'a Recorder, gateway: IpAddr) -> Result<Self> {
        let (block, mark) = processes::reserve(nodes.folder.id(), system.services.len())?;
        let mut tasks = JoinSet::new();
        // The block is taken as long as there are tasks.
        tasks.spawn(async move {
            let _mark = mark;
            std::future::pending::<()>().await;
        });
        let told = Arc::default();
        Ok(Self { system, nodes, recorder, block, gateway, tasks, pods: BTreeMap::new(), told })
    }

    fn loopback(&self, index: usize) -> IpAddr {
        IpAddr::V4(processes::nth(self.block, index))
    }

    /// Where a program listens. Whoever is called from a node is where nodes reach it.
    fn beside(&self, index: usize, service: &Service) -> IpAddr {
        if is_extension(self.system, service) { self.gateway } else { self.loopback(index) }
    }

    /// Where a service listens.
    fn address(&self, name: &str) -> IpAddr {
        let known = self.system.services.iter().enumerate().find(|(_, service)| service.name == name);
        match known {
            Some((_, service)) if Component::of(service).is_some() => {
                self.nodes.member_of(service).map_or(IpAddr::from([0, 0, 0, 0]), |(_, it)| it.address)
            }
            Some((index, service)) => self.beside(index, service),
            None => IpAddr::from([0, 0, 0, 0]),
        }
    }

    fn lay_out(&self, service: &Service, listen: IpAddr) -> Result<()> {
        let home = self.nodes.folder.service(&service.name);
        let host = |name: &str| self.address(name).to_string();
        lay_out(self.system, service, &home, listen, &host)
    }

    /// A component: somebody who has charge of it, and somebody who watches its health.
    async fn charge(&mut self, index: usize, service: &Service, component: Component) -> Result<()> {
        self.lay_out(service, self.loopback(index))?;
        let (member, node) = self.nodes.member_of(service)?;
        let (node, address) = (node.clone(), node.address);
        let health = SocketAddr::new(self.loopback(index), HEALTH_PORT);
        let listener = TcpListener::bind(health).await.context(|| format!("cannot listen on {health}"))?;
        let (running, runs) = watch::channel(0);
        let (tell, saw) = mpsc::unbounded_channel();
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((member, component.program()), tell);
        let (supervisor, orders) = mpsc::channel(4);
        let charge = Charge {
            component,
            settings: Settings::of(service)?,
            service: service.name.clone(),
            member,
            nodes: self.nodes.clone(),
            running,
            starts: 0,
            put: 0,
            asked: false,
        };
        self.tasks.spawn(charge.keep(orders, saw, observer(self.recorder, &service.name)));
        let watcher = health::Watcher {
            component,
            service: service.name.clone(),
            node,
            runs,
            nodes: self.nodes.clone(),
            system: self.system.clone(),
        };
        self.tasks.spawn(watcher.serve(listener));
        self.pods.insert(service.name.clone(), Pod { address, health, supervisor, source: None });
        Ok(())
    }

    /// A program of this executable, which runs beside the cluster as in runtime `processes`.
    fn program(&mut self, index: usize, service: &Service) -> Result<()> {
        let address = self.beside(index, service);
        self.lay_out(service, address)?;
        let folder = &self.nodes.folder;
        let config = folder.service(&service.name).join("config.json");
        let launch = launch(service, folder.id(), config, folder.log(&service.name));
        let (supervisor, requests) = mpsc::channel(4);
        self.tasks.spawn(supervise(launch, requests, observer(self.recorder, &service.name)));
        let health = SocketAddr::new(address, HEALTH_PORT);
        self.pods.insert(service.name.clone(), Pod { address, health, supervisor, source: None });
        Ok(())
    }

    fn finish(mut self, containers: Containers) -> Cluster {
        for (number, member) in self.nodes.members.iter().enumerate() {
            let told = self.nodes.folder.service(&member.name).join(SAW);
            let to = self.told.clone();
            self.tasks.spawn(async move { listen(&told, number, &to).await });
        }
        let kubelets = self.system.services.iter().filter(|service| {
            Component::of(service) == Some(Component::Kubelet) && has_control_plane(&node_of(service))
        });
        let kubelets =
            kubelets.filter_map(|service| Some(self.pods.get(&service.name)?.supervisor.clone())).collect();
        self.tasks.spawn(set_up(self.nodes.clone(), kubelets));
        let place = Place::of(self.nodes.clone(), None, Holding::Own(containers), self.tasks);
        Cluster {
            system: self.system.clone(),
            runtime: Runtime::Kubernetes,
            folder: self.nodes.folder.clone(),
            pods: self.pods,
            nodes: Some(self.nodes),
            place: tokio::sync::Mutex::new(Some(crate::runtime::Place::Kubernetes(Box::new(place)))),
        }
    }
}

/// Reads on and on what a node tells, and passes it to those whom it concerns.
async fn listen(path: &Path, number: usize, told: &Mutex<Told>) {
    let mut read = 0;
    loop {
        sleep(READ_EVERY).await;
        let Ok(mut file) = File::open(path) else { continue };
        let mut text = String::new();
        if file.seek(SeekFrom::Start(read)).and_then(|_| file.read_to_string(&mut text)).is_err() {
            continue;
        }
        // Half a line is read again.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        read += whole as u64;
        for saw in text[..whole].lines().filter_map(|line| serde_json::from_str::<Saw>(line).ok()) {
            let (Saw::Began { program, .. } | Saw::Ended { program, .. }) = &saw;
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let whose = told.iter().find(|((node, name), _)| *node == number && name == program);
            if let Some((_, teller)) = whose {
                let _ = teller.send(saw);
            }
        }
    }
}

/// Sets a cluster up as soon as its API answers, as `kubeadm init` does: rights, configuration, DNS. These are the
/// kubelets of nodes with a control plane.
async fn set_up(nodes: Arc<Nodes>, kubelets: Vec<mpsc::Sender<Request>>) {
    let done = async {
        let conf = node::on_host(&nodes.folder, CONTROL_PLANE, SUPER_ADMIN)?;
        // The nodes have been told to start once the manifest is there, and the credentials before.
        let manifest = manifests::path_of(Component::ApiServer.program());
        let manifest = node::on_host(&nodes.folder, CONTROL_PLANE, &manifest)?;
        while !manifest.exists() {
            sleep(READ_EVERY).await;
        }
        api_servers_serve(&nodes.folder, &nodes.members).await?;
        nodes.members.iter().try_for_each(|member| node::go_on(&nodes.folder, member))?;
        // It has tried to register before there was an API, and now waits; a new one does not. Pods stay.
        try_join_all(kubelets.iter().map(restart)).await?;
        let client = access::client(&conf, nodes.members[0].address).await?;
        access::put_addons(&client, endpoint::shared(&nodes.members)).await
    };
    let done = done.await.map_err(|error: Error| error.to_string());
    let _ = nodes.set_up.set(done);
}

async fn restart(kubelet: &mpsc::Sender<Request>) -> Result<()> {
    let (answer, done) = oneshot::channel();
    let gone = || Error::new("nobody has charge of the kubelet of a control plane");
    kubelet.send((Order::Restart, answer)).await.map_err(|_| gone())?;
    done.await.map_err(|_| gone())?.map_err(Error::new)
}

impl Nodes {
    /// New authorities for the system on these nodes.
    pub(in crate::runtime) fn authorities(&self, system: &System) -> Result<Pki> {
        files::authorities(system, &self.members)
    }

    /// Puts a credential where its component looks for it.
    pub(in crate::runtime) fn install(
        &self,
        service: &Service,
        mount: &str,
        credential: &Credential,
    ) -> Result<()> {
        let Some(slot) = slot_of(service, mount) else { return Ok(()) };
        let user = crate::pki::common_name_of(credential)?;
        let has_it = |member: &&Member| is_on(service, slot, &member.name);
        self.members.iter().filter(has_it).try_for_each(|member| {
            let api = endpoint::of(&self.members, member, slot);
            self.put(member, files::of_credential(slot, credential, &user, api))
        })
    }

    /// Puts the certificate and key of an authority where kubeadm has them.
    pub(in crate::runtime) fn install_issuing(
        &self,
        service: &Service,
        authority: &str,
        issuing: &Credential,
    ) -> Result<()> {
        let (_, member) = self.member_of(service)?;
        self.put(member, files::of_authority(authority, issuing)?)
    }

    /// Gives a node what it needs to start its kubelet.
    pub(super) fn begin(&self, member: usize, settings: &Settings) -> Result<()> {
        let member = &self.members[member];
        node::lay_out(&self.folder, member, &self.members, manifests::node(member, settings, None, None)?)
    }

    async fn keep_events(&self, client: Option<kube::Client>) -> Result<()> {
        let client = if let Some(client) = client {
            client
        } else {
            let conf = node::on_host(&self.folder, CONTROL_PLANE, SUPER_ADMIN)?;
            access::client(&conf, self.members[0].address).await?
        };
        access::keep_events(&client, &self.folder.logs().join(EVENTS)).await
    }

    /// What is there already is left as it is: who watches a file takes every write for a change.
    fn put(&self, member: &Member, files: files::Files) -> Result<()> {
        for (path, text) in files {
            let there = node::on_host(&self.folder, &member.name, &path)?;
            if std::fs::read_to_string(&there).ok().as_deref() != Some(&text) {
                node::put(&self.folder, &member.name, &path, &text)?;
            }
        }
        Ok(())
    }

    /// The node that a service belongs to, and its number.
    pub(super) fn member_of(&self, service: &Service) -> Result<(usize, &Member)> {
        let node = node_of(service);
        let found = self.members.iter().enumerate().find(|(_, member)| member.name == node);
        found.ok_or_else(|| Error::usage(format!("`{}` is on no node of this cluster", service.name)))
    }
}
