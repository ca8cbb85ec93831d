//! Calls NATS: one connection, made with the credential in use at that time, and made again with the one in use
//! then when it has ended.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, connection::State};
use stack::{client::HopError, service::Service, tls::Trouble};
use tokio::time::{sleep, timeout};

/// The service.
pub const NATS: &str = "nats";
/// Where records are published; whoever stores one answers.
pub const SUBJECT: &str = "records";
/// The mount whose credential is shown to it.
const MOUNT: &str = "mesh";
/// Longest time for a connection.
const LIMIT: Duration = Duration::from_secs(1);
/// How often it is looked whether there is a connection, and one is tried.
const EVERY: Duration = Duration::from_millis(100);

/// A client of NATS that keeps itself connected.
pub struct Bus {
    service: Arc<Service>,
    connection: Mutex<Result<Client, Trouble>>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Bus {
    /// One that has called nobody yet.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, connection: Mutex::new(Err(Trouble::unreachable("not called yet"))) }
    }

    /// The connection. Nobody waits for one: users who queue up would be served late, not told.
    ///
    /// # Errors
    /// Why there is none.
    pub fn client(&self) -> Result<Client, HopError> {
        match &*self.lock() {
            Ok(client) if is_up(client) => Ok(client.clone()),
            Ok(_) => Err(error(Trouble::unreachable("disconnected"))),
            Err(trouble) => Err(error(trouble.clone())),
        }
    }

    /// Keeps a connection, for ever.
    pub async fn keep(&self) {
        loop {
            if self.client().is_err() {
                let made = timeout(LIMIT, self.connect()).await;
                let made = made.unwrap_or_else(|_| Err(Trouble::unreachable("timed out")));
                let needs = &self.service.client.needs;
                match &made {
                    Ok(_) => needs.answered(NATS),
                    Err(trouble) => needs.failed(NATS, &trouble.words),
                }
                *self.lock() = made;
            }
            sleep(EVERY).await;
        }
    }

    /// Waits until a connection is none any more.
    pub async fn lost(&self, client: &Client) {
        while is_up(client) {
            sleep(EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Result<Client, Trouble>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Client, Trouble> {
        let Service { config, mounts, .. } = &*self.service;
        let address =
            config.known.get(NATS).ok_or_else(|| Trouble::unreachable("nobody knows where it is"))?;
        let mount = mounts.get(MOUNT).ok_or_else(|| Trouble::unreachable("no such mount"))?;
        let tls = (*mount.available().await.client).clone();
        let options = ConnectOptions::new()
            .name(&config.service)
            .require_tls(true)
            .tls_client_config(tls)
            .connection_timeout(LIMIT)
            // By itself it would come back with the credential that it had.
            .max_reconnects(1);
        options.connect(format!("tls://{address}")).await.map_err(|error| Trouble::of(&error))
    }
}

/// What a hop to NATS that failed is called.
pub fn error(trouble: Trouble) -> HopError {
    HopError { need: NATS.into(), trouble }
}

fn is_up(client: &Client) -> bool {
    client.connection_state() == State::Connected
}
