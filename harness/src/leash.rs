//! A process that dies with the one that started it, also after it has become another program.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The environment variable that leashes this executable: its parent, and the program to become.
const LEASH: &str = "NOTAFTER_LEASH";

/// A command that starts this executable, which becomes the program then: a service that is killed takes the
/// server with it that it had started.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.env(LEASH, format!("{} {}", std::process::id(), program.display()));
    command
}

/// In a leashed process this never returns.
pub(crate) fn dispatch() {
    let Ok(leash) = std::env::var(LEASH) else { return };
    let (parent, program) = leash.split_once(' ').unwrap_or_default();
    let program = PathBuf::from(program);
    // The kernel kills it when its parent dies (prctl(2)).
    let leashed = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have died already.
    if leashed.is_ok() && getppid().is_some_and(|pid: Pid| pid.as_raw_nonzero().to_string() == parent) {
        let mut command = Command::new(&program);
        let error = command.args(std::env::args_os().skip(1)).env_remove(LEASH).exec();
        eprintln!("{}: {error}", program.display());
    }
    std::process::exit(127);
}
