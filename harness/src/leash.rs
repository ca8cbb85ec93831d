//! Holds a program on a leash: when whoever started it ends, however it ends, the program ends, and all that it
//! has started, whatever became of that.
//!
//! The leash is this executable once more, between the two. It waits at a pipe, as guardians do, whose end means
//! that its parent is gone; whoever loses his own parent below it becomes its child (`PR_SET_CHILD_SUBREAPER`), so
//! that a worker in a session of its own, as another user, in another folder and under another name is found as
//! well.

use std::{
    future::poll_fn,
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    task::Poll,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{procfs, service::RUN};

/// The environment variable that makes this executable a leash: the run, and the program to hold.
const LEASH: &str = "NOTAFTER_LEASH";
/// Nothing survives SIGKILL for longer, unless the kernel itself hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// A command that starts a program of a run on a leash. Its standard input is the leash: whoever keeps it open
/// keeps the program. Signals that servers know are passed on, and the exit code is that of the program, or 128
/// and the signal that ended it.
pub(crate) fn command(run: &str, program: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .env(LEASH, format!("{run} {}", program.display()))
        // Who removes what is left of a run must leave it alone: it is about to do the same.
        .env_remove(RUN)
        .stdin(Stdio::piped());
    command
}

/// In a leash this never returns.
pub(crate) fn dispatch() {
    let Ok(leash) = std::env::var(LEASH) else { return };
    let (run, program) = leash.split_once(' ').unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(hold(run, Path::new(program))));
    let code = ended.unwrap_or_else(|error| {
        eprintln!("{program}: {error}");
        127
    });
    std::process::exit(code);
}

async fn hold(run: &str, program: &Path) -> io::Result<i32> {
    set_child_subreaper(Some(getpid()))?;
    let mut passed = Passed::listen()?;
    let mut gone = gone();
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env_remove(LEASH).env(RUN, run).stdin(Stdio::null());
    let mut child = tokio::process::Command::from(command).spawn()?;
    // Where the program works is no matter of the leash: whoever is looked for there is the program.
    std::env::set_current_dir("/")?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break Some(ended?),
            _ = &mut gone => break None,
            signal = passed.next() => {
                if let Some(pid) = pid {
                    // It may have ended by itself.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    };
    end_children();
    Ok(ended.map_or(0, code))
}

/// Kills children until there are none: whose parent is killed is a child the next time.
fn end_children() {
    let limit = Instant::now() + LIMIT;
    while Instant::now() < limit {
        for pid in procfs::children_of(std::process::id()) {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // There is no child.
                Err(_) => return,
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The exit code of a program, as a shell gives it.
fn code(ended: ExitStatus) -> i32 {
    ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or(127)
}

/// Is told when nobody holds the other end of stdin any more.
fn gone() -> oneshot::Receiver<()> {
    let (say, gone) = oneshot::channel();
    std::thread::spawn(move || {
        while io::stdin().read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        let _ = say.send(());
    });
    gone
}

/// The signals that a program may be told something by.
struct Passed([(tokio::signal::unix::Signal, Signal); 5]);

impl Passed {
    fn listen() -> io::Result<Self> {
        let listen = |kind, number| Ok::<_, io::Error>((signal(kind)?, number));
        Ok(Self([
            listen(SignalKind::hangup(), Signal::HUP)?,
            listen(SignalKind::interrupt(), Signal::INT)?,
            listen(SignalKind::terminate(), Signal::TERM)?,
            listen(SignalKind::user_defined1(), Signal::USR1)?,
            listen(SignalKind::user_defined2(), Signal::USR2)?,
        ]))
    }

    /// The next one that came.
    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let mut came = self
                .0
                .iter_mut()
                .filter_map(|(arrives, number)| arrives.poll_recv(context).is_ready().then_some(*number));
            came.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
