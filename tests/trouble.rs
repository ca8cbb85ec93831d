//! A machine that is in trouble of its own: no verdict, never a hang, and words that name the thing.

mod common;

use std::{
    fs::{self, File},
    io::Write,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use common::{Said, User, processes, wait};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use notafter::{cli::exit, history::Phase, runtime::Runtime, service::TLS_PORT, testing::requires};
use rustix::process::{Pid, Signal, kill_process};

/// No run takes that long to any phase, and no engine to start or to end.
const PATIENCE: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The port that one of them takes is the others', too.
    arguments.test_threads.get_or_insert(1);
    let trials = vec![
        Trial::test("a_port_that_is_taken_everywhere_is_named", || {
            a_port_that_is_taken_everywhere_is_named();
            Ok(())
        }),
        Trial::test("a_service_that_never_gets_ready_is_named_with_what_it_waits_for", || {
            a_service_that_never_gets_ready_is_named_with_what_it_waits_for();
            Ok(())
        }),
        Trial::test("an_executable_that_vanishes_in_mid_run_changes_nothing", || {
            an_executable_that_vanishes_in_mid_run_changes_nothing();
            Ok(())
        }),
        Trial::ignorable_test("a_full_disk_is_named_wherever_the_run_meets_it", || Ok(full_disk())),
        Trial::ignorable_test("a_clock_that_jumps_gives_no_verdict", || Ok(clock_jumps())),
        Trial::ignorable_test("docker_stopped_in_mid_run_ends_the_run_at_once", docker_stopped),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn a_port_that_is_taken_everywhere_is_named() {
    // If somebody else has it already, so much the better.
    let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, TLS_PORT));
    let said = User::new().run(&["run", "stack/one-leaf"]);
    is_unknown(&said, &["no free block of loopback addresses", "Address already in use", "8443"]);
}

fn a_service_that_never_gets_ready_is_named_with_what_it_waits_for() {
    let user = User::new();
    let mut system = stack::system();
    let search = system.services.iter_mut().find(|service| service.name == "search").expect("search");
    search.settings.insert("registers_after".into(), "nobody".into());
    let file = user.file("system.toml", &system.to_toml());
    let said = user.run(&["run", "aware-2022/mitigated", "--system", &file]);
    is_unknown(&said, &["search is not ready: it waits for registration: not before nobody is registered"]);
    assert!(said.err.contains("hint: what each service said is in logs/"), "{}", said.err);
    nothing_runs(&common::runs(&user.state().join("runs"))[0]);
}

/// As by a rebuild: services are started again from what runs, not from a file of its name.
fn an_executable_that_vanishes_in_mid_run_changes_nothing() {
    let user = User::new();
    let executable = user.state().join("notafter");
    fs::copy(env!("CARGO_BIN_EXE_notafter"), &executable).expect("a copy");
    let mut command = Command::new(&executable);
    command.args(["run", "stack/spool"]).env("NOTAFTER_STATE", user.state()).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child");
    let run = wait(PATIENCE, "phase observe", || has_begun(user.state(), Phase::Observe));
    fs::remove_file(&executable).expect("it was there");
    let said = Said::of(child.wait_with_output().expect("a child"), user.state());
    assert_eq!(said.code, Some(i32::from(exit::AS_EXPECTED)), "{}", said.all());
    nothing_runs(&run);
}

/// A run in a file system of its own, which is too small, or is filled by somebody else in mid-run.
fn full_disk() -> Completion {
    if !own_namespace(&["--mount"]) {
        return Completion::ignored_with("no file system of one's own can be mounted here");
    }
    let no_space = "No space left on device";
    let user = User::new();
    let said = Said::of(on_a_small_disk(&user, "60k").output().expect("unshare"), user.state());
    is_unknown(&said, &["phase `start` went wrong", "cannot install a credential of", no_space]);

    let user = User::new();
    let mut command = on_a_small_disk(&user, "3m");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("unshare");
    // Its file system, as it sees it.
    let state = Path::new("/proc").join(child.id().to_string()).join("root");
    let state = state.join(user.state().strip_prefix("/").expect("an absolute path"));
    let run = wait(PATIENCE, "phase observe", || has_begun(&state, Phase::Observe));
    let mut filler = File::create(state.join("filler")).expect("a file");
    while filler.write_all(&[0; 4096]).is_ok() {}
    let said = Said::of(child.wait_with_output().expect("a child"), user.state());
    is_unknown(&said, &["the evidence in [state]/runs/stack-one-leaf-", "is incomplete", no_space]);
    nothing_runs(&run);
    Completion::Completed
}

fn on_a_small_disk(user: &User, size: &str) -> Command {
    let mount = format!("mount -t tmpfs -o size={size} none \"$NOTAFTER_STATE\" && exec \"$@\"");
    let mut command = unshared(&["--mount"], &mount, &user.command(&["run", "stack/one-leaf"]));
    command.env("NOTAFTER_STATE", user.state()).env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    command
}

