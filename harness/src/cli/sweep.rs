//! `notafter sweep`: removes what runs left behind whose harness is dead, as after a power cut.
//! Guardians do that when they can; nothing of a run whose harness lives is ever touched.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    exit,
    output::{complain, print},
};
use crate::{
    error::{Context, Result},
    guardian, procfs,
    run::{self, RunFolder, state_folder},
    runtime::{containers, existing},
    service::{CONFIG, RUN},
    words,
};

/// What is removed.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Remove the evidence of all but the latest N runs, too
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
}

/// What a dead run left behind.
#[derive(Default)]
pub struct Left {
    /// Its folder, as far as anybody knows it.
    folder: Option<PathBuf>,
    processes: Vec<u32>,
    /// Containers and networks.
    in_docker: usize,
    /// Whether what is in Docker says that its harness lives.
    in_use: bool,
}

/// Removes it, and says what it was.
///
/// # Errors
/// If something could not be looked for or removed.
pub fn run(args: &Args) -> Result<u8> {
    let mut lines = Vec::new();
    let mut whole = true;
    for (id, left) in left_over()? {
        let what = left.describe();
        let folder = left.folder.unwrap_or_else(|| state_folder().join("runs").join(&id));
        let stuck = guardian::clean_up(&RunFolder::open(&folder));
        match stuck.as_slice() {
            [] => lines.push(format!("removed of run {id}: {what}\n")),
            stuck => {
                whole = false;
                complain(format_args!("run {id}: {}", stuck.join("; ")));
            }
        }
    }
    match containers::remove_old_images()? {
        0 => {}
        some => lines.push(format!("removed {} of other builds\n", words::counted(some, "image"))),
    }
    if let Some(keep) = args.keep {
        lines.push(forget(keep)?);
    }
    for run in run::runs(&state_folder()).iter().filter(|run| existing::is_left(run) && !run.in_use()) {
        whole = false;
        let id = run.id();
        complain(format_args!(
            "run {id} has not put back what it changed in a cluster\nhint: `notafter heal {id}` does"
        ));
    }
    if lines.is_empty() {
        lines.push("nothing is left over\n".into());
    }
    print(&lines.concat())?;
    Ok(if whole { exit::AS_EXPECTED } else { exit::UNKNOWN })
}

/// What dead runs left behind, by run.
///
/// # Errors
/// If a runtime that is there cannot be asked.
pub fn left_over() -> Result<BTreeMap<String, Left>> {
    let mut left: BTreeMap<String, Left> = BTreeMap::new();
    for folder in [state_folder(), run::shared_folder()].iter().flat_map(|state| run::runs(state)) {
        if folder.has_secrets() {
            left.entry(folder.id().to_owned()).or_default().folder = Some(folder.path().to_owned());
        }
    }
    for (pid, id) in procfs::with_variable(RUN) {
        // Whoever has no configuration any more has just ended.
        let Some(config) = procfs::variable(pid, CONFIG) else { continue };
        let of = left.entry(id).or_default();
        of.folder = of.folder.take().or_else(|| folder_of(Path::new(&config)));
        of.processes.push(pid);
    }
    for found in containers::runs()? {
        let of = left.entry(found.run).or_default();
        of.in_docker += found.containers + found.networks;
        of.in_use |= found.owner_lives;
    }
    let watched = guardian::watched();
    left.retain(|id, left| !left.in_use && !lives(id, left, &watched));
    Ok(left)
}

/// A run lives as long as its harness. Where nobody knows the harness, its guardians tell.
fn lives(id: &str, left: &Left, watched: &[PathBuf]) -> bool {
    let folder = left.folder.clone().unwrap_or_else(|| state_folder().join("runs").join(id));
    let folder = RunFolder::open(&folder);
    if folder.owner().exists() {
        folder.in_use()
    } else {
        watched.iter().any(|watched| watched.ends_with(id))
    }
}

/// The run's folder of a service that was told this file: `FOLDER/services/NAME/config.json`.
fn folder_of(config: &Path) -> Option<PathBuf> {
    let folder = config.ancestors().nth(3)?;
    // A path within a container is none of ours.
    folder.join("owner").exists().then(|| folder.to_owned())
}

/// Removes the evidence of all but the latest runs.
fn forget(keep: usize) -> Result<String> {
    let runs = run::runs(&state_folder());
    let old = &runs[..runs.len().saturating_sub(keep)];
    let mut gone = 0;
    for run in old.iter().filter(|run| !run.in_use() && !existing::is_left(run)) {
        fs::remove_dir_all(run.path()).context(|| format!("cannot remove {}", run.path().display()))?;
        gone += 1;
    }
    Ok(format!("removed the evidence of {}\n", words::counted(gone, "run")))
}

impl Left {
    fn describe(&self) -> String {
        let mut parts = Vec::new();
        match self.processes.len() {
            0 => {}
            1 => parts.push("1 process".to_owned()),
            many => parts.push(format!("{many} processes")),
        }
        if self.in_docker > 0 {
            parts.push("containers".into());
        }
        if self.folder.as_ref().is_some_and(|folder| RunFolder::open(folder).has_secrets()) {
            parts.extend(["credentials".into(), "data".into()]);
        }
        words::list(&parts, 4)
    }
}
