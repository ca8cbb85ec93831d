//! A small cluster to try things on, and a look at what is left of one.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    net::IpAddr,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use notafter::{
    clock::Clock,
    guardian::Guard,
    history::{ProcessChange, Recorder, What},
    run::RunFolder,
    runtime::{Cluster, Order, Runtime},
    system::{Filled, Mount, Service, System},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{PATIENCE, diarist, docker};

/// The environment variable that makes this executable a harness to be killed: its runtime, and the
/// folder of its run.
pub const HOST: &str = "NOTAFTER_TEST_HOST";

/// A cluster of two diarists, `left` and `right`, both running.
pub struct Bench {
    cluster: Cluster,
    recorder: Recorder,
    folder: RunFolder,
    _runs: TempDir,
}

impl Bench {
    pub async fn up(runtime: Runtime) -> Self {
        Self::of(runtime, &system(), lay_bundles).await
    }

    /// A cluster of another system, in whose mounts is put what it needs before it starts.
    pub async fn of(runtime: Runtime, system: &System, lay: impl Fn(&Cluster)) -> Self {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(runs.path(), "bench", 0).expect("a run's folder");
        let (cluster, recorder) = bring_up(runtime, system, &folder, lay).await;
        Self { cluster, recorder, folder, _runs: runs }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    pub fn run(&self) -> &str {
        self.folder.id()
    }

    pub fn address(&self, service: &str) -> IpAddr {
        self.cluster.health(service).expect("a service").ip()
    }

    pub async fn order(&self, service: &str, order: Order) {
        self.cluster.order(service, order).await.expect("the order is obeyed");
        if matches!(order, Order::Start | Order::Restart) {
            // From then on it handles signals.
            until_listening(&self.cluster, service).await;
        }
    }

    pub async fn ask(&self, service: &str, question: &str) -> String {
        let address = self.cluster.health(service).expect("a service");
        let stream = TcpStream::connect(address).await.expect("it listens");
        diarist::ask(stream, question).await.expect("an answer")
    }

    pub fn process(&self, service: &str) -> Process {
        process_of(self.run(), service).expect("it runs")
    }

    pub fn diary(&self, service: &str) -> Vec<String> {
        let diary = self.folder.service(service).join("data").join(diarist::DIARY);
        fs::read_to_string(diary).expect("a diary").lines().map(str::to_owned).collect()
    }

    pub fn changes(&self, of: &str) -> Vec<ProcessChange> {
        let changes = self.recorder.so_far().events.into_iter().filter_map(|event| match event.what {
            What::Process { service, change } if service == of => Some(change),
            _ => None,
        });
        changes.collect()
    }

    pub async fn tear_down(self) {
        self.cluster.tear_down().await.expect("nothing resists");
    }
}

/// A harness in a process of its own, with a cluster that is up.
pub struct Host {
    process: Child,
    run: String,
    runs: TempDir,
}

impl Host {
    pub async fn start(runtime: Runtime) -> Self {
        let runs = tempfile::tempdir().expect("a folder");
        let order = format!("{} {}", runtime.name(), runs.path().display());
        let mut command = Command::new("/proc/self/exe");
        let mut process = command.env(HOST, order).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(process.stdout.take().expect("piped"));
        let run = tokio::task::spawn_blocking(move || {
            let mut run = String::new();
            said.read_line(&mut run).map(|_| run.trim().to_owned())
        });
        let run = run.await.expect("no panic").expect("it says which run");
        assert_ne!(run, "", "the host came to an end");
        Self { process, run, runs }
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    pub fn guardians(&self) -> Vec<u32> {
        processes().filter(|pid| environment(*pid).iter().any(|it| self.is_guardian(it))).collect()
    }

    pub fn folder(&self) -> RunFolder {
        RunFolder::open(&self.runs.path().join(&self.run))
    }

    pub fn signal(&self, signal: Signal) {
        send(self.process.id(), signal);
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("it ran until now");
        self.process.wait().expect("a child");
    }

    fn is_guardian(&self, entry: &[u8]) -> bool {
        entry.starts_with(b"NOTAFTER_GUARDIAN=") && entry.ends_with(self.run.as_bytes())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The body of a harness to be killed.
pub fn host(order: &OsStr) -> ExitCode {
    let order = order.to_string_lossy();
    let (runtime, runs) = order.split_once(' ').expect("a runtime and a folder");
    let runtime: Runtime = runtime.parse().expect("a runtime");
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    tokio.block_on(async {
        let folder = RunFolder::create(Path::new(runs), "host", 0).expect("a run's folder");
        let _guard = Guard::post(&folder).expect("guardians");
        let _cluster = bring_up(runtime, &system(), &folder, lay_bundles).await;
        {
            use std::io::Write;
            writeln!(std::io::stdout(), "{}", folder.id()).expect("a listener");
        }
        std::future::pending().await
    })
}

fn lay_bundles(cluster: &Cluster) {
    for service in ["left", "right"] {
        cluster.install_bundle(service, "main", "nothing").expect("installed");
    }
}

async fn bring_up(
    runtime: Runtime,
    system: &System,
    folder: &RunFolder,
    lay: impl Fn(&Cluster),
) -> (Cluster, Recorder) {
    let recorder = Recorder::create(&folder.history(), Clock::start()).expect("a history");
    let cluster = runtime.create(system, folder, &recorder).await.expect("a cluster");
    lay(&cluster);
    for service in system.services.iter().map(|service| service.name.as_str()) {
        cluster.order(service, Order::Start).await.expect("it starts");
        until_listening(&cluster, service).await;
    }
    (cluster, recorder)
}

async fn until_listening(cluster: &Cluster, service: &str) {
    let address = cluster.health(service).expect("a service");
    // A Service without a pod drops what is sent to it, and TCP waits twice as long before each next time.
    let once = || tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address));
    let connects = async {
        while !matches!(once().await, Ok(Ok(_))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connects).await.unwrap_or_else(|_| panic!("{service} does not listen"));
}

pub fn system() -> System {
    let service = |name: &str| service(name, "diarist");
    System {
        name: "bench".into(),
        authorities: vec!["mesh".into()],
        services: vec![service("left"), service("right")],
    }
}

pub fn service(name: &str, program: &str) -> Service {
    let mount = Mount { filled: Filled::ByItself, ..Mount::of("mesh") };
    Service {
        mounts: [("main".into(), mount)].into(),
        well_known: true,
        reload: notafter::system::Reload::OnSignal,
        ..Service::new(name, program, "main")
    }
}

/// A process, as the host sees it, whichever runtime it is in.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub pid: u32,
    /// As in field 3 of /proc/PID/stat.
    pub state: char,
}

pub fn process_of(run: &str, service: &str) -> Option<Process> {
    let name = format!("notafter-{service}\0");
    processes_of(run)
        .into_iter()
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == name.as_bytes()))
        .find_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let state = stat.rsplit_once(") ")?.1.chars().next()?;
            Some(Process { pid, state })
        })
}

