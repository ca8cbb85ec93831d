//! How long a system of nine services takes to be up in containers, and the floor: as many containers
//! of the same image, created and started in parallel through the Docker API, until each has said its
//! first line. How long one order of start of the reference system takes against the same floor. How
//! long the image of the running executable takes, the first time and from then on. And how long a credential
//! takes into a container that runs, and the floor: an upload of the same files through the Docker API.
//! `cargo bench --bench containers [ROUNDS]`

use std::{
    collections::{BTreeSet, HashMap},
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
    order::{Choice, Trials},
    pki::{Authority, Identity, Validity},
    run::RunFolder,
    runtime::{Cluster, Order, Runtime},
    service::{BUNDLE_FILE, CHAIN_FILE, Config, KEY_FILE},
    system::{Filled, Mount, Service, System},
};
use testcontainers::bollard::{
    Docker, body_full,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveImageOptions, UploadToContainerOptionsBuilder,
    },
};
use tokio::net::{TcpListener, TcpStream};

const SERVICES: usize = 9;
const ROUNDS: usize = 7;
const INSTALLS: usize = 50;
/// What the image of the running executable may take.
const IMAGE_LIMIT: Duration = Duration::from_millis(500);
/// The environment variable that makes this executable say one line and wait.
const FLOOR: &str = "NOTAFTER_BENCH_FLOOR";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut programs = stack::programs();
    programs.push(Program { name: "idle", main: idle, foreign: false });
    multicall::dispatch(&programs);
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
    let docker = Docker::connect_with_defaults()?;
    let mut images = Vec::new();
    for _ in 0..rounds {
        // There are no two images of the same executable, and no other one is touched.
        docker.remove_image(&image(&docker, runs.path()).await?, None::<RemoveImageOptions>, None).await?;
        images.push(created(runs.path()).await?);
    }
    print("the image made, and a network", median(images), IMAGE_LIMIT, "allowed")?;
    print("the image found, and a network", created(runs.path()).await?, IMAGE_LIMIT, "allowed")?;
    let image = image(&docker, runs.path()).await?;
    let mut floors = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..rounds {
        floors.push(floor(system.services.len(), &image).await?);
        ours.push(up(system, runs.path()).await?);
    }
    let floor = median(floors);
    print("nine services up, 1.3 allowed", median(ours), floor, "of the floor")?;
    print("one order of nine services, 1.5 allowed", order(runs.path()).await?, floor, "of the floor")?;
    let (ours, floor) = installs(&docker, runs.path()).await?;
    print("a credential installed, 1.5 allowed", ours, floor, "of an upload")
}

/// One line: how long it took, and its ratio to something.
fn print(what: &str, took: Duration, to: Duration, of: &str) -> Result<(), Failure> {
    let ratio = took.as_secs_f64() / to.as_secs_f64();
    let [took, to] = [took, to].map(|time| time.as_secs_f64() * 1e3);
    let digits = if took < 10.0 { 2 } else { 0 };
    Ok(writeln!(io::stdout(), "{what:<40} {took:>6.digits$} ms, {ratio:.2} {of} ({to:.digits$} ms)")?)
}

/// A cluster without a service: its network, and the image if it is not there.
async fn created(runs: &Path) -> Result<Duration, Failure> {
    up(&system(0), runs).await
}

/// From nothing until every service listens.
async fn up(system: &System, runs: &Path) -> Result<Duration, Failure> {
    let folder = RunFolder::create(runs, "bench", 0)?;
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

/// What an order costs, one after another: from clean to clean, the stability window included.
async fn order(runs: &Path) -> Result<Duration, Failure> {
    let choice = Choice { ways: BTreeSet::new(), ..Choice::default() };
    let trials =
        Trials { runtime: Runtime::Containers, choice, side_by_side: 1, ..Trials::of(stack::system(), runs) };
    let (_never, interrupt) = tokio::sync::watch::channel(false);
    let outcome = trials.run(interrupt).await?;
    let (Some(first), Some(last)) = (outcome.tried.first(), outcome.tried.last()) else {
        return Err("no order was tried".into());
    };
    let took = Duration::from_micros(last.ended - first.began);
    Ok(took / u32::try_from(outcome.tried.len())?)
}

async fn start(cluster: &Cluster, service: &str) -> Result<(), Failure> {
    cluster.order(service, Order::Start).await?;
    let address = cluster.health(service)?;
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// What one install of a credential into a running container takes, and one upload of the same files, in turns.
async fn installs(docker: &Docker, runs: &Path) -> Result<(Duration, Duration), Failure> {
    let folder = RunFolder::create(runs, "bench", 0)?;
    let recorder = Recorder::create(&folder.history(), Clock::start())?;
    let guard = Guard::post(&folder)?;
    let cluster = Runtime::Containers.create(&system(1), &folder, &recorder).await?;
    start(&cluster, "idle-0").await?;
    let mesh = Authority::new("mesh")?;
    let credential = mesh.issue(&Identity::service("idle-0"), Validity::lasting(Duration::from_hours(1)))?;
    let parts = [credential.chain_pem(), credential.key_pem(), credential.bundle_pem()];
    let mut archive = tar::Builder::new(Vec::new());
    for (name, part) in [CHAIN_FILE, KEY_FILE, BUNDLE_FILE].into_iter().zip(parts) {
        let mut header = tar::Header::new_gnu();
        header.set_size(part.len().try_into()?);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, part.as_bytes())?;
    }
    let archive = archive.into_inner()?;
    let container = format!("{}-idle-0", folder.id());
    let (mut ours, mut uploads) = (Vec::new(), Vec::new());
    for _ in 0..INSTALLS {
        let begin = Instant::now();
        cluster.install("idle-0", "main", &credential)?;
        ours.push(begin.elapsed());
        let begin = Instant::now();
        let to_root = UploadToContainerOptionsBuilder::new().path("/").build();
        docker.upload_to_container(&container, Some(to_root), body_full(archive.clone().into())).await?;
        uploads.push(begin.elapsed());
    }
    cluster.tear_down().await?;
    guard.release().await;
    Ok((median(ours), median(uploads)))
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

/// The image that the runtime made of this executable: that of a container in which it runs.
async fn image(docker: &Docker, runs: &Path) -> Result<String, Failure> {
    let folder = RunFolder::create(runs, "bench", 0)?;
    let recorder = Recorder::create(&folder.history(), Clock::start())?;
    let guard = Guard::post(&folder)?;
    let cluster = Runtime::Containers.create(&system(1), &folder, &recorder).await?;
    let ours = HashMap::from([("label", vec![format!("notafter.run={}", folder.id())])]);
    let containers = ListContainersOptionsBuilder::new().filters(&ours).build();
    let containers = docker.list_containers(Some(containers)).await?;
    cluster.tear_down().await?;
    guard.release().await;
    Ok(containers.into_iter().find_map(|one| one.image_id).ok_or("no container of ours")?)
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
    let mount = Mount { filled: Filled::ByItself, ..Mount::of("mesh") };
    let service = |number: usize| Service {
        mounts: [("main".into(), mount.clone())].into(),
        well_known: true,
        ..Service::new(&format!("idle-{number}"), "idle", "main")
    };
    System {
        name: "idle".into(),
        authorities: vec!["mesh".into()],
        services: (0..services).map(service).collect(),
    }
}
