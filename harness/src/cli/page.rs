//! Says where the page of a run is, and opens it if asked to.

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::output::say;
use crate::run::RunFolder;

/// What opens a file on a desktop (freedesktop.org, xdg-utils).
const OPENER: &str = "xdg-open";

/// An opener that has not ended by then has become the browser.
const PATIENCE: Duration = Duration::from_secs(3);

/// Says where the page is. That it cannot be opened is a warning: it is there all the same.
pub fn announce(folder: &RunFolder, open: bool) {
    let page = folder.page();
    say(format_args!("page: {}", page.display()));
    if open && let Err(why) = opened(&page) {
        say(format_args!("warning: cannot open it: {OPENER}: {why}; open the page above in a browser"));
    }
}

fn opened(page: &Path) -> Result<(), String> {
    let mut command = Command::new(OPENER);
    // A browser that it starts must not write between the lines of the next run.
    command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut opener = command.spawn().map_err(|error| error.to_string())?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(opener.wait()));
    match told.recv_timeout(PATIENCE) {
        Ok(Ok(status)) => well(status),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Ok(()),
    }
}

fn well(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}
