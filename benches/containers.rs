//! How long a system of nine services takes to be up in containers, and the floor: as many containers
//! of the same image, created and started in parallel through the Docker API, until each has said its
//! first line. `cargo bench --bench containers [ROUNDS]`

use std::{
    collections::HashMap,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use notafter::{
    clock::Clock,
    guardian::Guard,
    history::Recorder,
    multicall::{self, Program},
    run::RunFolder,
    runtime::{Cluster, Order, Runtime},
    service::Config,
    system::{Backoff, Filled, Mount, Reload, Service, Start, System},
};
use testcontainers::bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, ListImagesOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use tokio::net::{TcpListener, TcpStream};

const SERVICES: usize = 9;
const ROUNDS: usize = 7;
/// The environment variable that makes this executable say one line and wait.
const FLOOR: &str = "NOTAFTER_BENCH_FLOOR";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    multicall::dispatch(&[Program { name: "idle", main: idle }]);
    if std::env::var_os(FLOOR).is_some() {
        let _ = writeln!(io::stdout(), "up");
        loop {
            std::thread::park();
        }
    }
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    match tokio.block_on(measure(&system(SERVICES), rounds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "containers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures a system against the floor, in turns, so that both see the same machine.
async fn measure(system: &System, rounds: usize) -> Result<(), Failure> {
    Runtime::Containers.available().await?;
    let runs = tempfile::tempdir()?;
    // The image is there from then on.
    up(system, runs.path(), 0).await?;
    let image = image().await?;
    let mut floors = Vec::new();
    let mut ours = Vec::new();
    for round in 1..=rounds {
        floors.push(floor(system.services.len(), &image).await?);
        ours.push(up(system, runs.path(), u64::try_from(round)?).await?);
    }
    let (floor, ours) = (median(floors), median(ours));
    writeln!(
        io::stdout(),
        "{} services up: {:.0} ms, floor {:.0} ms, ratio {:.2} (median of {rounds})",
        system.services.len(),
        ours.as_secs_f64() * 1e3,
        floor.as_secs_f64() * 1e3,
        ours.as_secs_f64() / floor.as_secs_f64(),
    )?;
    Ok(())
}

/// From nothing until every service listens.
async fn up(system: &System, runs: &Path, seed: u64) -> Result<Duration, Failure> {
    let folder = RunFolder::create(runs, "bench", seed)?;
    let recorder = Recorder::create(&folder.history(), Clock::start())?;
    let guard = Guard::post(&folder)?;
    let begin = Instant::now();
    let cluster = Runtime::Containers.create(system, &folder, &recorder).await?;
    let starts = system.services.iter().map(|service| start(&cluster, &service.name));
    for started in join_all(starts).await {
        started?;
    }
    let took = begin.elapsed();
    cluster.tear_down().await?;
    guard.release().await;
    Ok(took)
}

async fn start(cluster: &Cluster, service: &str) -> Result<(), Failure> {
    cluster.order(service, Order::Start).await?;
    let address = cluster.health(service)?;
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// As many containers, through the API alone.
async fn floor(containers: usize, image: &str) -> Result<Duration, Failure> {
    let docker = Docker::connect_with_defaults()?;
    let begin = Instant::now();
    let started = join_all((0..containers).map(|_| first_line(&docker, image))).await;
    let took = begin.elapsed();
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    let mut failure = None;
    let ids = started.into_iter().filter_map(|started| started.map_err(|error| failure = Some(error)).ok());
    join_all(ids.map(|id| {
        let (docker, force) = (docker.clone(), force.clone());
        async move { docker.remove_container(&id, Some(force)).await }
    }))
    .await;
    failure.map_or(Ok(took), Err)
}

async fn first_line(docker: &Docker, image: &str) -> Result<String, Failure> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        env: Some(vec![format!("{FLOOR}=1")]),
        host_config: Some(HostConfig { auto_remove: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
    docker.start_container(&id, None).await?;
    let follow = LogsOptionsBuilder::new().follow(true).stdout(true).build();
    docker.logs(&id, Some(follow)).next().await.ok_or("it said nothing")??;
    Ok(id)
}

/// The image that the runtime made of this executable: the latest of ours.
async fn image() -> Result<String, Failure> {
    let ours = HashMap::from([("label", vec!["notafter.image"])]);
    let images = ListImagesOptionsBuilder::new().filters(&ours).build();
    let images = Docker::connect_with_defaults()?.list_images(Some(images)).await?;
    let latest = images.into_iter().max_by_key(|image| image.created).ok_or("no image of ours")?;
    Ok(latest.id)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The body of a service that does nothing but listen.
#[expect(clippy::needless_pass_by_value, reason = "the shape of a program")]
fn idle(config: Config) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let Ok(listener) = TcpListener::bind(config.health).await else { return 1 };
        while listener.accept().await.is_ok() {}
        1
    })
}

fn system(services: usize) -> System {
    let mount = Mount { authority: "mesh".into(), filled: Filled::ByItself };
    let service = |number: usize| Service {
        name: format!("idle-{number}"),
        program: "idle".into(),
        start: Start::default(),
        needs: [].into(),
        serves: "main".into(),
        mounts: [("main".into(), mount.clone())].into(),
        issues: Vec::new(),
        well_known: true,
        external: false,
        reload: Reload::default(),
        restart: Backoff::default(),
        settings: toml::Table::new(),
    };
    System {
        name: "idle".into(),
        authorities: vec!["mesh".into()],
        services: (0..services).map(service).collect(),
    }
}
