//! Remembers finished runs in the database of the past, with the commit that they were run on.

use std::{path::PathBuf, process::Command};

use super::{conditions::Conditions, output::say};
use crate::{
    error::{Kind, Result},
    past::{Commit, Kept, Night, Past},
    run::state_folder,
    runner::Finished,
};

/// Where finished runs are remembered.
#[derive(Clone, Debug, clap::Args)]
pub struct Db {
    /// The database of finished runs, if not `past.db` in the state folder
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

impl Db {
    /// Which file it is.
    pub fn path(&self) -> PathBuf {
        self.db.clone().unwrap_or_else(|| state_folder().join("past.db"))
    }

    /// Begins to remember. That it is not possible changes nothing of the runs, and is said once.
    pub fn remember(&self) -> Memory {
        let past = Past::open(&self.path()).map_err(|error| warn(&error)).ok();
        Memory { past, commit: commit() }
    }
}

/// Remembers finished runs.
pub struct Memory {
    past: Option<Past>,
    commit: Option<Commit>,
}

impl Memory {
    /// The same in this database.
    pub fn in_past(past: Past) -> Self {
        Self { past: Some(past), commit: commit() }
    }

    /// The database; none if it could not be opened.
    pub fn past(&self) -> Option<&Past> {
        self.past.as_ref()
    }

    /// Remembers a run, and gives it as it is kept; none if it was interrupted, so that it says nothing.
    pub fn keep(&self, finished: &Finished, conditions: &Conditions, night: Option<Night>) -> Option<Kept> {
        if finished.error.as_ref().is_some_and(|error| error.kind() == Kind::Interrupted) {
            return None;
        }
        let system = conditions.manner.system_file().map(|path| path.to_string_lossy().into_owned());
        let kept = Kept { night, ..Kept::of(finished, system, self.commit.clone())? };
        if let Some(Err(error)) = self.past.as_ref().map(|past| past.record(&kept)) {
            warn(&error);
        }
        Some(kept)
    }
}

fn warn(error: &crate::error::Error) {
    say(format_args!("warning: this is not remembered for `notafter history`: {error}"));
}

/// The commit of the repository that this was called in; none outside of one, or without Git.
fn commit() -> Option<Commit> {
    let git = |args: &[&str]| -> Option<String> {
        // A person at work in the same repository must not find it locked.
        let output = Command::new("git").args(args).env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--verify", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(Commit { hash, dirty: !changed.is_empty() })
}

/// The database, to read; none if nothing was remembered yet.
///
/// # Errors
/// If it cannot be read.
pub fn read(db: &Db) -> Result<Option<Past>> {
    Past::read(&db.path())
}
