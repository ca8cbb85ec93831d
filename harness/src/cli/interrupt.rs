//! Ctrl-C and its like end a run in order; a second one ends the process at once.

use tokio::{
    signal::unix::{SignalKind, signal},
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
    let catch = |kind| signal(kind).context(|| "cannot listen for signals".into());
    let (mut int, mut term) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    // A terminal that was closed.
    let mut hup = catch(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
            if stop.send_replace(true) {
                interject("interrupted again: leaving now; guardians remove the cluster");
                std::process::exit(i32::from(exit::UNKNOWN));
            }
            interject("interrupted: removing the cluster; its evidence stays");
        }
    });
    Ok(interrupt)
}
