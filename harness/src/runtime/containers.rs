//! Runtime `containers`: one Docker container a service, all on one network of the run's own.
//!
//! ```text
//! harness --- unix socket in the service's folder ---> first process: supervisor ---> service
//!         \-- TCP to the container's address ----------------------------------------/
//! ```

pub(super) mod control;
pub(super) mod elf;
pub(super) mod engine;
pub(crate) mod foreign;
mod image;
pub(super) mod init;
pub(super) mod leftovers;
mod pod;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{
    FutureExt,
    future::{try_join_all, try_join3},
};
use testcontainers::bollard::{
    Docker, models::NetworkCreateRequest, query_parameters::InspectNetworkOptions,
};
use tokio::task::AbortHandle;

pub(super) use self::leftovers::remove;
pub(crate) use self::leftovers::remove_run;
pub use self::leftovers::{Leftover, remove_old_images, runs};
use super::{Cluster, Pod, Runtime};
use crate::{
    error::{Context, Error, Result},
    history::Recorder,
    multicall::is_foreign,
    run::RunFolder,
    service::HEALTH_PORT,
    system::System,
};

/// The image of the servers that others wrote, as `ci/setup servers` makes it.
pub const SERVERS: &str = "notafter/servers:latest";

/// In the first process of a container this never returns.
pub(super) fn dispatch() {
    init::dispatch();
}

pub(super) async fn available() -> Result<()> {
    engine::check(&engine::connect()?).await
}

/// What is missing for servers that others wrote; none if nothing is, or Docker itself.
pub(super) fn lacks_servers() -> Option<Error> {
    leftovers::with_docker((), async |docker| foreign::servers(docker).await).err()
}

pub(super) async fn create(system: &System, folder: &RunFolder, recorder: &Recorder) -> Result<Cluster> {
    if !crate::multicall::ready() {
        return Err(Error::new(
            "this executable did not begin with notafter::multicall::dispatch, so it cannot be a container",
        ));
    }
    let mut place = Place::new(folder.id())?;
    let network = network_name(folder.id());
    let (image, (), control_group) = try_join3(
        image::ready(&place.docker),
        create_network(&place.docker, &network, folder.id()),
        engine::control_group(&place.docker).map(Ok),
    )
    .await?;
    let executable = if system.services.iter().any(|service| is_foreign(&service.program)) {
        foreign::servers(&place.docker).await?;
        elf::put(folder)?
    } else {
        PathBuf::new()
    };
    let run = pod::Run {
        docker: &place.docker,
        executable: &executable,
        system,
        folder,
        recorder,
        image: &image,
        network: &network,
        control_group,
        ending: &place.ending,
    };
    let up = try_join_all(system.services.iter().map(|service| run.start(service))).await?;
    let addresses = addresses(&place.docker, &network).await?;
    let mut pods = BTreeMap::new();
    for pod::Up { service, container, supervisor, bridge } in up {
        let address = addresses.get(&container).copied();
        let address =
            address.ok_or_else(|| Error::new(format!("the container of `{service}` has no address")))?;
        place.bridges.push(bridge.abort_handle());
        pods.insert(
            service,
            Pod { address, health: SocketAddr::new(address, HEALTH_PORT), supervisor, source: None },
        );
    }
    Ok(Cluster {
        system: system.clone(),
        runtime: Runtime::Containers,
        folder: folder.clone(),
        pods,
        nodes: None,
        place: tokio::sync::Mutex::new(Some(super::Place::Containers(place))),
    })
}

/// What a run has in Docker. Dropped without [`Place::give_back`], as when the creation of a cluster
/// is interrupted, it removes all of it.
pub(super) struct Place {
    docker: Docker,
    run: String,
    bridges: Vec<AbortHandle>,
    ending: Arc<AtomicBool>,
}

impl Place {
    fn new(run: &str) -> Result<Self> {
        let docker = engine::connect()?;
        Ok(Self { docker, run: run.to_owned(), bridges: Vec::new(), ending: Arc::default() })
    }

    /// Removes containers and network. What it cannot, the guardians will.
    pub(super) async fn give_back(self) -> Result<()> {
        self.ending.store(true, Ordering::Relaxed);
        let removed = leftovers::remove(&self.docker, &self.run, 1).await;
        removed.map_err(|error| Error::new(format!("run {} is still in Docker", self.run)).because(error))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for bridge in &self.bridges {
            bridge.abort();
        }
        if !self.ending.load(Ordering::Relaxed) {
            // Whoever interrupts a creation goes on only when nothing is left of it.
            let _ = remove_run(&self.run);
        }
    }
}

fn network_name(run: &str) -> String {
    format!("notafter-{run}")
}

async fn create_network(docker: &Docker, name: &str, run: &str) -> Result<()> {
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        labels: Some(engine::labels(run)),
        // Only this machine reaches it, and it reaches nothing else.
        internal: Some(true),
        ..Default::default()
    };
    docker.create_network(request).await.map(drop).map_err(|error| {
        let used_up = error.to_string().contains("address pool");
        let error = Error::new(format!("cannot create the network {name}")).because(error);
        if used_up { error.hint("`notafter sweep` removes the networks of older runs") } else { error }
    })
}

/// The address of every container on a network, by the container's id.
async fn addresses(docker: &Docker, network: &str) -> Result<HashMap<String, IpAddr>> {
    let seen = docker.inspect_network(network, None::<InspectNetworkOptions>).await;
    let seen = seen.context(|| format!("cannot look at the network {network}"))?;
    let address = |text: String| text.split('/').next()?.parse().ok();
    let containers = seen.containers.unwrap_or_default().into_iter();
    Ok(containers.filter_map(|(id, it)| Some((id, address(it.ipv4_address?)?))).collect())
}
