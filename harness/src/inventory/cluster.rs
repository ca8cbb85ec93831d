//! A cluster of ours that is up: what lies in the mounts of its services, and where they listen.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Source,
    endpoint::Target,
    scan::{Scanned, scan},
};
use crate::{
    error::{Context, Error, Result},
    run::RunFolder,
    runtime::Cluster,
    service::{CHAIN_FILE, Config},
};

/// One service of a cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub service: String,
    /// The folders of its mounts, by mount.
    pub mounts: BTreeMap<String, PathBuf>,
    /// The folders of the authorities that it issues for.
    pub issues: Vec<PathBuf>,
    /// The mount that it presents.
    pub serves: String,
    /// Where it listens, and what it should present there; none where that is only known inside of
    /// its runtime, as with containers of another run.
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

/// The services of a cluster that we hold.
///
/// # Errors
/// Never, for a cluster that is up.
pub fn held(cluster: &Cluster) -> Result<Vec<Member>> {
    let member = |service: &crate::system::Service| {
        let mount = |name: &String| Ok((name.clone(), cluster.mount(&service.name, name)?));
        let mounts = service.mounts.keys().map(mount).collect::<Result<BTreeMap<_, _>>>()?;
        let address = cluster.address(&service.name)?;
        Ok(Member {
            service: service.name.clone(),
            target: Some(target(&service.name, Target::tls(address), mounts.get(&service.serves))),
            mounts,
            issues: Vec::new(),
            serves: service.serves.clone(),
        })
    };
    cluster.system().services.iter().map(member).collect()
}

/// What lies in the mounts of these services, told whose it is.
pub fn look(members: &[Member], passwords: &[String]) -> Scanned {
    let mut all = Scanned::default();
    for member in members {
        let folders: Vec<_> = member.mounts.values().chain(&member.issues).cloned().collect();
        let found = scan(&folders, passwords);
        let service: Arc<str> = member.service.as_str().into();
        all.files += found.files;
        all.sources
            .extend(found.sources.into_iter().map(|one| Source { service: Some(service.clone()), ..one }));
    }
    all
}

impl Member {
    fn of(config: &Config) -> Self {
        let mount = config.mounts.get(&config.serves);
        let listens = !config.listen.ip().is_unspecified();
        Self {
            service: config.service.clone(),
            mounts: config.mounts.clone().into_iter().collect(),
            issues: config.issues.values().cloned().collect(),
            serves: config.serves.clone(),
            target: listens.then(|| target(&config.service, Target::tls(config.listen), mount)),
        }
    }

    /// The mount that a place is in: a file of it, or the address at which it is presented.
    pub fn mount_at(&self, place: &str) -> Option<&str> {
        if self.target.as_ref().is_some_and(|target| target.at == place) {
            return Some(&self.serves);
        }
        let holds = |(_, folder): &(&String, &PathBuf)| Path::new(place).starts_with(folder);
        self.mounts.iter().find(holds).map(|(name, _)| name.as_str())
    }
}

fn target(service: &str, target: Target, presents: Option<&PathBuf>) -> Target {
    let presents = presents.map(|mount| mount.join(CHAIN_FILE).to_string_lossy().into());
    Target { name: service.to_owned(), service: Some(service.into()), presents, ..target }
}
