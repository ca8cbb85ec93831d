//! Where a system runs. A [`Cluster`] is a system running in a runtime: the only thing that faults,
//! probes and runbooks can touch, and the only way to start, stop or write into anything that runs.

pub mod by_hand;
pub mod containers;
pub mod existing;
pub mod kubernetes;
pub mod processes;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{
    error::{Context, Error, Result},
    history::{ProcessChange, Recorder, What},
    multicall,
    pki::{self, Credential, Files, Manner},
    profile::{Program, Server},
    run::{RunFolder, write_private},
    service::{CLOCK_FILE, Config, HEALTH_PORT, TLS_PORT, clock_ahead},
    supervise::{Launch, Request},
    system::{Filled, Hop, Service, System},
};

pub use crate::supervise::Order;

/// Where a service stores what outlives it, in its folder.
const DATA: &str = "data";
/// Nothing that a supervisor is asked takes longer, or it never will.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A place where systems run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Child processes, each on a loopback address of its own. Needs nothing.
    Processes,
    /// Docker containers on a network of their own. Needs a local Docker Engine.
    Containers,
    /// A real Kubernetes in containers: the system is its control plane, or a Deployment for each service. Needs
    /// a local Docker Engine and the image of nodes.
    Kubernetes,
}

/// Something that not every runtime can do to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ability {
    /// Start and stop it at will.
    Restart,
    /// End it without warning.
    Kill,
    /// Halt it and let it go on.
    Pause,
    /// Put a file into its folder while it runs.
    Install,
    /// Move its clock, and nobody else's.
    MoveClock,
    /// Cut the connections that it has open, without ending it.
    CutConnections,
    /// Run a server that others wrote as a service.
    RunInstalled,
    /// Run the programs of a system as its services.
    RunPrograms,
    /// Run the components of Kubernetes as the services of a system.
    RunControlPlane,
}

impl Ability {
    /// What it takes to run this system at all.
    pub fn to_run(system: &System) -> Self {
        if kubernetes::is_control_plane(system) { Self::RunControlPlane } else { Self::RunPrograms }
    }
}

impl Runtime {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 3] = [Self::Processes, Self::Containers, Self::Kubernetes];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Containers => "containers",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// What it can do to a service.
    pub fn abilities(self) -> &'static [Ability] {
        use Ability::{Install, Kill, MoveClock, Pause, Restart, RunControlPlane, RunInstalled, RunPrograms};
        match self {
            // Both supervise real processes on this machine, so both can do the same.
            Self::Processes | Self::Containers => {
                &[Restart, Kill, Pause, Install, MoveClock, RunInstalled, RunPrograms]
            }
            Self::Kubernetes => &[Restart, Kill, Pause, Install, MoveClock, RunPrograms, RunControlPlane],
        }
    }

    /// Why this system cannot run there, on any machine; none if it can.
    pub fn cannot_run(self, system: &System) -> Option<String> {
        self.cannot(Ability::to_run(system))
    }

    /// Why it cannot do this; none if it can.
    pub(crate) fn cannot(self, ability: Ability) -> Option<String> {
        let has = self.abilities().contains(&ability);
        (!has).then(|| format!("runtime {} cannot {ability}", self.name()))
    }

    /// What is missing for one of these servers to be a service there: its program, or the image that has it.
    pub(crate) fn lacks(self, servers: &[Server]) -> Option<Error> {
        match self {
            Self::Processes => servers.iter().find_map(|server| Program::file(server).err()),
            Self::Containers => servers.first().and_then(|_| containers::lacks_servers()),
            // It runs none.
            Self::Kubernetes => None,
        }
    }

    /// Whether it works here.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub async fn available(self) -> Result<()> {
        match self {
            Self::Processes => processes::available(),
            Self::Containers => containers::available().await,
            Self::Kubernetes => kubernetes::available().await,
        }
    }

    /// Makes a place for every service of the system. Nothing is started yet, but every folder is
    /// laid out and every bundle, and whatever is [`Filled::Beforehand`], can be installed.
    ///
    /// # Errors
    /// If the runtime cannot; what was made so far is removed.
    pub async fn create(self, system: &System, folder: &RunFolder, recorder: &Recorder) -> Result<Cluster> {
        if let Some(why) = self.cannot_run(system) {
            return Err(Error::missing(format!("{why}, as system `{}` needs", system.name)));
        }
        match self {
            Self::Processes => processes::create(system, folder, recorder).await,
            Self::Containers => containers::create(system, folder, recorder).await,
            Self::Kubernetes => kubernetes::create(system, folder, recorder).await,
        }
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|runtime| runtime.name() == name)
            .ok_or_else(|| format!("`{name}` is no runtime; there are: processes, containers, kubernetes"))
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart a service",
            Self::Kill => "kill a service",
            Self::Pause => "pause a service",
            Self::Install => "install files into a running service",
            Self::MoveClock => "move the clock of a service",
            Self::CutConnections => "cut connections that are open",
            Self::RunInstalled => "run a server that others wrote",
            Self::RunPrograms => "run the programs of a system",
            Self::RunControlPlane => "run the control plane of Kubernetes",
        })
    }
}

