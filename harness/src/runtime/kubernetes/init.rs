//! The first process of a node: this executable once more. It supervises containerd, the kubelet and
//! kube-proxy, as systemd does on a real node, buries orphans, and tells the harness which programs it sees
//! begin and end.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{WaitOptions, wait};
use serde::{Deserialize, Serialize};

use super::{files::Files, manifests::SERVICES};

/// The environment variable that makes this executable the first process of a node.
pub(super) const NODE: &str = "NOTAFTER_NODE";
/// The folder of the node, as seen in its container; [`Boot`] appears in it when all else is laid out.
pub(super) const FOLDER: &str = "/node";
/// The run's logs of the node, as seen in its container.
pub(super) const LOGS: &str = "/logs";
/// A [`Boot`] as JSON.
pub(super) const BOOT: &str = "boot.json";
/// Appears beside [`BOOT`] when the API answers.
pub(super) const API_ANSWERS: &str = "api-answers";
/// What the node sees of its programs: a line of JSON for each [`Saw`].
pub(super) const SAW: &str = "saw.jsonl";
/// Has a file for each program that is not to be started, with its name.
pub(super) const HELD: &str = "held";
/// Pods have one image, which lies in the node's.
const PODS_IMAGE: &str = "/usr/local/share/notafter/pods.tar";
/// How long it may take until the harness has written a file, and until containerd answers first.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After so long systemd would start it again, too (`RestartSec` of the kubelet's unit is 10 s; our
/// users wait).
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// What a node is told when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Files to write that no folder of the run is mounted for.
    pub files: Files,
    /// The pods of each other node, and the address of that node.
    pub routes: Vec<(String, String)>,
    /// What leads to several API servers, each as the arguments of `iptables`.
    pub endpoint: Vec<Vec<String>>,
    /// Whether its programs wait until the API answers: a kubelet that cannot register tries again after
    /// up to seven seconds. That of a control plane is what starts the API.
    pub waits_for_api: bool,
    /// What to supervise: name of the log, and the command.
    pub programs: BTreeMap<String, Vec<String>>,
    /// The programs of which is told when they begin and end, whoever starts them.
    pub watched: Vec<String>,
}

/// What happened to a program of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Saw {
    /// It runs.
    Began { program: String, pid: u32 },
    /// It runs no more.
    Ended { program: String, pid: u32 },
}

/// In a node's first process this never returns.
pub(super) fn dispatch() {
    // Whatever else is started in the container inherits the environment.
    if std::env::var_os(NODE).is_none() || std::process::id() != 1 {
        return;
    }
    let Err(error) = init();
    eprintln!("node: {error}");
    std::process::exit(70);
}

