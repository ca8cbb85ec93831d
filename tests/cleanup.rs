//! However a run ends, in whatever phase: nothing of it is left but its evidence.
//!
//! What exists is listed before and after, never taken from a log.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use common::{User, describe, docker, processes, trial, wait, wait_or};
use libtest_mimic::{Arguments, Completion, Trial};
use notafter::{
    history::Phase,
    runner::WAY,
    runtime::{Runtime, containers},
    scenario::Scenario,
    suite::Settings,
    testing::SERVERS,
};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything of a run may outlive it.
const GONE: Duration = Duration::from_secs(5);
/// No run takes that long to any phase.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many runs may end before their time.
const ATTEMPTS: u32 = 5;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Runs one after another: two at once on two cores would not come to the same phases.
    arguments.test_threads.get_or_insert(1);
    let mut trials = Vec::new();
    // Nodes of Kubernetes are containers of the run like others: `tests/kube.rs` looks at what they leave.
    for runtime in [Runtime::Processes, Runtime::Containers] {
        trials.extend([
            trial(
                runtime,
                "an_interrupt_in_any_phase_leaves_nothing_but_evidence",
                an_interrupt_in_any_phase_leaves_nothing_but_evidence,
            ),
            trial(
                runtime,
                "kill_9_in_any_phase_leaves_nothing_but_evidence",
                kill_9_in_any_phase_leaves_nothing_but_evidence,
            ),
            trial(
                runtime,
                "kill_9_of_the_guardians_first_changes_nothing",
                kill_9_of_the_guardians_first_changes_nothing,
            ),
        ]);
    }
    trials.push(Trial::ignorable_test("containers::kill_9_of_a_profile_leaves_no_server", || {
        if let Some(why) = docker::lacks_image(containers::SERVERS) {
            return common::ignored_without(SERVERS, why);
        }
        kill_9_of_a_profile_leaves_no_server();
        Ok(Completion::Completed)
    }));
    trials.push(Trial::ignorable_test(
        "processes::kill_9_leaves_no_worker_of_servers_that_others_wrote",
        || {
            let scenario = servers_run();
            if let Some(why) = scenario.cannot_run(Runtime::Processes) {
                return common::ignored_without(SERVERS, why);
            }
            kill_9_leaves_no_worker_of_servers_that_others_wrote(&scenario.name);
            Ok(Completion::Completed)
        },
    ));
    let always = |name: &str, claim: fn()| {
        Trial::test(name, move || {
            claim();
            Ok(())
        })
    };
    trials.extend([
        always(
            "trials_of_orders_that_end_early_tell_what_they_know_and_leave_nothing",
            trials_of_orders_that_end_early_tell_what_they_know_and_leave_nothing,
        ),
        always(
            "a_second_ctrl_c_leaves_at_once_and_the_guardians_do_the_rest",
            a_second_ctrl_c_leaves_at_once_and_the_guardians_do_the_rest,
        ),
        always(
            "a_sweep_removes_what_a_dead_run_left_and_touches_no_live_one",
            a_sweep_removes_what_a_dead_run_left_and_touches_no_live_one,
        ),
        always("a_sweep_can_forget_old_evidence", a_sweep_can_forget_old_evidence),
        always(
            "a_held_cluster_answers_until_ctrl_c_and_then_is_gone",
            a_held_cluster_answers_until_ctrl_c_and_then_is_gone,
        ),
    ]);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn an_interrupt_in_any_phase_leaves_nothing_but_evidence(runtime: Runtime) {
    // Both end a run in the same way; each phase sees one of them.
    for (phase, signal) in WAY.into_iter().zip([Signal::INT, Signal::TERM].into_iter().cycle()) {
        let run = Run::until(runtime, phase);
        run.signal(signal);
        run.has_ended_in_order(phase);
    }
}

fn kill_9_in_any_phase_leaves_nothing_but_evidence(runtime: Runtime) {
    for phase in WAY {
        let run = Run::until(runtime, phase);
        run.signal(Signal::KILL);
        run.has_died(phase);
    }
}

fn kill_9_of_the_guardians_first_changes_nothing(runtime: Runtime) {
    for phase in WAY {
        let run = Run::until(runtime, phase);
        let first = run.guardians();
        for pid in &first {
            send(*pid, Signal::KILL);
        }
        wait(GONE, "new guardians", || {
            let now = run.guardians();
            (now.len() == first.len() && now.iter().all(|pid| !first.contains(pid))).then_some(())
        });
        run.signal(Signal::KILL);
        run.has_died(phase);
    }
}

