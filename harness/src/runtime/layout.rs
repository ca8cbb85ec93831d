//! What every runtime lays out for a service, and tells its supervisor.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::{
    error::{Context, Error, Result},
    history::{ProcessChange, Recorder, What},
    run::write_private,
    service::{CLOCK_FILE, Config, HEALTH_PORT, TLS_PORT},
    supervise::Launch,
    system::{Service, System},
};

/// Where a service stores what outlives it, in its folder.
pub(super) const DATA: &str = "data";

/// Lays out a service's folder: its configuration, and empty folders for the rest.
///
/// `listen` is where the service binds; `host` is how the others reach it.
pub(super) fn lay_out(
    system: &System,
    service: &Service,
    folder: &Path,
    listen: IpAddr,
    host: &dyn Fn(&str) -> String,
) -> Result<()> {
    let config = Config {
        service: service.name.clone(),
        listen: SocketAddr::new(listen, TLS_PORT),
        health: SocketAddr::new(listen, HEALTH_PORT),
        advertise: format!("{}:{}", host(&service.name), service.port()),
        start: service.start,
        reload: service.reload,
        needs: service.needs.clone(),
        known: system
            .services
            .iter()
            .filter(|other| other.well_known)
            .map(|other| (other.name.clone(), format!("{}:{}", host(&other.name), other.port())))
            .collect(),
        serves: service.serves.clone(),
        doors: service.doors.clone(),
        mounts: service
            .mounts
            .keys()
            .map(|mount| (mount.clone(), mount_folder(Path::new(""), mount)))
            .collect(),
        issues: service
            .issues
            .iter()
            .map(|name| (name.clone(), issuer_folder(Path::new(""), name)))
            .collect(),
        data: DATA.into(),
        clock: CLOCK_FILE.into(),
        settings: service.settings.clone(),
    };
    let folders = config.mounts.values().chain(config.issues.values()).chain([&config.data]);
    for path in folders.map(|path| folder.join(path)) {
        std::fs::create_dir_all(&path).context(|| format!("cannot make {}", path.display()))?;
    }
    let text =
        serde_json::to_vec_pretty(&config).map_err(|error| Error::new("configuration").because(error))?;
    write_private(&folder.join("config.json"), &text)
}

pub(super) fn mount_folder(folder: &Path, mount: &str) -> PathBuf {
    folder.join("credentials").join(mount)
}

pub(super) fn issuer_folder(folder: &Path, authority: &str) -> PathBuf {
    folder.join("issuers").join(authority)
}

/// What a supervisor needs to know of a service.
pub(super) fn launch(service: &Service, run: &str, config: PathBuf, log: PathBuf) -> Launch {
    Launch {
        service: service.name.clone(),
        program: service.program.clone(),
        run: run.to_owned(),
        config,
        log,
        backoff: service.restart,
    }
}

/// Puts what a supervisor sees into the history.
pub(super) fn observer(recorder: &Recorder, service: &str) -> impl FnMut(ProcessChange) + Send + use<> {
    let (recorder, service) = (recorder.clone(), service.to_owned());
    move |change| recorder.record(What::Process { service: service.clone(), change })
}
