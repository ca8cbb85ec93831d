//! The executable as a user sees it: a command, its output, its exit code, the processes that it leaves.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::{Completion, Failed, Trial};
use notafter::{runtime::Runtime, testing::requires};
use tempfile::TempDir;

pub mod docker;

/// A user with a state folder of her own, on no terminal.
pub struct User {
    state: TempDir,
}

impl User {
    pub fn new() -> Self {
        Self { state: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The executable with these arguments, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_notafter"));
        command.args(args).env("NOTAFTER_STATE", self.state()).stdin(Stdio::null());
        // What is in somebody's Docker is none of these tests' business.
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "TERM", "COLUMNS"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("the executable starts"), self.state())
    }

    /// Writes a file that only this user has.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.state().join(name);
        fs::write(&path, text).expect("a file in a temporary folder");
        path.to_str().expect("UTF-8").to_owned()
    }
}

/// What the executable said. Its own path and the state folder are replaced by words.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output, state: &Path) -> Self {
        let state = state.to_str().expect("UTF-8");
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("UTF-8");
            text.replace(state, "[state]").replace(env!("CARGO_BIN_EXE_notafter"), "notafter")
        };
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Whether its output has this line.
    pub fn says(&self, line: &str) -> bool {
        self.out.lines().any(|said| said == line)
    }

    /// Both streams and the exit code, for a snapshot.
    pub fn all(&self) -> String {
        let code = self.code.map_or("a signal".into(), |code| code.to_string());
        format!("{}{}exit code {code}", self.out, self.err)
    }
}

/// Waits for something. A limit that is reached is a failure that says what it waited for.
pub fn wait<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_or(limit, what, || look().ok_or_else(String::new))
}

/// The same; what is not as it should be yet is said, too.
pub fn wait_or<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(began.elapsed() < limit, "{what}: not within {limit:?}: {why}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A trial that is ignored where its runtime is missing, unless `NOTAFTER_REQUIRE` names it.
pub fn trial(runtime: Runtime, name: &str, claim: fn(Runtime)) -> Trial {
    Trial::ignorable_test(format!("{}::{name}", runtime.name()), move || {
        let tokio = tokio::runtime::Runtime::new().expect("a runtime");
        if let Err(missing) = tokio.block_on(runtime.available()) {
            return ignored_without(runtime.name(), missing.to_string());
        }
        claim(runtime);
        Ok(Completion::Completed)
    })
}

/// What becomes of a trial without the thing that it needs: a failure if `NOTAFTER_REQUIRE` names it.
pub fn ignored_without(what: &str, why: String) -> Result<Completion, Failed> {
    if requires(what) { Err(why.into()) } else { Ok(Completion::ignored_with(why.replace('\n', "; "))) }
}

/// A process as somebody who looks for it would want to see it.
pub fn describe(pid: i32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or("gone");
    format!("{pid} {} {state} {}", read("cmdline").replace('\0', " "), read("wchan"))
}

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub name: String,
    parent: i32,
    /// Clock ticks since boot.
    started: u64,
}

impl Process {
    /// As `/proc/PID/stat` has it, in fields 2, 4 and 22; none of one that has ended, waited for or not.
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<_> = after.split_whitespace().collect();
        let name = before.split_once('(')?.1.to_owned();
        let (parent, started) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
        (*fields.first()? != "Z").then_some(Self { pid, name, parent, started })
    }

    /// Whether it still runs.
    pub fn lives(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// Every process that this one has started, and those that they have.
pub fn descendants(ancestor: i32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut others: Vec<Process> = pids.filter_map(Process::of).collect();
    let mut found: Vec<Process> = Vec::new();
    loop {
        let is_one = |process: &mut Process| {
            process.parent == ancestor || found.iter().any(|parent| parent.pid == process.parent)
        };
        let more: Vec<_> = others.extract_if(.., is_one).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Process ids whose environment has this variable with a value that ends so.
pub fn processes(variable: &str, ending: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|entry| {
            let value = entry.strip_prefix(variable.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| value.ends_with(ending.as_bytes()))
        })
    })
    .collect()
}

/// The folders of runs below this one.
pub fn runs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("history.jsonl").exists()).collect()
}
