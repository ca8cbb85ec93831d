//! The undo of every fault, written and synced before the fault is injected.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Context, Error, Result},
    history::{Leaf, Purpose, Recorder, What},
    pki::Credential,
    run::RunFolder,
    runtime::Cluster,
};

/// One line of a journal: what to put back, or that it was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// A credential is about to be replaced by a fault.
    WillReplace {
        /// Number of the entry, from 0.
        number: u32,
        /// Whose.
        service: String,
        /// Which mount.
        mount: String,
        /// What lies there now; its files are kept in `undo/NUMBER` of the run's folder.
        was: Leaf,
        /// What the fault will put there.
        will_be: Leaf,
    },
    /// An issuing CA is about to be replaced by a fault.
    WillReplaceIssuer {
        /// Number of the entry, from 0.
        number: u32,
        /// Who holds it.
        service: String,
        /// Of which authority.
        authority: String,
        /// What lies there now; its files are kept in `undo/NUMBER` of the run's folder.
        was: Leaf,
        /// What the fault will put there.
        will_be: Leaf,
    },
    /// The clock of a service is about to be moved by a fault.
    WillMoveClock {
        /// Number of the entry, from 0.
        number: u32,
        /// Whose.
        service: String,
        /// How many seconds it is ahead now.
        was: i64,
        /// How many it will be.
        will_be: i64,
    },
    /// The entry of this number was undone, or needs no undo any more.
    Undone {
        /// Number of the entry.
        number: u32,
    },
}

/// The journal of one run.
pub struct Journal {
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    entries: Vec<Entry>,
}

impl Journal {
    /// Begins the journal of a run.
    ///
    /// # Errors
    /// If its file cannot be made.
    pub fn create(folder: &RunFolder) -> Result<Self> {
        let path = folder.journal();
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .context(|| format!("cannot make {}", path.display()))?;
        let folder = folder.path().join("undo");
        Ok(Self { folder, state: Mutex::new(State { file, entries: Vec::new() }) })
    }

    /// Keeps what lies in a mount, and says what will replace it. On disk when this returns.
    ///
    /// # Errors
    /// If it cannot be written and synced; then the fault must not be injected.
    pub fn will_replace(&self, service: &str, mount: &str, was: &Credential, will_be: &Leaf) -> Result<()> {
        let (service, mount, will_be) = (service.into(), mount.into(), will_be.clone());
        self.keep(was, |number, was| Entry::WillReplace { number, service, mount, was, will_be })
    }

    /// The same for the issuing CA that a service holds.
    ///
    /// # Errors
    /// As [`Self::will_replace`].
    pub fn will_replace_issuer(
        &self,
        service: &str,
        authority: &str,
        was: &Credential,
        will_be: &Leaf,
    ) -> Result<()> {
        let (service, authority, will_be) = (service.into(), authority.into(), will_be.clone());
        self.keep(was, |number, was| Entry::WillReplaceIssuer { number, service, authority, was, will_be })
    }

    /// Says how a clock will be moved. On disk when this returns.
    ///
    /// # Errors
    /// As [`Self::will_replace`].
    pub fn will_move_clock(&self, service: &str, was: i64, will_be: i64) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next();
        state.append(Entry::WillMoveClock { number, service: service.into(), was, will_be })
    }

    fn keep(&self, was: &Credential, entry: impl FnOnce(u32, Leaf) -> Entry) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next();
        let folder = self.folder.join(number.to_string());
        was.write(&folder).context(|| format!("cannot keep {}", folder.display()))?;
        state.append(entry(number, was.leaf().clone()))
    }

    /// Puts back whatever a fault put there and nobody has replaced since, the latest first. Idempotent.
    /// Gives how much was put back.
    ///
    /// # Errors
    /// The first undo that failed; the others are done all the same.
    pub fn undo(&self, cluster: &Cluster, recorder: &Recorder) -> Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = None;
        let mut put_back = 0;
        for entry in state.open() {
            let (number, service, mount, will_be) = match entry {
                Entry::WillReplace { number, service, mount, will_be, .. } => {
                    (number, service, mount, will_be)
                }
                Entry::WillReplaceIssuer { number, service, authority, will_be, .. } => {
                    let there = cluster.issuer(&service, &authority).map_or(true, |it| *it.leaf() == will_be);
                    let was = Credential::read(&self.folder.join(number.to_string())).map_err(Error::from);
                    let undone = match was {
                        Ok(was) if there => {
                            put_back += 1;
                            cluster.install_issuing(&service, &authority, &was)
                        }
                        was => was.map(drop),
                    };
                    let undone = undone.and_then(|()| state.append(Entry::Undone { number }));
                    failed = failed.or(undone.err());
                    continue;
                }
                Entry::WillMoveClock { number, service, was, will_be } => {
                    let there = cluster.clock(&service).is_ok_and(|now| now == will_be);
                    let undone = if there {
                        put_back += 1;
                        cluster.set_clock(&service, was)
                    } else {
                        Ok(())
                    };
                    failed = failed.or(undone.and_then(|()| state.append(Entry::Undone { number })).err());
                    continue;
                }
                Entry::Undone { .. } => continue,
            };
            // What makes no sense was put there by the fault, whatever it was.
            let still_there = cluster.installed(&service, &mount).map_or(true, |now| *now.leaf() == will_be);
            let undone = if still_there {
                put_back += 1;
                Credential::read(&self.folder.join(number.to_string())).map_err(Error::from).and_then(|was| {
                    recorder.record(What::Installed {
                        service: service.clone(),
                        mount: mount.clone(),
                        leaf: was.leaf().clone(),
                        why: Purpose::Heal,
                    });
                    cluster.install(&service, &mount, &was)
                })
            } else {
                Ok(())
            };
            match undone.and_then(|()| state.append(Entry::Undone { number })) {
                Ok(()) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(put_back), Err)
    }
}

impl State {
    /// The number of the next entry.
    fn next(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    fn append(&mut self, entry: Entry) -> Result<()> {
        let mut line = serde_json::to_vec(&entry).map_err(|error| Error::new("journal").because(error))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .and_then(|()| self.file.sync_data())
            .context(|| "cannot write the journal".into())?;
        self.entries.push(entry);
        Ok(())
    }

    /// Entries that were not undone, the latest first.
    fn open(&self) -> Vec<Entry> {
        let undone: Vec<u32> = self
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Undone { number } => Some(*number),
                Entry::WillReplace { .. } | Entry::WillReplaceIssuer { .. } | Entry::WillMoveClock { .. } => {
                    None
                }
            })
            .collect();
        let is_open = |entry: &&Entry| match entry {
            Entry::WillReplace { number, .. }
            | Entry::WillReplaceIssuer { number, .. }
            | Entry::WillMoveClock { number, .. } => !undone.contains(number),
            Entry::Undone { .. } => false,
        };
        self.entries.iter().rev().filter(is_open).cloned().collect()
    }
}