/// In the first process of a container or a node this never returns.
pub(crate) fn dispatch() {
    containers::dispatch();
    kubernetes::dispatch();
}

/// A system running in a runtime.
pub struct Cluster {
    system: System,
    runtime: Runtime,
    folder: RunFolder,
    pods: BTreeMap<String, Pod>,
    /// Where credentials belong beside their mounts, if the services are components of Kubernetes.
    nodes: Option<Arc<kubernetes::Nodes>>,
    /// What the runtime must give back; taken when it has been.
    place: tokio::sync::Mutex<Option<Place>>,
}

/// What a runtime must give back at the end.
enum Place {
    Processes(JoinSet<()>),
    Containers(containers::Place),
    Kubernetes(Box<kubernetes::Place>),
}

/// One service's place: an address, a folder, a supervisor. It stays while the service restarts, as
/// the sandbox of a Kubernetes pod does.
struct Pod {
    /// As seen from the host.
    address: IpAddr,
    /// Where it is asked for its health, as seen from the host.
    health: SocketAddr,
    supervisor: mpsc::Sender<Request>,
    /// The file that says from where it calls others, if that is another address at each start.
    source: Option<PathBuf>,
}

impl Cluster {
    /// What runs in it.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Where it runs.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// Where a service listens with mutual TLS, as seen from the host.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn address(&self, service: &str) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.pod(service)?.address, self.service(service)?.port()))
    }

    /// Where a hop leads, as seen from the host.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn entrance(&self, hop: &Hop) -> Result<SocketAddr> {
        let address = self.address(&hop.server)?;
        let port = self.system.entrance(hop).map_or(address.port(), |(_, port)| port);
        Ok(SocketAddr::new(address.ip(), port))
    }

    /// From where a service calls others now, as they see it; none if nobody can tell.
    pub fn source(&self, service: &str) -> Option<IpAddr> {
        let pod = self.pods.get(service)?;
        match &pod.source {
            Some(file) => std::fs::read_to_string(file).ok()?.trim().parse().ok(),
            None => Some(pod.address),
        }
    }

    /// New authorities for its system, whose certificates name each service by its address, too: some of
    /// those that others wrote know each other by nothing else.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn authorities(&self) -> Result<pki::Pki> {
        if let Some(nodes) = &self.nodes {
            return nodes.authorities(&self.system);
        }
        let addresses = self.pods.iter().map(|(name, pod)| (name.clone(), pod.address));
        Ok(pki::Pki::of(&self.system)?.placed(addresses.collect()))
    }

    /// Where a service answers for its health, as seen from the host.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn health(&self, service: &str) -> Result<SocketAddr> {
        Ok(self.pod(service)?.health)
    }

    /// The folder of a service's mount, as seen from the host.
    ///
    /// # Errors
    /// If the service has no such mount.
    pub fn mount(&self, service: &str, mount: &str) -> Result<PathBuf> {
        let known = self.service(service)?;
        if !known.mounts.contains_key(mount) {
            let has = known.mounts.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::usage(format!("`{service}` has no mount `{mount}`; it has: {has}")));
        }
        Ok(mount_folder(&self.folder.service(service), mount))
    }

    /// The credential that lies in a mount now.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn installed(&self, service: &str, mount: &str) -> Result<Credential> {
        let folder = self.mount(service, mount)?;
        Credential::read(&folder).context(|| format!("no credential of {service} in mount `{mount}`"))
    }

    /// Replaces the credential in a mount, all three files at once.
    ///
    /// # Errors
    /// If it cannot be written; then the old one is still there.
    pub fn install(&self, service: &str, mount: &str, credential: &Credential) -> Result<()> {
        let folder = self.mount(service, mount)?;
        credential.write(&folder).context(|| format!("cannot install a credential of {service}"))?;
        match &self.nodes {
            Some(nodes) => nodes.install(self.service(service)?, mount, credential),
            None => Ok(()),
        }
    }

    /// Writes files into a mount, whatever they are, in any manner.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_files(&self, service: &str, mount: &str, files: &Files, manner: Manner) -> Result<()> {
        self.has_mounts_only()?;
        let folder = self.mount(service, mount)?;
        pki::write_files(&folder, files, manner)
            .context(|| format!("cannot write into mount `{mount}` of {service}"))
    }

    /// Replaces the bundle in a mount that the service fills itself.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install_bundle(&self, service: &str, mount: &str, bundle_pem: &str) -> Result<()> {
        self.has_mounts_only()?;
        let folder = self.mount(service, mount)?;
        pki::write_bundle(&folder, bundle_pem).context(|| format!("cannot install a bundle of {service}"))
    }

    /// Puts a bundle into a mount and takes away the credential that was there, as before the first start.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn empty_mount(&self, service: &str, mount: &str, bundle_pem: &str) -> Result<()> {
        self.has_mounts_only()?;
        let folder = self.mount(service, mount)?;
        pki::write_bundle_alone(&folder, bundle_pem)
            .context(|| format!("cannot empty mount `{mount}` of {service}"))
    }

    /// Gives a service the issuing key of an authority.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install_issuer(&self, service: &str, authority: &pki::Authority) -> Result<()> {
        self.service(service)?;
        let folder = issuer_folder(&self.folder.service(service), authority.name());
        authority.write_issuer(&folder).context(|| format!("cannot install the issuer of {service}"))?;
        self.install_on_node(service, authority.name(), authority.issuer().credential())
    }

    /// The issuing CA that a service holds for an authority now.
    ///
    /// # Errors
    /// If it holds none, or it cannot be read.
    pub fn issuer(&self, service: &str, authority: &str) -> Result<Credential> {
        let folder = issuer_folder(&self.folder.service(service), authority);
        Credential::read(&folder).context(|| format!("`{service}` does not issue for `{authority}`"))
    }

    /// Gives a service another issuing CA for an authority.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install_issuing(&self, service: &str, authority: &str, issuing: &Credential) -> Result<()> {
        self.service(service)?;
        let folder = issuer_folder(&self.folder.service(service), authority);
        issuing.write(&folder).context(|| format!("cannot install the issuer of {service}"))?;
        self.install_on_node(service, authority, issuing)
    }

    fn install_on_node(&self, service: &str, authority: &str, issuing: &Credential) -> Result<()> {
        match &self.nodes {
            Some(nodes) => nodes.install_issuing(self.service(service)?, authority, issuing),
            None => Ok(()),
        }
    }

    /// Components of Kubernetes get whole credentials, and do not look into mounts.
    fn has_mounts_only(&self) -> Result<()> {
        match self.nodes {
            Some(_) => Err(Error::usage(format!(
                "runtime {} puts whole credentials where kubeadm has them, and nothing else",
                self.runtime.name()
            ))),
            None => Ok(()),
        }
    }

    /// How many seconds the clock of a service is ahead.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn clock(&self, service: &str) -> Result<i64> {
        self.service(service)?;
        Ok(clock_ahead(&self.folder.service(service).join(CLOCK_FILE)))
    }

    /// Moves the clock of one service, and of no other, so that it is so many seconds ahead of the machine's;
    /// behind, if negative; 0 puts it right.
    ///
    /// # Errors
    /// If the service cannot be told: one that others wrote takes the machine's.
    pub fn set_clock(&self, service: &str, ahead: i64) -> Result<()> {
        let program = &self.service(service)?.program;
        if multicall::is_foreign(program) {
            let why =
                format!("cannot move the clock of `{service}`: `{program}` is a server that others wrote");
            return Err(Error::usage(why).hint("a service of the executable's own looks at a file for it"));
        }
        let file = self.folder.service(service).join(CLOCK_FILE);
        // Never half a number.
        let next = file.with_extension("next");
        std::fs::write(&next, format!("{ahead}\n"))
            .and_then(|()| std::fs::rename(&next, &file))
            .context(|| format!("cannot write {}", file.display()))
    }

    /// Removes what a service has stored. It must not run.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn forget(&self, service: &str) -> Result<()> {
        self.service(service)?;
        let path = self.folder.service(service).join(DATA);
        std::fs::remove_dir_all(&path)
            .and_then(|()| std::fs::create_dir(&path))
            .context(|| format!("cannot empty {}", path.display()))
    }

    /// Starts, stops, signals a service; returns when that is done, not when the service is ready.
    ///
    /// # Errors
    /// If the supervisor refuses, is gone, or does not answer in 20 s.
    pub async fn order(&self, service: &str, order: Order) -> Result<()> {
        let (answer, done) = oneshot::channel();
        let failed = |why: String| Error::new(format!("cannot {order:?} `{service}`: {why}").to_lowercase());
        let gone =
            || failed("its supervisor is gone".into()).hint("was its container removed, or Docker stopped?");
        self.pod(service)?.supervisor.send((order, answer)).await.map_err(|_| gone())?;
        match timeout(ANSWER_LIMIT, done).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => Err(failed(why)),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(failed(format!("no answer in {} s", ANSWER_LIMIT.as_secs()))),
        }
    }

    /// Ends every service and gives everything back. Nothing of the run is left but its evidence.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest is removed all the same.
    pub async fn tear_down(&self) -> Result<()> {
        let Some(place) = self.place.lock().await.take() else { return Ok(()) };
        let removed = match place {
            Place::Processes(mut supervisors) => {
                let ends = self.pods.keys().map(|service| self.order(service, Order::End));
                let ended: Result<Vec<()>> = futures_util::future::join_all(ends).await.into_iter().collect();
                supervisors.shutdown().await;
                ended.map(drop)
            }
            Place::Containers(place) => place.give_back().await,
            Place::Kubernetes(place) => place.give_back().await,
        };
        removed.and(self.folder.remove_secrets())
    }

    fn service(&self, name: &str) -> Result<&Service> {
        self.system.service(name).ok_or_else(|| no_service(&self.system, name))
    }

    fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods.get(name).ok_or_else(|| no_service(&self.system, name))
    }
}

