//! `notafter doctor`: what works on this machine, and what is missing for the rest.

use std::{fs, thread};

use super::{
    exit,
    output::{paint, print, style},
    sweep,
};
use crate::{error::Result, run::state_folder, runtime::Runtime};

/// Prints it. Missing is only a fault if nothing works at all.
///
/// # Errors
/// If it cannot be written.
pub async fn run() -> Result<u8> {
    let colour = style().colour;
    let mut runtimes = Vec::new();
    let mut works = false;
    for runtime in Runtime::ALL {
        let said = match runtime.available().await {
            Ok(()) => {
                works = true;
                paint("works", "32", colour)
            }
            Err(error) => {
                let why = error.to_string().replace('\n', "\n              ");
                format!("{} {why}", paint("missing:", "33", colour))
            }
        };
        runtimes.push(format!("  {:10}  {said}\n", runtime.name()));
    }
    print(&format!(
        "notafter {}\n\nruntimes\n{}\nmachine\n  cores       {}\n  memory      {}\n\nevidence\n  {}\n  {}\n",
        env!("CARGO_PKG_VERSION"),
        runtimes.concat(),
        cores(),
        memory(),
        state(),
        leftovers()
    ))?;
    Ok(if works { exit::AS_EXPECTED } else { exit::MISSING })
}

fn cores() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let note = if cores == 1 { " (measurements are coarse; two are better)" } else { "" };
    format!("{cores}{note}")
}

fn memory() -> String {
    match crate::procfs::available_kib().map(|kib| kib / 1024) {
        None => "unknown: /proc/meminfo has no MemAvailable".into(),
        Some(mib) => format!("{mib} MiB free"),
    }
}

fn state() -> String {
    let runs = state_folder().join("runs");
    let place = runs.display();
    match fs::create_dir_all(&runs).and_then(|()| try_to_write(&runs)) {
        Ok(()) => format!("{place} can be written"),
        Err(error) => {
            format!("{place} cannot be written: {error}\n  hint: set NOTAFTER_STATE, or use --out DIR")
        }
    }
}

fn try_to_write(folder: &std::path::Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    fs::write(&path, "")?;
    fs::remove_file(&path)
}

fn leftovers() -> String {
    match sweep::left_over() {
        Err(error) => format!("cannot look for leftovers: {error}"),
        Ok(left) if left.is_empty() => "nothing is left over of older runs".into(),
        Ok(left) => format!("{} older runs left something behind: `notafter sweep` removes it", left.len()),
    }
}
