//! The container management system: knows where services are, and hands out and renews their
//! credentials. It believes node certificates.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use notafter::system::Span;
use serde::{Deserialize, Serialize};

use crate::{
    client::Registration,
    disk,
    enrol::{Application, Issued},
    issuer::Issuers,
    reply::{Answer, Failure},
    service::{Role, Service},
    tls::Peer,
};

/// What the manager can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long the certificates live that it issues.
    pub lifetime: Span,
    /// The authority that issues for a mount.
    pub authorities: BTreeMap<String, String>,
    /// Defect: it reads an issuing key once instead of each time, so that who starts after a rotation gets a
    /// certificate of before: the leader came last (canonical/mongodb-operator#106).
    pub caches_issuer: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let authorities = [("node", "platform"), ("workload", "mesh")];
        Self {
            lifetime: Span(Duration::from_hours(1)),
            authorities: authorities.map(|(mount, authority)| (mount.into(), authority.into())).into(),
            caches_issuer: false,
        }
    }
}

/// The container management system.
#[derive(Debug)]
pub struct Manager {
    service: Arc<Service>,
    issuers: Issuers,
    authorities: BTreeMap<String, String>,
    registry: Mutex<BTreeMap<String, String>>,
    file: PathBuf,
}

impl Role for Manager {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        let file = service.config.data.join("registry.json");
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        std::fs::create_dir_all(&service.config.data).map_err(|error| failed(&error))?;
        let registry = match disk::read_if_any(&file).map_err(|error| failed(&error))? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(&error))?,
            None => BTreeMap::new(),
        };
        let issuers =
            Issuers::new(service.config.issues.clone(), settings.lifetime.0, settings.caches_issuer);
        Ok(Self { service, issuers, authorities: settings.authorities, registry: Mutex::new(registry), file })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/credentials", post(credentials))
            .route("/v1/services", post(register).get(services))
            .route("/v1/services/{name}", get(service))
            .with_state(self)
    }

    fn issue_own(&self, application: &Application) -> Option<Result<Issued, String>> {
        Some(self.issue(&self.service.config.service, application))
    }
}

impl Manager {
    fn issue(&self, name: &str, application: &Application) -> Result<Issued, String> {
        let mount = &application.mount;
        let authority =
            self.authorities.get(mount).ok_or_else(|| format!("no authority for mount `{mount}`"))?;
        self.issuers.issue(authority, name, &application.csr)
    }
}

async fn credentials(
    State(manager): State<Arc<Manager>>,
    Extension(peer): Extension<Peer>,
    Json(application): Json<Application>,
) -> Answer<Issued> {
    let issued = manager.issue(&peer.name, &application).map_err(Failure::bad)?;
    manager.service.log.say(&format!("issued a {} credential to {}", application.mount, peer.name));
    Ok(Json(issued))
}

async fn register(
    State(manager): State<Arc<Manager>>,
    Extension(peer): Extension<Peer>,
    Json(here): Json<Registration>,
) -> Answer<Registration> {
    if here.name != peer.name {
        let reason = format!("`{}` cannot register `{}`", peer.name, here.name);
        return Err(Failure::new(StatusCode::FORBIDDEN, reason));
    }
    let mut registry = manager.registry.lock().unwrap_or_else(PoisonError::into_inner);
    if registry.get(&here.name) != Some(&here.address) {
        let mut next = registry.clone();
        next.insert(here.name.clone(), here.address.clone());
        let bytes = serde_json::to_vec_pretty(&next).map_err(Failure::broken)?;
        disk::replace(&manager.file, &bytes)
            .map_err(|error| Failure::broken(format!("{}: {error}", manager.file.display())))?;
        *registry = next;
    }
    Ok(Json(here))
}

async fn service(State(manager): State<Arc<Manager>>, Path(name): Path<String>) -> Answer<Registration> {
    let registry = manager.registry.lock().unwrap_or_else(PoisonError::into_inner);
    let address =
        registry.get(&name).ok_or_else(|| Failure::missing(format!("`{name}` is not registered")))?;
    Ok(Json(Registration { address: address.clone(), name }))
}

async fn services(State(manager): State<Arc<Manager>>) -> Json<Vec<Registration>> {
    let registry = manager.registry.lock().unwrap_or_else(PoisonError::into_inner);
    let registered =
        |(name, address): (&String, &String)| Registration { name: name.clone(), address: address.clone() };
    Json(registry.iter().map(registered).collect())
}
