//! Ctrl-C and its like end a run in order; a second one ends the process at once.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{exit, output::interject};
use crate::{
    error::{Context, Result},
    runner::Interrupt,
};

/// Listens for SIGINT, SIGTERM and SIGHUP from now on.
///
/// # Errors
/// If the operating system refuses.
pub fn listen() -> Result<Interrupt> {
    let (stop, interrupt) = watch::channel(false);
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        loop {
            signals.next().await;
            if stop.send_replace(true) {
                interject("interrupted again: leaving now; guardians remove the cluster");
                std::process::exit(i32::from(exit::UNKNOWN));
            }
            interject("interrupted: removing the cluster; its evidence stays");
        }
    });
    Ok(interrupt)
}

/// Waits for one of them, where nothing has to be removed.
///
/// # Errors
/// If the operating system refuses.
pub async fn one() -> Result<()> {
    Signals::listen()?.next().await;
    Ok(())
}

struct Signals {
    int: Signal,
    term: Signal,
    /// A terminal that was closed.
    hup: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let catch = |kind| signal(kind).context(|| "cannot listen for signals".into());
        Ok(Self {
            int: catch(SignalKind::interrupt())?,
            term: catch(SignalKind::terminate())?,
            hup: catch(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            _ = self.hup.recv() => {}
        }
    }
}
