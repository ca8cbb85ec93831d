//! What runs have left in Docker, and its removal. Nothing here needs a cluster, or the harness that
//! made it.

use std::{
    collections::{BTreeMap, HashMap},
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use testcontainers::bollard::{
    self, Docker,
    models::NetworkDisconnectRequest,
    query_parameters::{
        InspectNetworkOptions, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
    },
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    engine::{IMAGE, OWNER, RUN, connect, labelled},
    image,
};
use crate::{
    error::{Context, Error, Result},
    procfs::Identity,
    words::counted,
};

/// The engine may still be at a creation that was asked for before the harness died: this many looks
/// must find nothing,
const LOOKS: u32 = 3;
/// so far apart.
const APART: Duration = Duration::from_millis(200);
/// What cannot be removed by then stays, and is said. Nine containers take a second, and on a starved
/// machine half of this.
const REMOVAL_LIMIT: Duration = Duration::from_secs(40);
/// Nothing that we ask of the engine takes longer.
const LIMIT: Duration = Duration::from_secs(45);

/// A run that has left something in Docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its id.
    pub run: String,
    /// Whether the harness that made it still runs: then it is nobody's leftover yet.
    pub owner_lives: bool,
    /// How many containers.
    pub containers: usize,
    /// How many networks.
    pub networks: usize,
}

/// The runs that have something in Docker; none where there is no Docker.
///
/// # Errors
/// If Docker is there and does not answer.
pub fn runs() -> Result<Vec<Leftover>> {
    with_docker(Vec::new(), async |docker| {
        let (containers, networks) = (containers(docker, RUN).await?, networks(docker, RUN).await?);
        let mut found = BTreeMap::<String, Leftover>::new();
        let things =
            containers.iter().map(|thing| (thing, true)).chain(networks.iter().map(|it| (it, false)));
        for (Thing { run, owner, .. }, is_container) in things {
            let owner_lives = owner.is_some_and(Identity::lives);
            let left = found.entry(run.clone()).or_insert_with(|| Leftover {
                run: run.clone(),
                owner_lives,
                containers: 0,
                networks: 0,
            });
            *if is_container { &mut left.containers } else { &mut left.networks } += 1;
        }
        Ok(found.into_values().collect())
    })
}

/// Removes the images of other builds of this executable, unless a container uses them. Gives how
/// many.
///
/// # Errors
/// If Docker is there and does not answer.
pub fn remove_old_images() -> Result<u64> {
    with_docker(0, async |docker| {
        let (tag, _) = image::tag().await?;
        let current = format!("{}:{tag}", image::NAME);
        let options = ListImagesOptionsBuilder::new().filters(&labelled(IMAGE)).build();
        let images = docker.list_images(Some(options)).await.context(|| "cannot list images".into())?;
        let old = images.into_iter().filter(|image| !image.repo_tags.contains(&current));
        // Without force: one that is in use stays.
        let removals =
            old.map(async |image| docker.remove_image(&image.id, None::<RemoveImageOptions>, None).await);
        Ok(join_all(removals).await.iter().map(|removed| u64::from(removed.is_ok())).sum())
    })
}

/// Removes every container and network of a run, whatever state it is in. Idempotent; at once where
/// there is no Docker.
pub(crate) fn remove_run(run: &str) -> Result<()> {
    with_docker((), async |docker| remove(docker, run, LOOKS).await)
}

/// Removes every container and network of a run until so many looks in a row find none.
pub(in crate::runtime) async fn remove(docker: &Docker, run: &str, looks: u32) -> Result<()> {
    let label = format!("{RUN}={run}");
    let limit = Instant::now() + REMOVAL_LIMIT;
    let mut clean = 0;
    loop {
        let containers = containers(docker, &label).await?;
        // An engine that lists networks while containers leave one loses count of its endpoints, and
        // then never lets go of it (moby issue 42119; 2 of 25 times with 20.10): first all leave.
        let networks = if containers.is_empty() { networks(docker, &label).await? } else { Vec::new() };
        if containers.is_empty() && networks.is_empty() {
            clean += 1;
            if clean >= looks {
                return Ok(());
            }
            sleep(APART).await;
            continue;
        }
        clean = 0;
        // Anonymous volumes go with their container.
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removals = containers.iter().map(|it| docker.remove_container(&it.id, Some(options.clone())));
        let mut removed = join_all(removals).await;
        removed.extend(join_all(networks.iter().map(|it| remove_network(docker, &it.id))).await);
        let Some(refusal) = removed.into_iter().find_map(Result::err) else { continue };
        if Instant::now() >= limit {
            return Err(Error::new(format!(
                "Docker does not let go of {} and {} of run {run} in {} s",
                counted(containers.len() as u64, "container"),
                counted(networks.len() as u64, "network"),
                REMOVAL_LIMIT.as_secs(),
            ))
            .because(refusal)
            .hint("restart the Docker Engine, then `notafter sweep`"));
        }
        // One that is on its way out already cannot be removed again; the next look will tell.
        sleep(APART / 10).await;
    }
}

/// Removes a network that none of our containers is on any more. Somebody else's may be, put there to
/// look at the cluster; and the engine may remember one that is long gone.
async fn remove_network(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let seen = docker.inspect_network(id, None::<InspectNetworkOptions>).await?;
    for container in seen.containers.into_iter().flatten().filter_map(|(_, endpoint)| endpoint.name) {
        docker.disconnect_network(id, NetworkDisconnectRequest { container, force: Some(true) }).await?;
    }
    docker.remove_network(id).await
}

/// A container or a network of a run.
struct Thing {
    id: String,
    run: String,
    owner: Option<Identity>,
}

impl Thing {
    fn of(id: Option<String>, labels: Option<HashMap<String, String>>) -> Option<Self> {
        let mut labels = labels?;
        let owner = labels.remove(OWNER).and_then(|owner| owner.parse().ok());
        Some(Self { id: id?, run: labels.remove(RUN)?, owner })
    }
}

/// The containers with a label.
async fn containers(docker: &Docker, label: &str) -> Result<Vec<Thing>> {
    let filters = labelled(label);
    let all = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(all)).await.context(|| "cannot list containers".into())?;
    Ok(listed.into_iter().filter_map(|it| Thing::of(it.id, it.labels)).collect())
}

/// The networks with a label.
async fn networks(docker: &Docker, label: &str) -> Result<Vec<Thing>> {
    let options = ListNetworksOptionsBuilder::new().filters(&labelled(label)).build();
    let listed = docker.list_networks(Some(options)).await.context(|| "cannot list networks".into())?;
    Ok(listed.into_iter().filter_map(|it| Thing::of(it.id, it.labels)).collect())
}

/// Works with Docker from wherever, in a runtime or not; gives `nothing` where there is no Docker.
pub(in crate::runtime) fn with_docker<T: Send>(
    nothing: T,
    work: impl AsyncFnOnce(&Docker) -> Result<T> + Send,
) -> Result<T> {
    let Ok(docker) = connect() else { return Ok(nothing) };
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context(|| "cannot start a runtime".into())?;
        runtime.block_on(async {
            let late = |_| Err(Error::new(format!("Docker is not done after {LIMIT:?}")));
            timeout(LIMIT, work(&docker)).await.unwrap_or_else(late)
        })
    };
    let done = thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|_| Err(Error::new("bug: a removal from Docker panicked")))
}
