//! The Docker Engine: how it is reached, whether it will do, and how our things are marked in it.

use std::{collections::HashMap, io::ErrorKind, os::unix::net::UnixStream, time::Duration};

use testcontainers::bollard::{API_DEFAULT_VERSION, Docker, models::SystemInfoCgroupDriverEnum};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// Whose run a thing belongs to.
pub(in crate::runtime) const RUN: &str = "notafter.run";
/// Which process made it: id and start time, as [`crate::procfs::Identity`] writes them.
pub(in crate::runtime) const OWNER: &str = "notafter.owner";
/// Which service a container is for.
pub(in crate::runtime) const SERVICE: &str = "notafter.service";
/// What our images carry.
pub(in crate::runtime) const IMAGE: &str = "notafter.image";

const SOCKET: &str = "/var/run/docker.sock";
/// No single question takes the engine longer, unless it is in trouble.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// For the first question of all; a machine that is busy building takes seconds.
const FIRST_LIMIT: Duration = Duration::from_secs(10);
const INSTALL: &str = "ci/setup installs and starts it on Debian; \
                       elsewhere see https://docs.docker.com/engine/install";

/// A client of the local engine. Somebody listens, but nothing is asked yet.
pub(in crate::runtime) fn connect() -> Result<Docker> {
    socket()?;
    Docker::connect_with_unix(&path()?, REQUEST_LIMIT.as_secs(), API_DEFAULT_VERSION)
        .map_err(|error| no_answer(error.into()))
}

/// A connection to where the engine listens, on which nothing has been said.
pub(in crate::runtime) fn socket() -> Result<UnixStream> {
    let path = path()?;
    UnixStream::connect(&path).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => "`sudo usermod -aG docker $USER` and a new login give permission",
            _ => INSTALL,
        };
        Error::missing(format!("no Docker: cannot connect to {path}")).because(error).hint(hint)
    })
}

fn path() -> Result<String> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| format!("unix://{SOCKET}"));
    host.strip_prefix("unix://").map(str::to_owned).ok_or_else(|| {
        Error::missing(format!("no local Docker: DOCKER_HOST is {host}")).hint(
            "folders of a run are mounted into its containers: unset DOCKER_HOST, or give a unix:// one",
        )
    })
}

/// Whether the engine answers, and runs on this very machine.
pub(in crate::runtime) async fn check(docker: &Docker) -> Result<()> {
    let info = match timeout(FIRST_LIMIT, docker.info()).await {
        Ok(info) => info.map_err(|error| no_answer(error.into()))?,
        Err(waited) => return Err(no_answer(waited.into())),
    };
    let here = rustix::system::uname();
    let here = here.release().to_string_lossy();
    let there = info.kernel_version.unwrap_or_default();
    let rootless = info.security_options.unwrap_or_default().iter().any(|option| option.contains("rootless"));
    if there != here || rootless {
        let what =
            if rootless { "it is rootless".into() } else { format!("its kernel is {there}, not {here}") };
        return Err(Error::missing(format!("Docker runs its containers elsewhere: {what}"))
            .hint("containers must be reachable by their addresses: use a Docker Engine of this machine"));
    }
    Ok(())
}

/// Where containers belong among control groups, if not at the engine's own place.
///
/// With plain control groups, that place gives all containers together the weight of a single one of
/// the processes outside. At the root each competes as the processes of runtime `processes` do.
pub(in crate::runtime) async fn control_group(docker: &Docker) -> Option<String> {
    let driver = docker.info().await.ok()?.cgroup_driver?;
    (driver == SystemInfoCgroupDriverEnum::CGROUPFS).then(|| "/".into())
}

/// The labels of everything that a run makes.
pub(in crate::runtime) fn labels(run: &str) -> HashMap<String, String> {
    let owner = crate::procfs::me().to_string();
    [(RUN, run.to_owned()), (OWNER, owner)].map(|(label, value)| (label.to_owned(), value)).into()
}

/// A filter for a label: `notafter.run` or `notafter.run=ID`.
pub(in crate::runtime) fn labelled(label: impl Into<String>) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.into()])])
}

fn no_answer(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::missing("no Docker: it does not answer").because(error).hint(INSTALL)
}
