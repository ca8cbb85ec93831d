//! Says where the page of a run is, opens it if asked to, and links to it.

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::output::say;
use crate::{past::Kept, run::RunFolder};

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

/// The address of the page of a run of the past (RFC 8089); none if its evidence is gone.
pub fn link(run: &Kept) -> Option<String> {
    let page = RunFolder::open(&run.folder).page();
    page.is_file().then(|| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        page.as_os_str().as_encoded_bytes().iter().fold("file://".to_owned(), |link, byte| match byte {
            byte if plain(*byte) => link + &char::from(*byte).to_string(),
            byte => format!("{link}%{byte:02X}"),
        })
    })
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
