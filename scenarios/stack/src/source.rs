//! The collaboration platform: emits numbered records at a steady rate and keeps them.
//!
//! Its live feed shows the records of the last moments only. Whoever was away for longer has a gap,
//! and fetches it from the history.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use notafter::system::Span;
use serde::{Deserialize, Serialize};

use crate::{
    disk,
    record::{Batch, Record},
    reply::{Answer, Failure},
    service::{Role, Service},
    wait,
};

/// What the source can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Records per second.
    pub rate: u32,
    /// How long a record stays in the live feed.
    pub live_window: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rate: 100, live_window: Span(Duration::from_secs(2)) }
    }
}

/// Most records in one answer.
const MOST: u64 = 1000;

/// The collaboration platform.
#[derive(Debug)]
pub struct Source {
    rate: u64,
    live_window_us: u64,
    /// Microseconds since the Unix epoch at which it began for the first time.
    epoch_us: u64,
    /// How far it was when this process began, and since when.
    origin: (u64, Instant),
    acks: Mutex<Acks>,
}

/// When each record was first acknowledged, and the file that remembers it.
#[derive(Debug)]
struct Acks {
    at_us: BTreeMap<u64, u64>,
    file: File,
}

/// Numbers that are acknowledged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Each from the first number to the last, both included.
    pub ranges: Vec<(u64, u64)>,
}

/// How far the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Number of the latest record; 0 if there is none.
    pub sent: u64,
    /// How many records are acknowledged.
    pub acked: u64,
}

impl Role for Source {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        let data = &service.config.data;
        let failed = |error: std::io::Error| format!("{}: {error}", data.display());
        std::fs::create_dir_all(data).map_err(failed)?;
        let epoch_us = epoch(&data.join("epoch")).map_err(failed)?;
        let acks = Acks::open(&data.join("acks")).map_err(failed)?;
        // The wall clock says how long it was away, the monotonic one how long it has been here.
        let origin = (wait::unix_us().saturating_sub(epoch_us), Instant::now());
        let live_window_us = settings.live_window.0.as_micros().try_into().unwrap_or(u64::MAX);
        let rate = u64::from(settings.rate.max(1));
        Ok(Self { rate, live_window_us, epoch_us, origin, acks: Mutex::new(acks) })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/live", get(live))
            .route("/v1/records", get(records))
            .route("/v1/acks", post(acknowledge))
            .route("/v1/ledger", get(ledger))
            .route("/v1/latest", get(latest))
            .with_state(self)
    }
}

impl Source {
    fn age_us(&self) -> u64 {
        let here = u64::try_from(self.origin.1.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.origin.0.saturating_add(here)
    }

    /// Number of the latest record, when the source is this old.
    fn number_at(&self, age_us: u64) -> u64 {
        u64::try_from(u128::from(age_us) * u128::from(self.rate) / 1_000_000).unwrap_or(u64::MAX)
    }

    fn sent_us(&self, number: u64) -> u64 {
        let age = u128::from(number) * 1_000_000 / u128::from(self.rate);
        self.epoch_us.saturating_add(age.try_into().unwrap_or(u64::MAX))
    }

    fn batch(&self, numbers: RangeInclusive<u64>) -> Batch<Record> {
        Batch { records: numbers.map(|number| Record::numbered(number, self.sent_us(number))).collect() }
    }

    fn acks(&self) -> std::sync::MutexGuard<'_, Acks> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the source began for the first time.
fn epoch(path: &Path) -> std::io::Result<u64> {
    let known = disk::read_if_any(path)?.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
    if let Some(known) = known {
        return Ok(known);
    }
    let now = wait::unix_us();
    disk::replace(path, now.to_string().as_bytes())?;
    Ok(now)
}

impl Acks {
    /// Two numbers an entry, 8 bytes each, little-endian: the record's, and when.
    fn open(path: &Path) -> std::io::Result<Self> {
        let bytes = disk::read_if_any(path)?.unwrap_or_default();
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let at_us = bytes.chunks_exact(16).map(|entry| (number(&entry[..8]), number(&entry[8..]))).collect();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { at_us, file })
    }

    fn add(&mut self, numbers: impl Iterator<Item = u64>) -> std::io::Result<()> {
        let now = wait::unix_us();
        let mut entries = Vec::new();
        for number in numbers {
            if let std::collections::btree_map::Entry::Vacant(entry) = self.at_us.entry(number) {
                entry.insert(now);
                entries.extend(number.to_le_bytes());
                entries.extend(now.to_le_bytes());
            }
        }
        self.file.write_all(&entries)
    }
}

#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
    #[serde(default = "most")]
    limit: u64,
}

#[derive(Debug, Deserialize)]
struct Between {
    from: u64,
    to: u64,
}

fn most() -> u64 {
    MOST
}

async fn live(State(source): State<Arc<Source>>, Query(query): Query<After>) -> Json<Batch<Record>> {
    let age = source.age_us();
    let left_the_feed = source.number_at(age.saturating_sub(source.live_window_us));
    let first = query.after.max(left_the_feed).saturating_add(1);
    let last = source.number_at(age).min((first - 1).saturating_add(query.limit.min(MOST)));
    Json(source.batch(first..=last))
}

async fn records(State(source): State<Arc<Source>>, Query(query): Query<Between>) -> Answer<Batch<Record>> {
    if query.from > query.to {
        return Err(Failure::bad(format!("from {} is after to {}", query.from, query.to)));
    }
    let first = query.from.max(1);
    let last = query.to.min(source.number_at(source.age_us())).min((first - 1).saturating_add(MOST));
    Ok(Json(source.batch(first..=last)))
}

async fn acknowledge(State(source): State<Arc<Source>>, Json(body): Json<Acknowledged>) -> Answer<Latest> {
    let sent = source.number_at(source.age_us());
    if let Some((from, to)) = body.ranges.iter().find(|(_, to)| *to > sent) {
        return Err(Failure::bad(format!("{from} to {to}: the latest record is {sent}")));
    }
    let numbers = body.ranges.into_iter().flat_map(|(from, to)| from..=to);
    source.acks().add(numbers).map_err(Failure::broken)?;
    Ok(Json(source_latest(&source)))
}

/// `[[number, sent, acknowledged or null], ...]`, microseconds since the Unix epoch.
async fn ledger(
    State(source): State<Arc<Source>>,
    Query(query): Query<After>,
) -> Json<Vec<(u64, u64, Option<u64>)>> {
    let acks = source.acks();
    let numbers = query.after.saturating_add(1)..=source.number_at(source.age_us());
    Json(numbers.map(|number| (number, source.sent_us(number), acks.at_us.get(&number).copied())).collect())
}

async fn latest(State(source): State<Arc<Source>>) -> Json<Latest> {
    Json(source_latest(&source))
}

fn source_latest(source: &Source) -> Latest {
    let sent = source.number_at(source.age_us());
    Latest { sent, acked: source.acks().at_us.len().try_into().unwrap_or(u64::MAX) }
}
