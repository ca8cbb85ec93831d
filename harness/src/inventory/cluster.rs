//! A cluster of ours that is up: what lies in the mounts of its services, and where they listen.

use std::path::PathBuf;

use super::endpoint::Target;
use crate::{
    error::{Context, Error, Result},
    run::RunFolder,
    service::{CHAIN_FILE, Config},
};

/// One service of a cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub service: String,
    /// The folders of its mounts, and of the authorities that it issues for.
    pub folders: Vec<PathBuf>,
    /// Where it listens, and what it should present there; none where that is only known inside of
    /// its runtime, as with containers.
    pub target: Option<Target>,
}

/// The services of a run whose cluster is up.
///
/// # Errors
/// If there is no cluster any more, or what its services were told does not read.
pub fn members(folder: &RunFolder) -> Result<Vec<Member>> {
    let services = folder.service("");
    let over = || {
        Error::usage(format!("the cluster of run `{}` is gone, and its certificates with it", folder.id()))
            .hint("`notafter reproduce NAME --hold` keeps one up")
    };
    let entries = std::fs::read_dir(&services).map_err(|_| over())?;
    let mut members = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join("config.json");
        // Whoever calls in place of a user has a folder, too.
        if !path.exists() {
            continue;
        }
        let config = Config::read(&path).context(|| format!("cannot read {}", path.display()))?;
        members.push(Member::of(&config));
    }
    members.sort_by(|one, other| one.service.cmp(&other.service));
    if members.is_empty() { Err(over()) } else { Ok(members) }
}

impl Member {
    fn of(config: &Config) -> Self {
        let presents = config.mounts.get(&config.serves).map(|mount| mount.join(CHAIN_FILE));
        let target = (!config.listen.ip().is_unspecified()).then(|| Target {
            name: config.service.clone(),
            service: Some(config.service.as_str().into()),
            presents: presents.map(|file| file.to_string_lossy().into()),
            ..Target::tls(config.listen)
        });
        Self {
            service: config.service.clone(),
            folders: config.mounts.values().chain(config.issues.values()).cloned().collect(),
            target,
        }
    }
}
