//! Records: takes them from users and publishes them, reads them again, and keeps account of what was
//! acknowledged.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{Method, StatusCode},
    response::Response,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack::{
    client::HopError,
    reply::{Answer, Failure},
    service::{Role, Service},
    tls::Trouble,
};
use tokio::time::timeout;

use crate::{
    bus::{self, Bus, NATS, SUBJECT},
    database::{Database, POSTGRES},
    keeper::{Published, STORED},
};

/// How long the keeper may take; a user waits for 3 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// The file of what was acknowledged, in the folder that outlives a restart: `NUMBER SENT ACKNOWLEDGED`, a line each.
const ACCOUNT: &str = "acknowledged";
const READ: &str = "SELECT stored FROM records WHERE number = $1";
const READ_ALL: &str = "SELECT number, stored, copies FROM records WHERE number > $1";

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Defect: it says that a record is stored once it is published.
    pub acknowledges_early: bool,
}

/// Takes records and reads them.
#[derive(Debug)]
pub struct Records {
    service: Arc<Service>,
    settings: Settings,
    bus: Bus,
    database: Database,
    account: Mutex<Account>,
}

/// When which record was sent and acknowledged, Unix microseconds; in memory and on disk.
#[derive(Debug)]
struct Account {
    acknowledged: BTreeMap<i64, (i64, i64)>,
    /// The number that was given last.
    last: i64,
    file: File,
}

impl Role for Records {
    type Settings = Settings;

    const CALLS_OTHERWISE: &[&str] = &[NATS, POSTGRES];

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        let account = Mutex::new(Account::open(&service)?);
        let (bus, database) = (Bus::new(service.clone()), Database::new(service.clone()));
        Ok(Self { service, settings, bus, database, account })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/records", post(publish))
            .route("/v1/records/{number}", get(read))
            .route("/v1/count", get(count))
            .route("/v1/ledger", get(ledger))
            .route("/v1/latest", get(latest))
            .route("/v1/stored", get(stored))
            .with_state(self)
    }

    async fn work(self: Arc<Self>) {
        tokio::join!(self.bus.keep(), self.database.keep());
    }
}

#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: i64,
}

type It = State<Arc<Records>>;

async fn publish(State(it): It) -> Answer<Value> {
    let record = lock(&it.account).next();
    it.publish(record).await?;
    lock(&it.account).acknowledge(record).map_err(Failure::broken)?;
    Ok(Json(json!({ "number": record.number })))
}

async fn read(State(it): It, Path(number): Path<i64>) -> Answer<Value> {
    let found = it.read(number).await.map_err(|error| it.service.failure(&error))?;
    let stored = found.ok_or_else(|| Failure::missing(format!("no record {number}")))?;
    Ok(Json(json!({ "number": number, "stored": stored })))
}

async fn count(State(it): It) -> Result<Response, Failure> {
    it.service.forward("keeper", Method::GET, "/v1/count", axum::body::Bytes::new()).await
}

/// `[[number, sent, acknowledged], ...]`: what was not acknowledged is not on it. Whoever asked for that
/// was told that it failed, and repeats it.
async fn ledger(State(it): It, Query(query): Query<After>) -> Json<Vec<(i64, i64, i64)>> {
    let account = lock(&it.account);
    let after = account.acknowledged.range(query.after + 1..);
    Json(after.map(|(number, (sent, acknowledged))| (*number, *sent, *acknowledged)).collect())
}

async fn latest(State(it): It) -> Json<Value> {
    let latest = lock(&it.account).acknowledged.last_key_value().map_or(0, |(number, _)| *number);
    Json(json!({ "sent": latest }))
}

/// `[[number, stored, copies], ...]`
async fn stored(State(it): It, Query(query): Query<After>) -> Answer<Vec<(i64, i64, i32)>> {
    it.stored(query.after).await.map(Json).map_err(|error| it.service.failure(&error))
}

impl Records {
    /// Returns when it is stored, or, with the defect, before.
    async fn publish(&self, record: Published) -> Result<(), Failure> {
        let client = self.bus.client().map_err(|error| self.service.failure(&error))?;
        let body = serde_json::to_vec(&record).map_err(Failure::broken)?.into();
        if self.settings.acknowledges_early {
            let sent = client.publish(SUBJECT, body).await;
            return sent.map_err(|error| self.service.failure(&bus::error(Trouble::of(&error))));
        }
        let asked = timeout(PATIENCE, client.request(SUBJECT, body)).await;
        // It is nobody's certificate if nobody listens: the keeper may be away.
        let unavailable =
            |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("keeper: {why}"));
        let answer = asked.map_err(|_| unavailable("no answer".into()))?;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        match std::str::from_utf8(&answer.payload) {
            Ok(STORED) => Ok(()),
            Ok(why) => Err(unavailable(why.to_owned())),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }

    async fn read(&self, number: i64) -> Result<Option<i64>, HopError> {
        let client = self.database.client()?;
        let rows = self.database.answer(client.query(READ, &[&number])).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    async fn stored(&self, after: i64) -> Result<Vec<(i64, i64, i32)>, HopError> {
        let client = self.database.client()?;
        let rows = self.database.answer(client.query(READ_ALL, &[&after])).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }
}

impl Account {
    fn open(service: &Service) -> Result<Self, String> {
        let data = &service.config.data;
        let path = data.join(ACCOUNT);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(data).map_err(failed)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        let text = fs::read_to_string(&path).map_err(failed)?;
        let acknowledged: BTreeMap<_, _> = text.lines().filter_map(entry).collect();
        let last = acknowledged.last_key_value().map_or(0, |(number, _)| *number);
        Ok(Self { acknowledged, last, file })
    }

    /// A record that has a number of its own, after a restart, too: its time, or the next after the last.
    fn next(&mut self) -> Published {
        let sent = unix_us();
        self.last = sent.max(self.last + 1);
        Published { number: self.last, sent }
    }

    fn acknowledge(&mut self, Published { number, sent }: Published) -> std::io::Result<()> {
        let now = unix_us();
        writeln!(self.file, "{number} {sent} {now}")?;
        self.acknowledged.insert(number, (sent, now));
        Ok(())
    }
}

/// A line of the account; one that a crash has cut was not acknowledged.
fn entry(line: &str) -> Option<(i64, (i64, i64))> {
    let mut words = line.split(' ').map(|word| word.parse().ok());
    Some((words.next()??, (words.next()??, words.next()??)))
}

fn unix_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros().try_into().unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_no_entry() {
        assert_eq!(entry("7 100 120"), Some((7, (100, 120))));
        assert_eq!(entry("7 100 "), None);
        assert_eq!(entry(""), None);
    }
}