pub fn processes_of(run: &str) -> Vec<u32> {
    let wanted = format!("NOTAFTER_RUN={run}");
    processes().filter(|pid| environment(*pid).iter().any(|entry| entry == wanted.as_bytes())).collect()
}

/// In a container the supervisor is a process of the run, too.
pub fn expected_processes(runtime: Runtime) -> usize {
    match runtime {
        Runtime::Processes => 2,
        Runtime::Containers => 4,
        Runtime::Kubernetes => unreachable!("nobody counts the processes of nodes"),
    }
}

pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    kill_process(pid, signal).expect("it ran until now");
}

/// What a run has left on this machine, in words.
pub async fn left_of(runtime: Runtime, run: &str) -> Vec<String> {
    let mut left: Vec<_> = processes_of(run).iter().map(|pid| format!("process {pid}")).collect();
    left.extend(docker::left_of(runtime, run).await);
    left
}

pub async fn until_nothing_is_left(runtime: Runtime, run: &str) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let left = left_of(runtime, run).await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < limit, "left after {PATIENCE:?}: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for something that is about to happen.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < limit, "not in {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok())
}

fn environment(pid: u32) -> Vec<Vec<u8>> {
    let mut environment = Vec::new();
    if let Ok(mut file) = fs::File::open(format!("/proc/{pid}/environ")) {
        // A process that ends meanwhile has none.
        let _ = file.read_to_end(&mut environment);
    }
    environment.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}
