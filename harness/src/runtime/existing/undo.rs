//! What was changed in somebody's cluster, and how it was: written and synced before the first change, kept
//! until all of it is put back.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Place, plan::Change};
use crate::{
    error::{Context, Error, Result},
    run::RunFolder,
};

/// One line of it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
enum Entry {
    /// Where all of it is.
    Place(Place),
    /// An object is about to be changed.
    WillChange(Box<Change>),
    /// The change of this number, from 0, needs no undo any more.
    Undone {
        /// Which.
        number: usize,
    },
}

/// The undo of one run, with what it has of keys: mode 0600, and removed when there is nothing to undo.
pub struct Undo {
    path: PathBuf,
    file: File,
    place: Place,
    /// Every change, and whether it is undone.
    changes: Vec<(Change, bool)>,
}

impl Undo {
    /// Keeps what these changes will replace. On disk when this returns.
    ///
    /// # Errors
    /// If it cannot be written and synced; then nothing may be changed.
    pub fn keep(folder: &RunFolder, place: Place, changes: Vec<Change>) -> Result<Self> {
        let path = path(folder);
        let open = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path);
        let file = open.context(|| format!("cannot make {}", path.display()))?;
        let mut undo = Self { path, file, place, changes: Vec::new() };
        undo.append(&Entry::Place(undo.place.clone()))?;
        for change in changes {
            undo.append(&Entry::WillChange(Box::new(change.clone())))?;
            undo.changes.push((change, false));
        }
        // The name of a new file is in its folder.
        File::open(folder.path())
            .and_then(|folder| folder.sync_all())
            .context(|| "cannot sync the run's folder".into())?;
        Ok(undo)
    }

    /// What is left of a run to undo; none if it is all put back, or never was anything. Waits for whoever
    /// is about to undo it.
    ///
    /// # Errors
    /// If it does not read.
    pub fn open(folder: &RunFolder) -> Result<Option<Self>> {
        let path = path(folder);
        if !path.exists() {
            return Ok(None);
        }
        let what = || format!("cannot read {}", path.display());
        let mut file = OpenOptions::new().read(true).append(true).open(&path).context(what)?;
        // A run has two guardians, and there may be somebody with `heal`: one after the other.
        file.lock().context(what)?;
        if !path.exists() {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text).context(what)?;
        // A line that was cut off was not synced, and so nothing was changed after it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).context(what)?;
        let (mut place, mut changes) = (None, Vec::new());
        for line in text[..whole].lines() {
            match serde_json::from_str(line).context(what)? {
                Entry::Place(at) => place = Some(at),
                Entry::WillChange(change) => changes.push((*change, false)),
                Entry::Undone { number } => {
                    if let Some((_, undone)) = changes.get_mut(number) {
                        *undone = true;
                    }
                }
            }
        }
        Ok(place.map(|place| Self { path: path.clone(), file, place, changes }))
    }

    /// Where it is to be undone.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is to be undone, by number, the latest first.
    pub fn left(&self) -> Vec<(usize, Change)> {
        let left = self.changes.iter().enumerate().rev().filter(|(_, (_, undone))| !undone);
        left.map(|(number, (change, _))| (number, change.clone())).collect()
    }

    /// Says that a change needs no undo any more.
    ///
    /// # Errors
    /// If it cannot be written and synced.
    pub fn undone(&mut self, number: usize) -> Result<()> {
        self.append(&Entry::Undone { number })?;
        if let Some((_, undone)) = self.changes.get_mut(number) {
            *undone = true;
        }
        if self.changes.iter().all(|(_, undone)| *undone) {
            fs::remove_file(&self.path).context(|| format!("cannot remove {}", self.path.display()))?;
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(Error::bug)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Whether a run has changed something that it did not put back.
pub fn is_left(folder: &RunFolder) -> bool {
    path(folder).exists()
}

fn path(folder: &RunFolder) -> PathBuf {
    Path::new(folder.path()).join("objects.jsonl")
}
