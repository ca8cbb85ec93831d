//! How long a cluster of one control plane and two workers takes, from nothing to every node ready and a
//! Deployment of six pods available whose Service answers across nodes; and the floor, measured in turns: an
//! etcd and an API server alone, as plain processes, to `/readyz`. And the memory of the cluster then.
//! `cargo bench --bench kubernetes [ROUNDS]`

use std::{process::ExitCode, time::Duration, time::Instant};

use futures_util::StreamExt;
use notafter::{
    guardian::Guard,
    multicall,
    run::RunFolder,
    runtime::kubernetes::{self, Spec},
};
use testcontainers::bollard::{Docker, query_parameters::StatsOptionsBuilder};

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/control_plane/mod.rs"]
#[allow(dead_code, reason = "it is for tests")]
mod control_plane;

use control_plane::ControlPlane;

const ROUNDS: usize = 3;
const PODS: u32 = 6;
/// How long each condition of a whole cluster may take.
const LIMIT: Duration = Duration::from_mins(2);
/// What may be taken.
const ALLOWED_SECONDS: f64 = 15.0;
const ALLOWED_GIB: f64 = 1.2;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    multicall::dispatch(&[]);
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    match tokio.block_on(measure(rounds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kubernetes: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(rounds: usize) -> Result<(), Failure> {
    kubernetes::available().await?;
    let (mut floors, mut clusters, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let floor = ControlPlane::start().await;
        floors.push(begun.elapsed().as_secs_f64());
        drop(floor);
        let (seconds, gib) = cluster().await?;
        clusters.push(seconds);
        memory.push(gib);
    }
    let (floor, cluster, memory) = (median(&mut floors), median(&mut clusters), median(&mut memory));
    println!("etcd and API server to /readyz, the floor    {floor:>6.1} s");
    println!(
        "three nodes and six pods, whole              {cluster:>6.1} s, {:.1} of the floor, {:.2} of the {ALLOWED_SECONDS} s allowed",
        cluster / floor,
        cluster / ALLOWED_SECONDS
    );
    println!(
        "memory of the three nodes then               {memory:>6.2} GiB, {:.2} of the {ALLOWED_GIB} GiB allowed",
        memory / ALLOWED_GIB
    );
    Ok(())
}

/// From nothing to a whole cluster in seconds, and what it takes in GiB.
async fn cluster() -> Result<(f64, f64), Failure> {
    let runs = tempfile::tempdir()?;
    let folder = RunFolder::create(runs.path(), "bench-kubernetes", 0)?;
    let guard = Guard::post(&folder)?;
    let begun = Instant::now();
    let cluster = kubernetes::up(&Spec::default(), &folder).await?;
    cluster.whole(PODS, LIMIT).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let docker = Docker::connect_with_defaults()?;
    let mut bytes = 0;
    for node in cluster.nodes() {
        bytes += used(&docker, &format!("{}-{node}", folder.id())).await?;
    }
    cluster.tear_down().await?;
    guard.release().await;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok((seconds, bytes as f64 / f64::from(1 << 30)))
}

/// The memory that a container uses, without what is cached of files.
async fn used(docker: &Docker, container: &str) -> Result<u64, Failure> {
    let once = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let stats = docker.stats(container, Some(once)).next().await.ok_or("no statistics")??;
    let memory = stats.memory_stats.ok_or("no memory among the statistics")?;
    let cached = memory.stats.and_then(|all| all.get("total_inactive_file").copied()).unwrap_or_default();
    Ok(memory.usage.unwrap_or_default().saturating_sub(cached))
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
