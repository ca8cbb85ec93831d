//! What every service has, and what one role adds to it.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use hyper::{Method, body::Bytes};
use notafter::service::{Config, Status};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Notify;

use crate::{
    client::{Client, HopError},
    clients::Clients,
    clock,
    credentials::{Mount, Mounts},
    enrol::{Application, Issued},
    log::Log,
    reply::Failure,
    settings::Common,
    tls::EXPIRED,
};

/// Of a service that can be told nothing of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoSettings {}

/// What one role does in the common life of a service.
pub trait Role: Send + Sync + Sized + 'static {
    /// What it can be told, beyond [`Common`].
    type Settings: DeserializeOwned + Serialize + Default;

    /// Needs that it calls in another protocol than HTTP: it says itself how it stands with them.
    const CALLS_OTHERWISE: &[&str] = &[];

    /// Opens what it stores, and begins nothing.
    ///
    /// # Errors
    /// If its folder cannot be used; names the file.
    fn open(service: Arc<Service>, settings: Self::Settings) -> Result<Self, String>;

    /// What it answers to others.
    fn router(self: Arc<Self>) -> Router;

    /// What it does by itself, until it is dropped.
    fn work(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Issues a credential for one of its own mounts, where it holds the issuer: none where it has
    /// to ask the manager.
    fn issue_own(&self, _application: &Application) -> Option<Result<Issued, String>> {
        None
    }

    /// Writes out what it holds, when it is told to end.
    fn close(&self) {}
}

/// What every service has.
#[derive(Debug)]
pub struct Service {
    /// What it was told.
    pub config: Config,
    /// Its settings, as far as every service has them.
    pub settings: Common,
    /// Where it says what happens.
    pub log: Log,
    /// Its credentials.
    pub mounts: Arc<Mounts>,
    /// How it calls others.
    pub client: Client,
    /// Told when more connections are open than the server bears.
    pub drowned: Notify,
    /// Told when what it says about itself has changed, but not when a certificate reaches its end.
    pub changes: Arc<Notify>,
    /// What clients have shown.
    pub clients: Arc<Clients>,
    trouble: Mutex<BTreeMap<&'static str, String>>,
    /// Whether it has ever said that it is ready.
    was_ready: AtomicBool,
}

/// Why a service ended before it was told to. Its text is the service's last words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told something that makes no sense.
    Settings(String),
    /// A need did not answer, and it starts only after its needs.
    Need(String),
    /// The machine does not give what it takes.
    Machine(String),
}

impl End {
    /// The exit code of its process: that of a failed start is what a supervisor expects, the
    /// others are those of `sysexits.h`.
    pub fn code(&self) -> u8 {
        match self {
            Self::Need(_) => 1,
            Self::Settings(_) => 64,
            Self::Machine(_) => 74,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Settings(text) | Self::Need(text) | Self::Machine(text)) = self;
        f.write_str(text)
    }
}

impl Service {
    /// A service that has done nothing yet.
    pub fn new(config: Config, settings: Common) -> Self {
        let changes = Arc::<Notify>::default();
        let clients = Arc::new(Clients::new(changes.clone()));
        let mount = |(name, folder): (&String, &PathBuf)| {
            let mount = Mount::new(name, folder, &settings, changes.clone());
            (name.clone(), Arc::new(mount))
        };
        let mounts: Arc<Mounts> = Arc::new(config.mounts.iter().map(mount).collect());
        Self {
            log: Log::new(&config.service),
            client: Client::new(&config, mounts.clone(), &settings, changes.clone()),
            mounts,
            settings,
            config,
            drowned: Notify::new(),
            changes,
            clients,
            trouble: Mutex::default(),
            was_ready: AtomicBool::new(false),
        }
    }

    /// Passes a request on to a need, and its answer back.
    ///
    /// # Errors
    /// 503 with the hop and the reason, if the hop fails.
    pub async fn forward(
        &self,
        need: &str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let reply = self.client.call(need, method, path, body).await;
        reply.map(IntoResponse::into_response).map_err(|error| self.failure(&error))
    }

    /// The answer to somebody whose request failed at a hop of this service.
    pub fn failure(&self, error: &HopError) -> Failure {
        Failure::hop(&self.config.service, error)
    }

    /// What it waits for, each with the reason; ready is who waits for nothing.
    pub fn waits_for(&self) -> Vec<String> {
        let mut waits = self.client.needs.waits_for();
        for (name, mount) in self.mounts.iter() {
            match mount.in_use() {
                None => waits.push(format!("own {name} credential: none yet")),
                Some(in_use) if in_use.has_expired() => {
                    waits.push(format!("own {name} credential: {EXPIRED}"));
                }
                Some(_) => {}
            }
        }
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        waits.extend(trouble.iter().map(|(what, why)| format!("{what}: {why}")));
        waits
    }

    /// What it tells others that it waits for.
    pub fn says_it_waits_for(&self) -> Vec<String> {
        let waits_for = self.waits_for();
        let was_ready = self.was_ready.fetch_or(waits_for.is_empty(), Ordering::Relaxed);
        if was_ready && self.settings.health_lies { Vec::new() } else { waits_for }
    }

    /// What it says about itself.
    pub fn status(&self) -> Status {
        let waits_for = self.says_it_waits_for();
        let tells = !self.settings.silent_about_refusals;
        let rejected =
            |(name, mount): (&String, &Arc<Mount>)| Some((name.clone(), mount.rejected().filter(|_| tells)?));
        let credential = |(name, mount): (&String, &Arc<Mount>)| {
            let ahead = self.settings.status_runs_ahead.then(|| mount.leaf_on_disk().ok()).flatten();
            Some((name.clone(), ahead.or_else(|| Some(mount.in_use()?.leaf.clone()))?))
        };
        Status {
            ready: waits_for.is_empty(),
            waits_for,
            credentials: self.mounts.iter().filter_map(credential).collect(),
            rejected: self.mounts.iter().filter_map(rejected).collect(),
            clients: self.clients.all(),
            clock_us: Some(clock::unix_us()),
        }
    }

    /// Something of its own, beyond needs and credentials, works or does not.
    pub fn set_trouble(&self, what: &'static str, why: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = match why {
            Some(why) if trouble.get(what) == Some(&why) => false,
            Some(why) => {
                trouble.insert(what, why);
                true
            }
            None => trouble.remove(what).is_some(),
        };
        if is_new {
            self.changes.notify_waiters();
        }
    }
}
