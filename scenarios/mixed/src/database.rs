//! Calls `PostgreSQL`: one connection, made with the credential in use at that time, and made again when it has
//! ended. As most clients do, it does not look at certificates on a connection that is open.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stack::{client::HopError, service::Service, tls::Trouble};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The service.
pub const POSTGRES: &str = "postgres";
/// The mount whose credential is shown to it.
const MOUNT: &str = "mesh";
/// Longest time for a connection and for an answer.
const LIMIT: Duration = Duration::from_secs(1);
/// How often it is asked whether it serves, and a connection is tried.
const EVERY: Duration = Duration::from_millis(100);
/// The only table: a record that comes twice is there once, and known to have come twice.
const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS records (
    number bigint PRIMARY KEY, sent bigint NOT NULL, stored bigint NOT NULL, copies integer NOT NULL
)";

/// A client of the database that keeps itself connected.
pub struct Database {
    service: Arc<Service>,
    connection: Mutex<Result<Arc<Client>, Trouble>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// One that has asked nothing yet.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, connection: Mutex::new(Err(Trouble::unreachable("not asked yet"))) }
    }

    /// The connection. Nobody waits for one: users who queue up would be served late, not told.
    ///
    /// # Errors
    /// Why there is none.
    pub fn client(&self) -> Result<Arc<Client>, HopError> {
        match &*self.lock() {
            Ok(client) if !client.is_closed() => Ok(client.clone()),
            Ok(_) => Err(error(Trouble::unreachable("disconnected"))),
            Err(trouble) => Err(error(trouble.clone())),
        }
    }

    /// The answer to a question that was put to the connection.
    ///
    /// # Errors
    /// Why there is none; a connection without an answer is given up.
    pub async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, HopError> {
        let trouble = match timeout(LIMIT, asked).await {
            Ok(Ok(answer)) => {
                self.service.client.needs.answered(POSTGRES);
                return Ok(answer);
            }
            Ok(Err(error)) => Trouble::of(&error),
            Err(_) => {
                let trouble = Trouble::unreachable("timed out");
                *self.lock() = Err(trouble.clone());
                trouble
            }
        };
        self.service.client.needs.failed(POSTGRES, &trouble.words);
        Err(error(trouble))
    }

    /// Keeps a connection, and asks whether the database serves, for ever.
    pub async fn keep(&self) {
        loop {
            if let Ok(client) = self.client() {
                // What came of it is told by how it stands with the need.
                let _ = self.answer(client.simple_query("SELECT 1")).await;
            } else {
                let made = timeout(LIMIT, self.connect()).await;
                let made = made.unwrap_or_else(|_| Err(Trouble::unreachable("timed out")));
                let needs = &self.service.client.needs;
                match &made {
                    Ok(_) => needs.answered(POSTGRES),
                    Err(trouble) => needs.failed(POSTGRES, &trouble.words),
                }
                *self.lock() = made.map(Arc::new);
            }
            sleep(EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Result<Arc<Client>, Trouble>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
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
}

/// What a hop to the database that failed is called.
fn error(trouble: Trouble) -> HopError {
    HopError { need: POSTGRES.into(), trouble }
}
