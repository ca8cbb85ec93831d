//! The writer: writes for users through whichever member answers, and keeps account of what was
//! acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack::{
    reply::{Answer, Failure},
    service::{Role, Service},
};

/// How long one write may look for a member that takes it; a user waits for 3 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between one round of all members and the next.
const PAUSE: Duration = Duration::from_millis(30);
/// How long a change of leaders is told.
const TOLD: Duration = Duration::from_secs(1);
/// What stands before the number of a write, and what comes after all of them.
const KEYS: [&str; 2] = ["write/", "write0"];
/// How long a lease lasts that nobody keeps alive, in seconds: longer than any run is without a quorum.
const LEASE: u64 = 60;

/// What the writer can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Defect: it says that a write is done before it knows.
    pub acknowledges_early: bool,
    /// How many writes it takes before it refuses: a run must end.
    pub most: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { acknowledges_early: false, most: 50_000 }
    }
}

/// The writer.
#[derive(Debug)]
pub struct Writer {
    service: Arc<Service>,
    settings: Settings,
    next: AtomicU64,
    /// The member that answered last.
    preferred: AtomicUsize,
    /// Acknowledged writes: when each was sent and acknowledged, Unix microseconds.
    acknowledged: Mutex<BTreeMap<u64, (u64, u64)>>,
    lease: tokio::sync::Mutex<Option<String>>,
    terms: Mutex<Terms>,
}

/// The term of raft that answers came from; another one is another leader, or the same elected again.
#[derive(Debug, Default)]
struct Terms {
    latest: u64,
    changed: Option<(Instant, u64)>,
}

impl Role for Writer {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        Ok(Self {
            service,
            settings,
            next: AtomicU64::new(1),
            preferred: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
            lease: tokio::sync::Mutex::default(),
            terms: Mutex::default(),
        })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/writes", post(write))
            .route("/v1/writes/{number}", get(find))
            .route("/v1/lease", post(lease))
            .route("/v1/leader", get(leader))
            .route("/v1/ledger", get(ledger))
            .route("/v1/latest", get(latest))
            .route("/v1/stored", get(stored))
            .with_state(self)
    }
}

#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

type It = State<Arc<Writer>>;

async fn write(State(it): It) -> Answer<Value> {
    let number = it.next.fetch_add(1, Ordering::Relaxed);
    if number > it.settings.most {
        return Err(Failure::new(
            StatusCode::INSUFFICIENT_STORAGE,
            format!("{} writes were taken", number - 1),
        ));
    }
    let sent = unix_us();
    let body = json!({ "key": BASE64.encode(key(number)), "value": BASE64.encode(sent.to_string()) });
    if it.settings.acknowledges_early {
        lock(&it.acknowledged).insert(number, (sent, unix_us()));
        // Whatever comes of it, nobody will hear.
        let it = Arc::clone(&it);
        tokio::spawn(async move { it.ask("/v3/kv/put", &body).await });
        return Ok(Json(json!({ "number": number })));
    }
    it.ask("/v3/kv/put", &body).await?;
    lock(&it.acknowledged).insert(number, (sent, unix_us()));
    Ok(Json(json!({ "number": number })))
}

/// A lease is granted once and kept alive from then on; one that has ended is a failure, and is granted anew.
async fn lease(State(it): It) -> Answer<Value> {
    let mut held = it.lease.lock().await;
    let Some(id) = held.clone() else {
        let granted = it.ask("/v3/lease/grant", &json!({ "TTL": LEASE.to_string() })).await?;
        *held = granted["ID"].as_str().map(ToOwned::to_owned);
        return Ok(Json(granted));
    };
    let kept = it.ask("/v3/lease/keepalive", &json!({ "ID": id })).await?;
    if kept["result"]["TTL"].as_str().is_none_or(|left| left == "0") {
        *held = None;
        return Err(Failure::new(StatusCode::GONE, format!("lease {id} has ended")));
    }
    Ok(Json(kept))
}

async fn leader(State(it): It) -> Answer<Value> {
    let terms = lock(&it.terms);
    let latest = terms.latest;
    match terms.changed {
        Some((at, before)) if at.elapsed() < TOLD => {
            let words = format!("term {before} was followed by term {latest}");
            Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, words))
        }
        _ => Ok(Json(json!({ "term": latest }))),
    }
}