fn init() -> io::Result<std::convert::Infallible> {
    // Pods mount into the node's own tree; and control groups are there to be written to.
    run("mount", &["--make-rshared", "/"])?;
    run("mount", &["-o", "remount,bind,rw", "/sys"])?;
    for group in fs::read_dir("/sys/fs/cgroup")?.flatten().filter(|entry| entry.path().is_dir()) {
        // With one hierarchy its subfolders are no mounts, and writable with it.
        let _ = run("mount", &["-o", "remount,bind,rw", &group.path().to_string_lossy()]);
    }
    let boot = until(|| fs::read(Path::new(FOLDER).join(BOOT)))?;
    let boot: Boot = serde_json::from_slice(&boot)?;
    for (path, text) in &boot.files {
        fs::create_dir_all(Path::new(path).parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)?;
    }
    // A Service that the node's proxy does not know yet is nowhere. By the default route it would be out there: an API
    // server that was answered by whoever is kept that connection, and took an extension for one that has no API.
    run("ip", &["route", "add", SERVICES, "dev", "eth0"])?;
    for (pods, node) in &boot.routes {
        run("ip", &["route", "add", pods, "via", node])?;
    }
    for rule in &boot.endpoint {
        run("iptables", &rule.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    fs::create_dir_all(Path::new(FOLDER).join(HELD))?;
    let mut supervised = vec![Supervised::new("containerd", &["containerd".into()])];
    supervised[0].look()?;
    until(|| run("ctr", &["--namespace", "k8s.io", "images", "import", PODS_IMAGE]))?;
    if boot.waits_for_api {
        until(|| fs::metadata(Path::new(FOLDER).join(API_ANSWERS)))?;
    }
    supervised.extend(boot.programs.iter().map(|(name, command)| Supervised::new(name, command)));
    let mut watched = Watched::begin(boot.watched)?;
    loop {
        // Without a child there is none to wait for.
        while let Ok(Some((ended, _))) = wait(WaitOptions::NOHANG) {
            let ended = Some(ended.as_raw_nonzero().get());
            if let Some(one) = supervised.iter_mut().find(|one| one.pid == ended) {
                (one.pid, one.due) = (None, Instant::now() + RESTART_AFTER);
            }
        }
        supervised.iter_mut().try_for_each(Supervised::look)?;
        watched.look()?;
        sleep(LOOK_EVERY);
    }
}

/// A program that is started again when it ends.
struct Supervised {
    name: String,
    command: Vec<String>,
    pid: Option<i32>,
    /// Not to be started before.
    due: Instant,
}

impl Supervised {
    fn new(name: &str, command: &[String]) -> Self {
        Self { name: name.into(), command: command.into(), pid: None, due: Instant::now() }
    }

    /// Starts it, if it is time to.
    fn look(&mut self) -> io::Result<()> {
        let held = || Path::new(FOLDER).join(HELD).join(&self.name).exists();
        if self.pid.is_none() && Instant::now() >= self.due && !held() {
            self.pid = Some(start(&self.name, &self.command)?);
        }
        Ok(())
    }
}

/// Programs that are looked for among all processes of the node.
struct Watched {
    programs: Vec<String>,
    /// What runs, by its number.
    running: BTreeMap<u32, String>,
    told: File,
}

impl Watched {
    fn begin(programs: Vec<String>) -> io::Result<Self> {
        let told = OpenOptions::new().create(true).append(true).open(Path::new(FOLDER).join(SAW))?;
        Ok(Self { programs, running: BTreeMap::new(), told })
    }

    /// Tells what has changed since the last look: first who has ended, so that whoever took its place comes
    /// after it.
    fn look(&mut self) -> io::Result<()> {
        let mut now = BTreeMap::new();
        for pid in fs::read_dir("/proc")?.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()) {
            if let Some(program) = self.program_of(pid) {
                now.insert(pid, program);
            }
        }
        // Whoever starts another program is two of itself for a moment.
        let twins: Vec<u32> = now.keys().copied().filter(|pid| is_twin(*pid, &now)).collect();
        now.retain(|pid, _| !twins.contains(pid));
        let ended = self.running.iter().filter(|(pid, _)| !now.contains_key(pid));
        let ended = ended.map(|(pid, program)| Saw::Ended { program: program.clone(), pid: *pid });
        let began = now.iter().filter(|(pid, _)| !self.running.contains_key(pid));
        let began = began.map(|(pid, program)| Saw::Began { program: program.clone(), pid: *pid });
        for saw in ended.chain(began) {
            // In one write: whoever reads it sees whole lines.
            let line = serde_json::to_string(&saw)? + "\n";
            self.told.write_all(line.as_bytes())?;
        }
        self.running = now;
        Ok(())
    }

    /// Which of the programs a process runs; one that has ended and is not buried yet runs none.
    fn program_of(&self, pid: u32) -> Option<String> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let first = line.split(|byte| *byte == 0).next()?;
        let name = Path::new(std::str::from_utf8(first).ok()?).file_name()?.to_str()?;
        self.programs.iter().find(|program| *program == name).cloned()
    }
}

/// Whether the parent of a process runs the same program.
fn is_twin(pid: u32, now: &BTreeMap<u32, String>) -> bool {
    let parent = fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| {
        // After the name, which may have any character, come the state and the parent (proc(5)).
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    });
    // Who has ended meanwhile was none to tell of.
    parent.is_none_or(|parent: u32| now.get(&parent) == now.get(&pid))
}

/// Starts a program with its words in a log; gives its process id.
fn start(name: &str, command: &[String]) -> io::Result<i32> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let log = OpenOptions::new().create(true).append(true).open(format!("{LOGS}/{name}.log"))?;
    let child = Command::new(program)
        .args(arguments)
        .env_remove(NODE)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start {program}: {error}")))?;
    // The loop above takes its status, by its number.
    Ok(child.id().cast_signed())
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), said.trim())))
}

/// Tries until it works; gives the last error after two minutes.
fn until<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match work() {
            Err(_) if Instant::now() < limit => sleep(LOOK_EVERY),
            done => return done,
        }
    }
}