/// Somebody sets the wall clock of a run and of its services; nobody else's.
fn clock_jumps() -> Completion {
    let Some(library) = faketime() else {
        return Completion::ignored_with(
            "it takes libfaketime, and a build that links the C library dynamically",
        );
    };
    let user = User::new();
    let clock = user.file("clock", "+0");
    let mut command = user.command(&["run", "stack/one-leaf"]);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child");
    let run = wait(PATIENCE, "phase landed", || has_begun(user.state(), Phase::Landed));
    // An hour: every certificate of the run is still valid.
    fs::write(&clock, "+3600").expect("a file");
    let said = Said::of(child.wait_with_output().expect("a child"), user.state());
    is_unknown(&said, &["the wall clock jumped by 3"]);
    nothing_runs(&run);
    Completion::Completed
}

/// The library that fakes a clock, where Debian puts it.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists())
}

/// An engine of the test's own, in a network of its own: nobody else's is touched.
fn docker_stopped() -> Result<Completion, Failed> {
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) if requires(Runtime::Containers.name()) => return Err(why.into()),
        Err(why) => return Ok(Completion::ignored_with(why)),
    };
    let user = User::new();
    let run = user.command(&["run", "stack/spool", "--on", "containers"]);
    let (out, err) = ("out.txt", "err.txt");
    let stream = |name: &str| File::create(user.state().join(name)).expect("a file");
    let mut command = engine.on_its_network(&run);
    command.env("NOTAFTER_STATE", user.state()).stdout(stream(out)).stderr(stream(err));
    let mut child = command.spawn().expect("nsenter");
    let run = wait(PATIENCE, "phase observe", || has_begun(user.state(), Phase::Observe));
    engine.stop();
    let ended = wait(PATIENCE, "the run's end", || child.try_wait().expect("a child"));
    assert_eq!(ended.code(), Some(i32::from(exit::UNKNOWN)));
    let said = fs::read_to_string(user.state().join(err)).expect("a file");
    assert!(
        said.contains("its supervisor is gone\nhint: was its container removed, or Docker stopped?"),
        "{said}"
    );
    nothing_runs(&run);
    assert!(!run.join("services").exists(), "credentials are left");
    Ok(Completion::Completed)
}

/// The folder of the only run, when the phase has begun.
fn has_begun(state: &Path, phase: Phase) -> Option<PathBuf> {
    let run = common::runs(&state.join("runs")).pop()?;
    let history = fs::read_to_string(run.join("history.jsonl")).ok()?;
    history.contains(&format!("\"phase-began\",\"phase\":\"{phase}\"")).then_some(run)
}

/// No service and no guardian of a run.
fn nothing_runs(run: &Path) {
    let id = run.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    for variable in ["NOTAFTER_RUN", "NOTAFTER_GUARDIAN"] {
        wait(PATIENCE, variable, || processes(variable, id).is_empty().then_some(()));
    }
}

/// The verdict is unknown, and these words say why.
fn is_unknown(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(i32::from(exit::UNKNOWN)), "{}", said.all());
    // A report is wrapped to a width.
    let text = said.all();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in words {
        assert!(text.contains(wanted), "no `{wanted}` in {}", said.all());
    }
}

/// A Docker Engine that is nobody else's.
struct Engine {
    process: Child,
    folder: tempfile::TempDir,
}

impl Engine {
    /// Or why there can be none.
    fn start() -> Result<Self, String> {
        let version = Command::new("dockerd").arg("--version").output();
        if !rustix::process::geteuid().is_root() || version.is_err() {
            return Err("it takes dockerd and root".into());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut daemon = Command::new("dockerd");
        daemon.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
        // The runs have networks of their own; the rules of the firewall are the machine's.
        daemon.args([
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--host",
            &socket(folder.path()),
        ]);
        let mut command = unshared(&["--net"], "ip link set lo up && exec \"$@\"", &daemon);
        let log = File::create(path("log")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let engine = Self { process: command.spawn().map_err(|error| format!("unshare: {error}"))?, folder };
        wait(PATIENCE, "an engine that answers", || {
            let mut ask = engine.on_its_network(Command::new("docker").arg("version"));
            let answer = ask.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
            answer.success().then_some(())
        });
        Ok(engine)
    }

    /// The same command, where the containers of this engine can be reached.
    fn on_its_network(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.process.id())).arg(command.get_program());
        inside.args(command.get_args()).env("DOCKER_HOST", socket(self.folder.path()));
        inside
    }

    /// As `systemctl stop docker` does: containers end with it.
    fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = Pid::from_child(&self.process);
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.process.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn socket(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

/// A command in new namespaces, after some words of a shell.
fn unshared(namespaces: &[&str], words: &str, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        inside.args(["--user", "--map-root-user"]);
    }
    inside
        .args(namespaces)
        .args(["sh", "-c", words, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    inside
}

fn own_namespace(namespaces: &[&str]) -> bool {
    let done = unshared(namespaces, "exec \"$@\"", &Command::new("true")).output();
    done.is_ok_and(|output| output.status.success())
}
