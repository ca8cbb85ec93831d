//! A run's own things: its id, its folder of evidence, and the mark that says whose it is.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    error::{Context, Error, Result},
    procfs::Identity,
};

/// The folder of one run. After the run it holds evidence only: keys go with the cluster.
///
/// ```text
/// history.jsonl   what happened, the only input of checks and reports
/// journal.jsonl   the undo of every fault, synced before the fault
/// objects.jsonl   the same of a cluster that is somebody's, while there is something to undo
/// system.toml     the system that it was made on, as `show` writes it
/// result.json     what `run --json` prints
/// report.txt      what `run` prints
/// report.html     the same as a page, with drawings and logs
/// logs/           one file a service; of Kubernetes one folder a node
/// services/       configuration, credentials and data of the services, while they exist
/// owner           process id and start time of the harness
/// ```
#[derive(Clone, Debug)]
pub struct RunFolder {
    id: String,
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a new run below `runs`.
    ///
    /// # Errors
    /// If it cannot be made or written to, with the folder and a way out.
    pub fn create(runs: &Path, scenario: &str, seed: u64) -> Result<Self> {
        let id = new_id(scenario, seed);
        let path = runs.join(&id);
        let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        for folder in [&path, &path.join("logs"), &path.join("services")] {
            make(folder).map_err(|error| {
                Error::usage(format!("cannot make the run's folder {}", folder.display()))
                    .because(error)
                    .hint("choose another place with --out DIR or NOTAFTER_STATE")
            })?;
        }
        let path = path.canonicalize().context(|| format!("cannot resolve {}", path.display()))?;
        let folder = Self { id, path };
        fs::write(folder.owner(), crate::procfs::me().to_string())
            .context(|| format!("cannot write {}", folder.owner().display()))?;
        Ok(folder)
    }

    /// A folder that is there already.
    pub fn open(path: &Path) -> Self {
        let id = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { id, path: path.to_owned() }
    }

    /// The run's id: unique, and safe in file names and labels.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What happened.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// The undo of every fault.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// The system that it was made on, as data.
    pub fn system(&self) -> PathBuf {
        self.path.join("system.toml")
    }

    /// What `run --json` prints.
    pub fn result(&self) -> PathBuf {
        self.path.join("result.json")
    }

    /// What `run` prints.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.txt")
    }

    /// What `run` prints, as a page.
    pub fn page(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Process id and start time of the harness that made it.
    pub fn owner(&self) -> PathBuf {
        self.path.join("owner")
    }

    /// Whether the harness that made it still runs.
    pub fn in_use(&self) -> bool {
        let owner = fs::read_to_string(self.owner()).ok();
        owner.and_then(|text| text.parse::<Identity>().ok()).is_some_and(Identity::lives)
    }

    /// Whether there is something that must not outlive the run.
    pub fn has_secrets(&self) -> bool {
        self.secrets().iter().any(|folder| folder.exists())
    }

    /// Everything that a service said.
    pub fn log(&self, service: &str) -> PathBuf {
        self.logs().join(format!("{service}.log"))
    }

    /// Where everything that services said is, one file each.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// A service's own folder, gone after the run.
    pub fn service(&self, service: &str) -> PathBuf {
        self.services().join(service)
    }

    /// Removes what must not outlive the run: keys, spools, databases. Idempotent.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove_secrets(&self) -> Result<()> {
        for folder in self.secrets() {
            match fs::remove_dir_all(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::new(format!("cannot remove {}", folder.display())).because(error));
                }
            }
        }
        Ok(())
    }

    fn secrets(&self) -> [PathBuf; 2] {
        [self.services(), self.path.join("undo")]
    }

    pub(crate) fn services(&self) -> PathBuf {
        self.path.join("services")
    }
}

/// Where runs are kept: `NOTAFTER_STATE`, else `notafter` in the user's state folder (XDG Base
/// Directory), else in the temporary folder.
pub fn state_folder() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("NOTAFTER_STATE")
        .or_else(|| from("XDG_STATE_HOME").map(|home| home.join("notafter")))
        .or_else(|| from("HOME").map(|home| home.join(".local/state/notafter")))
        .unwrap_or_else(|| std::env::temp_dir().join("notafter"))
}

/// Where runs are kept whose services have no privileges: they could not get through to a folder in
/// the home of root.
pub fn shared_folder() -> PathBuf {
    std::env::temp_dir().join("notafter")
}

/// The folders of all runs below the state folder, oldest first.
pub fn runs(state: &Path) -> Vec<RunFolder> {
    let mut found: Vec<(SystemTime, RunFolder)> = fs::read_dir(state.join("runs"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("owner").exists())
        .map(|entry| {
            let made = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            (made, RunFolder::open(&entry.path()))
        })
        .collect();
    found.sort_by_key(|(made, _)| *made);
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .context(|| format!("cannot write {}", path.display()))
}

fn new_id(scenario: &str, seed: u64) -> String {
    let name: String = scenario
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    // The seed may be the same twice; the instant and the process are not.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mixed = (u64::from(std::process::id()) << 40)
        ^ u64::try_from(now.as_nanos()).unwrap_or(0)
        ^ seed.rotate_left(17);
    format!("{name}-{:08x}", mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}
