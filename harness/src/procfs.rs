//! Processes as /proc shows them: which belong to a run, and whether an owner still lives.

use std::{fmt, fs, os::unix::ffi::OsStrExt, path::Path, str::FromStr};

use rustix::process::{Pid, Signal, kill_process};

use crate::service::RUN;

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pid: u32,
    /// Field 22 of /proc/PID/stat, clock ticks since boot.
    started: u64,
}

/// `MemAvailable` of `proc_meminfo(5)`, KiB: what programs can have without swapping.
pub fn available_kib() -> Option<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// This process.
pub fn me() -> Identity {
    let pid = std::process::id();
    Identity { pid, started: started(pid).unwrap_or(0) }
}

impl Identity {
    /// Whether it still runs.
    pub fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (pid, started) = text.trim().split_once(' ').ok_or(())?;
        Ok(Self { pid: pid.parse().map_err(|_| ())?, started: started.parse().map_err(|_| ())? })
    }
}

/// Ids of all processes whose environment says that they belong to this run, this process excepted.
/// The environment is inherited by children and survives every change of parent and group.
pub fn of_run(run: &str) -> Vec<u32> {
    others().filter(|pid| variable(*pid, RUN).is_some_and(|of| of == run)).collect()
}

/// What this variable is in the environment of each process that has it, this process excepted.
/// Processes of other users have none for us, unless we are root.
pub fn with_variable(name: &str) -> Vec<(u32, String)> {
    others().filter_map(|pid| Some((pid, variable(pid, name)?))).collect()
}

fn others() -> impl Iterator<Item = u32> {
    let me = std::process::id();
    pids().filter(move |pid| *pid != me)
}

/// What this variable is in the environment of a process; none if it is not set, or the process is gone.
pub fn variable(pid: u32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environ.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

/// Ids of the children of a process, those included that have ended and whose status nobody took.
pub fn children_of(parent: u32) -> Vec<u32> {
    children(parent).map(|(pid, _)| pid).collect()
}

/// Ids of the children of a process that have ended and whose status nobody took.
pub fn zombies_of(parent: u32) -> Vec<u32> {
    children(parent).filter(|(_, state)| state == "Z").map(|(pid, _)| pid).collect()
}

/// The children of a process, each with its state.
fn children(parent: u32) -> impl Iterator<Item = (u32, String)> {
    pids().filter_map(move |pid| {
        let stat = stat(pid)?;
        let mut fields = stat.split_whitespace();
        let state = fields.next()?.to_owned();
        (fields.next()?.parse() == Ok(parent)).then_some((pid, state))
    })
}

/// Kills every process of a run until two looks in a row find none. Gives how many were killed.
pub fn kill_run(run: &str) -> usize {
    kill_all(|| of_run(run))
}

fn kill_all(find: impl Fn() -> Vec<u32>) -> usize {
    let mut killed = 0;
    let mut clean = 0;
    // A fork may slip through one look; an endless fork is not ours.
    for _ in 0..1000 {
        let found = find();
        if found.is_empty() {
            clean += 1;
            if clean == 2 {
                break;
            }
        } else {
            clean = 0;
        }
        for pid in found {
            if let Some(pid) = Pid::from_raw(pid.cast_signed())
                && kill_process(pid, Signal::KILL).is_ok()
            {
                killed += 1;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    killed
}

/// Kills every process whose working directory is this folder or one in it, this process excepted,
/// until two looks in a row find none. It finds those who have overwritten their environment to have
/// a nicer name in lists of processes, as many servers do.
pub fn kill_in(folder: &Path) {
    kill_all(|| others().filter(|pid| works_in(*pid, folder)).collect());
}

fn works_in(pid: u32, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
}

fn started(pid: u32) -> Option<u64> {
    let stat = stat(pid)?;
    let mut fields = stat.split_whitespace();
    // One that nobody has waited for yet is dead all the same.
    let dead = matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| !dead)?.parse().ok()
}

/// /proc/PID/stat from field 3 on, the state.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses; what follows the last one does not.
    Some(stat.rsplit_once(')')?.1.to_owned())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    use super::*;

    #[test]
    fn a_process_is_found_by_its_folder_whatever_its_environment_says_and_its_neighbour_is_not() {
        let (ours, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let deep = ours.path().join("services");
        fs::create_dir(&deep).expect("a folder");
        let start = |folder: &Path| {
            let mut command = Command::new("sleep");
            command.arg("600").env_clear().current_dir(folder).spawn().expect("sleep")
        };
        let (mut found, mut left) = (start(&deep), start(other.path()));
        kill_in(ours.path());
        assert_eq!(found.wait().expect("a status").signal(), Some(9));
        assert!(left.try_wait().expect("a status").is_none(), "a process of somebody else was killed");
        left.kill().and_then(|()| left.wait()).expect("a status");
    }
}
