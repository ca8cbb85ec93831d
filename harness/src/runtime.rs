//! Where a system runs. A [`Cluster`] is a system running in a runtime: the only thing that faults,
//! probes and runbooks can touch, and the only way to start, stop or write into anything that runs.

pub mod by_hand;
mod cluster;
pub mod containers;
pub mod existing;
pub mod kubernetes;
mod layout;
pub mod processes;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    history::Recorder,
    pki,
    profile::{Program, Server},
    run::RunFolder,
    system::{Filled, System},
};

pub use self::cluster::Cluster;
use self::{
    cluster::{Place, Pod},
    layout::{issuer_folder, launch, lay_out, observer},
};
pub use crate::supervise::Order;

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
    /// Run whatever server is installed that others wrote.
    RunInstalled,
    /// Run the programs of a system as its services.
    RunPrograms,
    /// Run the components of Kubernetes as the services of a system.
    RunControlPlane,
    /// Deliver TLS Secrets to the services of a system, as a kubelet does.
    DeliverSecrets,
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
        use Ability::{
            DeliverSecrets, Install, Kill, MoveClock, Pause, Restart, RunControlPlane, RunInstalled,
            RunPrograms,
        };
        match self {
            // Both supervise real processes on this machine, so both can do the same.
            Self::Processes | Self::Containers => {
                &[Restart, Kill, Pause, Install, MoveClock, RunInstalled, RunPrograms]
            }
            Self::Kubernetes => {
                &[Restart, Kill, Pause, Install, MoveClock, RunPrograms, RunControlPlane, DeliverSecrets]
            }
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

    /// Why one of these servers cannot be a service there, on any machine; none if all can.
    pub(crate) fn cannot_serve(self, servers: &[Server]) -> Option<String> {
        let known = |server: &&Server| self != Self::Kubernetes || kubernetes::SERVERS.contains(&server.name);
        let unknown = servers.iter().find(|server| !known(server))?;
        let (runtime, unknown, have) = (self.name(), unknown.name, kubernetes::SERVERS.join(", "));
        Some(format!(
            "runtime {runtime} cannot run {unknown}: of servers that others wrote its nodes have {have} alone"
        ))
    }

    /// What is missing for one of these servers to be a service there: its program, or the image that has it.
    pub(crate) fn lacks(self, servers: &[Server]) -> Option<Error> {
        match self {
            Self::Processes => servers.iter().find_map(|server| Program::file(server).err()),
            Self::Containers => servers.first().and_then(|_| containers::lacks_servers()),
            Self::Kubernetes => servers.first().and_then(|_| kubernetes::lacks_servers()),
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
            Self::RunInstalled => "run whatever server others wrote",
            Self::RunPrograms => "run the programs of a system",
            Self::RunControlPlane => "run the control plane of Kubernetes",
            Self::DeliverSecrets => "deliver TLS Secrets",
        })
    }
}

/// In the first process of a container or a node this never returns.
pub(crate) fn dispatch() {
    containers::dispatch();
    kubernetes::dispatch();
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