/// Its servers run in containers of an image that others made: nothing in there knows that its harness died.
fn kill_9_of_a_profile_leaves_no_server() {
    let user = User::new();
    let mut command = user.command(&["profile", "nginx", "--on", "containers"]);
    docker::allow(&mut command);
    command.env("TMPDIR", user.state()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut harness = command.spawn().expect("the executable starts");
    let folder = wait(PATIENCE, "a server in a container", || {
        let ended = harness.try_wait().expect("a child");
        assert_eq!(ended, None, "it ended by itself");
        let runs = fs::read_dir(user.state().join("notafter/runs")).ok()?;
        let folder = runs.flatten().next()?.path();
        (!docker::left_of(id(&folder)).is_empty()).then_some(folder)
    });
    harness.kill().expect("it runs");
    harness.wait().expect("a child");
    nothing_is_left_of(&folder);
}

/// A scenario with nginx, `PostgreSQL` and NATS, whose workers hide: they overwrite their environment, and some
/// are in sessions and folders of their own.
fn servers_run() -> Scenario {
    let template =
        mixed::suite().templates.into_iter().find(|template| template.name == "mixed/nginx-expired");
    template.expect("it is there").scenario(&Settings::default())
}

/// Every process that has come of the harness, by its parent, whatever it shows.
fn kill_9_leaves_no_worker_of_servers_that_others_wrote(scenario: &str) {
    let user = User::new();
    let start = || Run::watch(user.command(&["run", scenario]).stdout(Stdio::null()), &user);
    let run = (0..ATTEMPTS).find_map(|_| start().wait_for(Phase::Observe)).expect("a run that is observed");
    let all = common::descendants(run.pid());
    for (name, least) in [("nginx", 3), ("postgres", 4), ("nats-server", 1)] {
        let found = all.iter().filter(|process| process.name == name).count();
        assert!(found >= least, "{found} of {name}: {all:?}");
    }
    run.signal(Signal::KILL);
    wait_or(GONE, "the end of every worker", || {
        let left: Vec<_> = all.iter().filter(|process| process.lives()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    run.has_died(Phase::Observe);
}

/// Trials of orders have several clusters at the same time.
fn trials_of_orders_that_end_early_tell_what_they_know_and_leave_nothing() {
    for signal in [Signal::INT, Signal::KILL] {
        let user = User::new();
        let shown = user.state().join("shown.txt");
        let mut command = user.command(&["orders", "stack", "--strength", "4", "--side-by-side", "2"]);
        let mut run = Run::watch(command.stdout(fs::File::create(&shown).expect("a file")), &user);
        wait(PATIENCE, "two starts", || (run.history().matches("\"order-ended\"").count() > 1).then_some(()));
        run.signal(signal);
        let folders = common::runs(&user.state().join("runs"));
        assert_eq!(folders.len(), 2);
        for folder in &folders {
            nothing_is_left_of(folder);
        }
        let code = wait(PATIENCE, "the harness' end", || run.child.try_wait().expect("a child")).code();
        if signal == Signal::INT {
            assert_eq!(code, Some(2));
            let said = fs::read_to_string(shown).expect("a file");
            assert!(said.starts_with("UNKNOWN: stack on processes, "), "{said}");
            assert!(said.contains("interrupted; so far: all of "), "{said}");
            assert_eq!(run.report(), said);
        }
    }
}

fn a_second_ctrl_c_leaves_at_once_and_the_guardians_do_the_rest() {
    let mut run = Run::until(Runtime::Processes, Phase::Observe);
    // A service that does not end keeps the first one waiting.
    let harness = run.pid();
    send(harness, Signal::STOP);
    send(harness, Signal::INT);
    send(harness, Signal::TERM);
    send(harness, Signal::CONT);
    let code = run.child.wait().expect("the harness ends").code();
    assert_eq!(code, Some(2));
    run.is_gone();
}

/// As after a power cut: harness and guardians die in the same instant.
fn a_sweep_removes_what_a_dead_run_left_and_touches_no_live_one() {
    let user = User::new();
    let (live, _) = Run::held(&user);
    let dead = Run::reach(&user, Runtime::Processes, Phase::Observe);
    // A process that a service might have started, and that does not notice the end of the others.
    let config = dead.folder.join("services/archive/config.json");
    let mut stray = Command::new("sleep");
    stray.arg("600").env("NOTAFTER_RUN", dead.id()).env("NOTAFTER_CONFIG", config);
    let mut stray = stray.spawn().expect("sleep");
    let pid = stray.id().cast_signed();
    // Stopped, the harness cannot replace its guardians.
    dead.signal(Signal::STOP);
    for pid in dead.guardians() {
        send(pid, Signal::KILL);
    }
    dead.signal(Signal::KILL);
    wait(GONE, "services that notice their harness is gone", || (dead.services() == [pid]).then_some(()));

    let before = live.services();
    let said = user.run(&["sweep"]);
    // Until it is waited for, a process that was killed is still in the list, without an environment.
    let end = stray.try_wait().expect("a child");
    let _ = stray.kill();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let removed = format!("removed of run {}: 1 process, credentials and data\n", dead.id());
    assert!(said.out.contains(&removed), "no {removed:?} in {:?}", said.out);
    assert!(end.is_some(), "the stray process lives");
    dead.is_gone();
    assert!(before.iter().all(|pid| live.services().contains(pid)), "a live run was touched");
    live.release();
}

fn a_sweep_can_forget_old_evidence() {
    let user = User::new();
    let folders = [0, 1].map(|_| {
        let run = Run::reach(&user, Runtime::Processes, Phase::Start);
        run.signal(Signal::INT);
        let folder = run.folder.clone();
        run.has_ended_in_order(Phase::Start);
        folder
    });
    let said = user.run(&["sweep", "--keep", "1"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.ends_with("removed the evidence of 1 run\n"), "{}", said.out);
    assert!(!folders[0].exists() && folders[1].exists());
}

fn a_held_cluster_answers_until_ctrl_c_and_then_is_gone() {
    let user = User::new();
    let (run, text) = Run::held(&user);
    for (tool, good) in [("openssl", "Verify return code: 0 (ok)"), ("curl", "")] {
        let lines = text.lines().map(str::trim).filter(|line| line.contains(&format!("&& {tool} ")));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), stack::system().services.len(), "{text}");
        if Command::new(tool).arg("--version").output().is_err() {
            continue; // Not everybody has both; what is printed is the same.
        }
        for line in lines {
            let output = Command::new("sh").args(["-c", line]).output().expect("sh");
            let said = String::from_utf8_lossy(&output.stdout);
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.contains(good), "{line}\n{said}{err}");
        }
    }
    run.release();
}

/// A run as a process of its own.
struct Run {
    /// Keeps the state folder, unless the test does.
    keeper: Option<User>,
    child: Child,
    folder: PathBuf,
}

impl Run {
    /// In a state folder of its own, just after the phase began.
    fn until(runtime: Runtime, phase: Phase) -> Self {
        let user = User::new();
        let mut run = Self::reach(&user, runtime, phase);
        run.keeper = Some(user);
        run
    }

    /// Just after the phase began. On a busy machine a run may end before, as unknown; then another
    /// one is needed.
    fn reach(user: &User, runtime: Runtime, phase: Phase) -> Self {
        // All nine services, and every phase long enough to be hit but the shortest.
        let start = || {
            let mut command = user.command(&["run", "stack/spool", "--on", runtime.name()]);
            if runtime == Runtime::Containers {
                docker::allow(&mut command);
            }
            Self::watch(command.stdout(Stdio::null()), user)
        };
        let reached = (0..ATTEMPTS).find_map(|_| start().wait_for(phase));
        reached.unwrap_or_else(|| panic!("no run comes as far as phase {phase}"))
    }

    /// A cluster that is held, and what is said of it.
    fn held(user: &User) -> (Self, String) {
        let shown = user.state().join("shown.txt");
        for _ in 0..ATTEMPTS {
            let out = fs::File::create(&shown).expect("a file");
            let mut command = user.command(&["reproduce", "stack/spool", "--until", "steady", "--hold"]);
            let mut run = Self::watch(command.stdout(out), user);
            let text = wait(PATIENCE, "the cluster to be shown", || {
                let text = fs::read_to_string(&shown).unwrap_or_default();
                let ended = run.child.try_wait().expect("a child").is_some();
                (ended || text.ends_with("/live)\n")).then_some(text)
            });
            if !text.is_empty() {
                return (run, text);
            }
        }
        panic!("no cluster comes as far as to be held");
    }

    fn watch(command: &mut Command, user: &User) -> Self {
        let runs = user.state().join("runs");
        let before = common::runs(&runs);
        let child = command.stderr(Stdio::null()).spawn().expect("the executable starts");
        let folder = wait(PATIENCE, "a folder of the run", || {
            common::runs(&runs).into_iter().find(|folder| !before.contains(folder))
        });
        Self { keeper: None, child, folder }
    }

    /// Waits until the phase began, and, as there is nothing to leave before, until a service runs.
    /// None if the run ends before.
    fn wait_for(mut self, phase: Phase) -> Option<Self> {
        let wanted = format!("\"phase-began\",\"phase\":\"{phase}\"");
        let reached = wait(PATIENCE, &format!("phase {phase}"), || {
            let ended = self.child.try_wait().expect("a child").is_some();
            let reached =
                self.history().contains(&wanted) && (phase != Phase::Start || !self.services().is_empty());
            (reached || ended).then_some(reached)
        });
        (reached && self.guardians().len() == 2).then_some(self)
    }

    fn history(&self) -> String {
        fs::read_to_string(self.folder.join("history.jsonl")).unwrap_or_default()
    }

    fn id(&self) -> &str {
        id(&self.folder)
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    fn services(&self) -> Vec<i32> {
        processes("NOTAFTER_RUN", id(&self.folder))
    }

    fn guardians(&self) -> Vec<i32> {
        processes("NOTAFTER_GUARDIAN", id(&self.folder))
    }

    fn has_ended_in_order(mut self, phase: Phase) {
        self.is_gone();
        // It has a report to write still.
        let ended = wait(PATIENCE, "the harness' end", || self.child.try_wait().expect("a child"));
        assert_eq!(ended.code(), Some(2), "interrupted in {phase}");
        assert!(self.folder.join("result.json").exists(), "interrupted in {phase}: no result");
        let report = self.report();
        assert!(at_or_after(phase, &report, "went wrong: interrupted"), "interrupted in {phase}: {report}");
    }

    /// Ctrl-C ends a cluster that is held, and that is no failure.
    fn release(mut self) {
        self.signal(Signal::INT);
        self.is_gone();
        assert_eq!(self.child.wait().expect("a child").code(), Some(0));
    }

    fn has_died(mut self, phase: Phase) {
        self.is_gone();
        assert_eq!(self.child.wait().expect("a child").code(), None, "it was killed");
        let report = self.report();
        assert!(at_or_after(phase, &report, "and was never judged"), "killed in {phase}: {report}");
        assert!(report.contains("this run did not end in order"), "killed in {phase}: {report}");
    }

    fn is_gone(&self) {
        nothing_is_left_of(&self.folder);
    }

    /// What can be read of it by its folder alone.
    fn report(&self) -> String {
        let said = User::new().run(&["report", self.folder.to_str().expect("UTF-8")]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.err + &said.out
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A test that fails must not leave what it complains about.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The run of a folder.
fn id(folder: &Path) -> &str {
    folder.file_name().and_then(|name| name.to_str()).expect("UTF-8")
}

/// Every process, container and network, every key, every spool and database of the run.
fn nothing_is_left_of(folder: &Path) {
    let run = id(folder);
    wait_or(GONE, "the end of every process", || {
        let left = [processes("NOTAFTER_RUN", run), processes("NOTAFTER_GUARDIAN", run)].concat();
        let said = left.iter().map(|pid| describe(*pid)).collect::<Vec<_>>().join("; ");
        if left.is_empty() { Ok(()) } else { Err(said) }
    });
    wait_or(GONE, "an empty Docker", || {
        let left = docker::left_of(run);
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    });
    for name in ["services", "undo"] {
        assert!(!folder.join(name).exists(), "{name} is left");
    }
    let keys = keys(folder);
    assert!(keys.is_empty(), "private keys are left: {keys:?}");
}

fn send(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process id");
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

/// Whether the report names this phase or, as a signal takes its time, a later one, with these words.
fn at_or_after(phase: Phase, report: &str, words: &str) -> bool {
    // A report is wrapped to a width.
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    WAY.into_iter()
        .filter(|later| *later >= phase)
        .any(|later| report.contains(&format!("phase `{later}` {words}")))
}

/// Files below this folder that hold a private key.
fn keys(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(keys(&path));
        } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("PRIVATE KEY")) {
            found.push(path);
        }
    }
    found
}
