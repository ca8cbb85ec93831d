//! The program of an instance while it runs: a process of this machine, or one in a container.

use std::{path::Path, time::Duration};

use rustix::process::{Pid, Signal as Number, kill_process};
use tokio::{
    process::{Child, ChildStdin},
    time::timeout,
};

use super::Signal;
use crate::{
    error::{Context, Error, Result},
    procfs,
    runtime::containers::foreign::Container,
};

/// How long one may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// A program that was started.
pub(super) enum Running {
    Process {
        child: Child,
        /// What holds it, where it is on one.
        leash: Option<ChildStdin>,
    },
    Container(Container),
}

impl Running {
    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let code = match self {
            Self::Process { child, .. } => child.try_wait().ok()??.code(),
            Self::Container(container) => i32::try_from(container.ended()?).ok(),
        };
        // A shell's way to tell a signal from a code.
        let code = code.filter(|code| *code <= 128);
        Some(code.map_or_else(|| "was killed".into(), |code| format!("exits with code {code}")))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        match self {
            Self::Process { child, .. } => kill(child, signal.into()),
            Self::Container(container) => container.signal(signal.name()).await,
        }
    }

    /// Ends it, and all that it started in its folder.
    pub async fn stop(self, home: &Path) {
        match self {
            Self::Process { mut child, leash } => {
                let _ = kill(&child, Number::TERM);
                let _ = timeout(GRACE, child.wait()).await;
                drop(leash);
                // Workers and generations of before go with it.
                procfs::kill_in(home);
                let _ = child.wait().await;
            }
            Self::Container(container) => container.stop(GRACE).await,
        }
    }
}

fn kill(child: &Child, signal: Number) -> Result<()> {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.ok_or_else(|| Error::new("it does not run"))?;
    kill_process(pid, signal).context(|| "cannot send it a signal".into())
}
