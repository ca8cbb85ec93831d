//! Calls NATS: one connection, made with the credential in use at that time, and made again with the one in use
//! then when it has ended.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, connection::State};
use stack::{client::HopError, service::Service, tls::Trouble};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

/// The service.
pub const NATS: &str = "nats";
/// Where records are published; whoever stores one answers.
pub const SUBJECT: &str = "records";
/// The mount whose credential is shown to it.
const MOUNT: &str = "mesh";
/// Longest time for a connection.
const LIMIT: Duration = Duration::from_secs(1);
/// How often it is looked whether there is a connection.
const EVERY: Duration = Duration::from_millis(100);

/// A client of NATS, which is connected when it is first needed.
pub struct Bus {
    service: Arc<Service>,
    connection: Mutex<Option<Client>>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Bus {
    /// One that has called nobody yet.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, connection: Mutex::default() }
    }

    /// The connection, made if there is none.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn client(&self) -> Result<Client, HopError> {
        let mut connection = self.connection.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| is_up(client)) {
            return Ok(client.clone());
        }
        *connection = None;
        let made = timeout(LIMIT, self.connect()).await;
        let made = made.unwrap_or_else(|_| Err(Trouble::unreachable("timed out")));
        let client = made.map_err(|trouble| self.failed(trouble))?;
        self.service.client.needs.answered(NATS);
        *connection = Some(client.clone());
        Ok(client)
    }

    /// Looks again and again whether there is a connection, for ever.
    pub async fn watch(&self) {
        loop {
            // What came of it is told by how it stands with the need.
            let _ = self.client().await;
            sleep(EVERY).await;
        }
    }

    /// Waits until a connection is none any more.
    pub async fn lost(&self, client: &Client) {
        while is_up(client) {
            sleep(EVERY).await;
        }
    }

    /// There was no answer.
    pub fn failed(&self, trouble: Trouble) -> HopError {
        self.service.client.needs.failed(NATS, &trouble.words);
        HopError { need: NATS.into(), trouble }
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

fn is_up(client: &Client) -> bool {
    client.connection_state() == State::Connected
}
