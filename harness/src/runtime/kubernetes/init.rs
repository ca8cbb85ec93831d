//! The first process of a node: this executable once more. It supervises containerd, the kubelet and
//! kube-proxy, as systemd does on a real node, and buries orphans.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{WaitOptions, wait};
use serde::{Deserialize, Serialize};

use super::pki::Files;

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
    /// Whether its programs wait until the API answers: a kubelet that cannot register tries again after
    /// up to seven seconds. That of the control plane is what starts the API.
    pub waits_for_api: bool,
    /// What to supervise: name of the log, and the command.
    pub programs: BTreeMap<String, Vec<String>>,
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
    for (pods, node) in &boot.routes {
        run("ip", &["route", "add", pods, "via", node])?;
    }
    let mut supervised = BTreeMap::new();
    supervised
        .insert(start("containerd", &["containerd".into()])?, ("containerd", vec!["containerd".into()]));
    until(|| run("ctr", &["--namespace", "k8s.io", "images", "import", PODS_IMAGE]))?;
    if boot.waits_for_api {
        until(|| fs::metadata(Path::new(FOLDER).join(API_ANSWERS)))?;
    }
    for (name, command) in &boot.programs {
        supervised.insert(start(name, command)?, (name.as_str(), command.clone()));
    }
    loop {
        let Some((ended, _)) = wait(WaitOptions::empty())? else { continue };
        let Some((name, command)) = supervised.remove(&ended.as_raw_nonzero().get()) else { continue };
        sleep(RESTART_AFTER);
        supervised.insert(start(name, &command)?, (name, command));
    }
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
