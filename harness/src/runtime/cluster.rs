//! A system that runs in a runtime: the one thing that everybody else asks, orders and writes to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    Runtime, containers, kubernetes,
    layout::{DATA, issuer_folder, mount_folder},
};
use crate::{
    error::{Context, Error, Result},
    multicall,
    pki::{self, Credential, Files, Manner},
    run::RunFolder,
    service::{CLOCK_FILE, clock_ahead},
    supervise::{Order, Request},
    system::{Hop, Service, System},
};

/// Nothing that a supervisor is asked takes longer, or it never will.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A system running in a runtime.
pub struct Cluster {
    pub(super) system: System,
    pub(super) runtime: Runtime,
    pub(super) folder: RunFolder,
    pub(super) pods: BTreeMap<String, Pod>,
    /// Where credentials belong beside their mounts, if the services are components of Kubernetes.
    pub(super) nodes: Option<Arc<kubernetes::Nodes>>,
    /// What the runtime must give back; taken when it has been.
    pub(super) place: tokio::sync::Mutex<Option<Place>>,
}

/// What a runtime must give back at the end.
pub(super) enum Place {
    Processes(JoinSet<()>),
    Containers(containers::Place),
    Kubernetes(Box<kubernetes::Place>),
}

/// One service's place: an address, a folder, a supervisor. It stays while the service restarts, as
/// the sandbox of a Kubernetes pod does.
pub(super) struct Pod {
    /// As seen from the host.
    pub address: IpAddr,
    /// Where it is asked for its health, as seen from the host.
    pub health: SocketAddr,
    pub supervisor: mpsc::Sender<Request>,
    /// The file that says from where it calls others, if that is another address at each start.
    pub source: Option<PathBuf>,
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
