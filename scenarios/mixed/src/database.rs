//! Calls `PostgreSQL`: one connection, made with the credential in use at that time, and made again when it has
//! ended. As most clients do, it does not look at certificates on a connection that is open.

use std::{fmt, sync::Arc, time::Duration};

use stack::{client::HopError, service::Service, tls::Trouble};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use tokio_postgres::{Client, Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The service.
pub const POSTGRES: &str = "postgres";
/// The mount whose credential is shown to it.
const MOUNT: &str = "mesh";
/// Longest time for a connection and for an answer.
const LIMIT: Duration = Duration::from_secs(1);
/// How often it is asked whether it serves.
const EVERY: Duration = Duration::from_millis(250);
/// The only table: a record that comes twice is there once, and known to have come twice.
const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS records (
    number bigint PRIMARY KEY, sent bigint NOT NULL, stored bigint NOT NULL, copies integer NOT NULL
)";

/// A client of the database, which is connected when it is first asked.
pub struct Database {
    service: Arc<Service>,
    connection: Mutex<Option<Arc<Client>>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// One that has asked nothing yet.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, connection: Mutex::default() }
    }

    /// The connection, made if there is none.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn client(&self) -> Result<Arc<Client>, HopError> {
        let mut connection = self.connection.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        *connection = None;
        let made = timeout(LIMIT, self.connect()).await;
        let made = made.unwrap_or_else(|_| Err(Trouble::unreachable("timed out")));
        let client = Arc::new(made.map_err(|trouble| self.failed(trouble))?);
        *connection = Some(client.clone());
        Ok(client)
    }

    /// The answer to a question that was put to the connection.
    ///
    /// # Errors
    /// Why there is none; a connection without an answer is given up.
    pub async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, HopError> {
        match timeout(LIMIT, asked).await {
            Ok(Ok(answer)) => {
                self.service.client.needs.answered(POSTGRES);
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(Trouble::of(&error))),
            Err(_) => {
                *self.connection.lock().await = None;
                Err(self.failed(Trouble::unreachable("timed out")))
            }
        }
    }

    /// Asks again and again whether it serves, for ever.
    pub async fn watch(&self) {
        loop {
            if let Ok(client) = self.client().await {
                // What came of it is told by how it stands with the need.
                let _ = self.answer(client.simple_query("SELECT 1")).await;
            }
            sleep(EVERY).await;
        }
    }

    async fn connect(&self) -> Result<Client, Trouble> {
        let Service { config, mounts, .. } = &*self.service;
        let address = config.known.get(POSTGRES).and_then(|address| address.rsplit_once(':'));
        let (host, port) = address.ok_or_else(|| Trouble::unreachable("nobody knows where it is"))?;
        let mount = mounts.get(MOUNT).ok_or_else(|| Trouble::unreachable("no such mount"))?;
        let tls = MakeRustlsConnect::new((*mount.available().await.client).clone());
        let mut database = Config::new();
        database.host(host).port(port.parse().unwrap_or(5432)).ssl_mode(SslMode::Require);
        database.user(POSTGRES).dbname(POSTGRES);
        let (client, connection) = database.connect(tls).await.map_err(|error| Trouble::of(&error))?;
        // It ends when the client is dropped, or the server goes.
        tokio::spawn(connection);
        client.batch_execute(TABLE).await.map_err(|error| Trouble::of(&error))?;
        Ok(client)
    }

    fn failed(&self, trouble: Trouble) -> HopError {
        self.service.client.needs.failed(POSTGRES, &trouble.words);
        HopError { need: POSTGRES.into(), trouble }
    }
}