fn no_service(system: &System, name: &str) -> Error {
    let known = system.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
    Error::usage(format!("system `{}` has no service `{name}`; it has: {known}", system.name))
}

/// Lays out a service's folder: its configuration, and empty folders for the rest.
///
/// `listen` is where the service binds; `host` is how the others reach it.
fn lay_out(
    system: &System,
    service: &Service,
    folder: &Path,
    listen: IpAddr,
    host: &dyn Fn(&str) -> String,
) -> Result<()> {
    let config = Config {
        service: service.name.clone(),
        listen: SocketAddr::new(listen, TLS_PORT),
        health: SocketAddr::new(listen, HEALTH_PORT),
        advertise: format!("{}:{}", host(&service.name), service.port()),
        start: service.start,
        reload: service.reload,
        needs: service.needs.clone(),
        known: system
            .services
            .iter()
            .filter(|other| other.well_known)
            .map(|other| (other.name.clone(), format!("{}:{}", host(&other.name), other.port())))
            .collect(),
        serves: service.serves.clone(),
        doors: service.doors.clone(),
        mounts: service
            .mounts
            .keys()
            .map(|mount| (mount.clone(), mount_folder(Path::new(""), mount)))
            .collect(),
        issues: service
            .issues
            .iter()
            .map(|name| (name.clone(), issuer_folder(Path::new(""), name)))
            .collect(),
        data: DATA.into(),
        clock: CLOCK_FILE.into(),
        settings: service.settings.clone(),
    };
    let folders = config.mounts.values().chain(config.issues.values()).chain([&config.data]);
    for path in folders.map(|path| folder.join(path)) {
        std::fs::create_dir_all(&path).context(|| format!("cannot make {}", path.display()))?;
    }
    let text =
        serde_json::to_vec_pretty(&config).map_err(|error| Error::new("configuration").because(error))?;
    write_private(&folder.join("config.json"), &text)
}