async fn find(State(it): It, Path(number): Path<u64>) -> Answer<Value> {
    let found = it.ask("/v3/kv/range", &json!({ "key": BASE64.encode(key(number)) })).await?;
    match found["kvs"].as_array() {
        Some(all) if !all.is_empty() => Ok(Json(found)),
        _ => Err(Failure::missing(format!("no write {number}"))),
    }
}

/// `[[number, sent, acknowledged], ...]`: what was not acknowledged is not on it. Whoever asked for that
/// was told that it failed, and repeats it.
async fn ledger(State(it): It, Query(query): Query<After>) -> Json<Vec<(u64, u64, u64)>> {
    let acknowledged = lock(&it.acknowledged);
    Json(
        acknowledged
            .range(query.after + 1..)
            .map(|(number, (sent, acked))| (*number, *sent, *acked))
            .collect(),
    )
}

async fn latest(State(it): It) -> Json<Value> {
    Json(json!({ "sent": lock(&it.acknowledged).last_key_value().map_or(0, |(number, _)| *number) }))
}

/// `[[number, stored, copies], ...]`, as a linearizable read gives it: a key is there once.
async fn stored(State(it): It, Query(query): Query<After>) -> Answer<Vec<(u64, u64, u32)>> {
    let [_, end] = KEYS;
    let range = json!({ "key": BASE64.encode(key(query.after + 1)), "range_end": BASE64.encode(end) });
    let answer = it.ask("/v3/kv/range", &range).await?;
    let rows = answer["kvs"].as_array().into_iter().flatten().filter_map(row);
    Ok(Json(rows.collect()))
}

fn row(entry: &Value) -> Option<(u64, u64, u32)> {
    let text = |field: &str| String::from_utf8(BASE64.decode(entry[field].as_str()?).ok()?).ok();
    Some((text("key")?.strip_prefix(KEYS[0])?.parse().ok()?, text("value")?.parse().ok()?, 1))
}

impl Writer {
    /// Asks one member after another until one answers; whatever is asked may be asked twice.
    async fn ask(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let members: Vec<&String> = self.service.config.needs.keys().collect();
        let began = Instant::now();
        if members.is_empty() {
            return Err(Failure::broken("it knows no member"));
        }
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            for turn in 0..members.len() {
                let index = (first + turn) % members.len();
                match self.ask_one(members[index], path, body).await {
                    Ok(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(failure) if began.elapsed() > PATIENCE => return Err(failure),
                    Err(_) => {}
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_one(&self, member: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let reply = self.service.client.post(member, path, body).await;
        let reply = reply.map_err(|error| self.service.failure(&error))?;
        if !reply.status.is_success() {
            return Err(Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{member}: {}", reply.reason()),
            ));
        }
        let answer: Value = reply.json().map_err(Failure::broken)?;
        let header = answer.get("header").unwrap_or(&answer["result"]["header"]);
        if let Some(term) = header["raft_term"].as_str().and_then(|term| term.parse().ok()) {
            lock(&self.terms).saw(term);
        }
        Ok(answer)
    }
}

impl Terms {
    fn saw(&mut self, term: u64) {
        if term > self.latest {
            // Before the first one there was none that could have been followed.
            self.changed = (self.latest > 0).then(|| (Instant::now(), self.latest));
            self.latest = term;
        }
    }
}

/// In the order of numbers.
fn key(number: u64) -> String {
    format!("{}{number:010}", KEYS[0])
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros().try_into().unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_term_is_no_change_and_an_answer_of_an_older_one_is_none_either() {
        let mut terms = Terms::default();
        terms.saw(4);
        terms.saw(3);
        assert!(terms.changed.is_none());
        terms.saw(7);
        assert_eq!((terms.latest, terms.changed.map(|(_, before)| before)), (7, Some(4)));
    }

    #[test]
    fn what_was_written_reads_as_a_row_and_a_stranger_does_not() {
        let entry = |key: &str| json!({ "key": BASE64.encode(key), "value": BASE64.encode("17") });
        assert_eq!(row(&entry(&key(42))), Some((42, 17, 1)));
        assert_eq!(row(&entry("lock/1")), None);
        assert!(key(9) < key(10) && key(u64::from(u32::MAX)).as_str() < KEYS[1]);
    }
}