fn mount_folder(folder: &Path, mount: &str) -> PathBuf {
    folder.join("credentials").join(mount)
}

fn issuer_folder(folder: &Path, authority: &str) -> PathBuf {
    folder.join("issuers").join(authority)
}

/// What a supervisor needs to know of a service.
fn launch(service: &Service, run: &str, config: PathBuf, log: PathBuf) -> Launch {
    Launch {
        service: service.name.clone(),
        program: service.program.clone(),
        run: run.to_owned(),
        config,
        log,
        backoff: service.restart,
    }
}

/// Puts what a supervisor sees into the history.
fn observer(recorder: &Recorder, service: &str) -> impl FnMut(ProcessChange) + Send + use<> {
    let (recorder, service) = (recorder.clone(), service.to_owned());
    move |change| recorder.record(What::Process { service: service.clone(), change })
}

/// Fills every mount that the harness fills, and lays out bundles and issuers for the rest.
///
/// # Errors
/// If something cannot be minted or written.
pub fn provision(cluster: &Cluster, pki: &pki::Pki, validity: pki::Validity) -> Result<()> {
    for service in &cluster.system().services {
        for (name, mount) in &service.mounts {
            match mount.filled {
                Filled::Beforehand => {
                    let credential = pki.issue(&mount.authority, &service.name, name, validity)?;
                    cluster.install(&service.name, name, &credential)?;
                }
                Filled::ByItself => {
                    let bundle = pki.authority(&mount.authority)?.bundle();
                    cluster.install_bundle(&service.name, name, &bundle)?;
                }
            }
        }
        for authority in &service.issues {
            cluster.install_issuer(&service.name, pki.authority(authority)?)?;
        }
    }
    Ok(())
}
