//! Takes in what the source emits: spooled and synced before it is acknowledged, forwarded until
//! it is stored.

mod books;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use notafter::system::Span;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as Turn, Notify, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{
    auth::Token,
    ingest::books::Books,
    record::{Batch, Record},
    reply::{Answer, Failure},
    service::{Role, Service},
    source::Acknowledged,
    spool::Spool,
    wait::Backoff,
};

/// What ingestion can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often it looks into the live feed.
    pub poll: Span,
    /// Defect: it empties its spool when it starts.
    pub loses_spool: bool,
    /// Defect: it acknowledges first, and keeps records in memory only.
    pub acknowledges_before_it_stores: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let poll = Span(Duration::from_millis(10));
        Self { poll, loses_spool: false, acknowledges_before_it_stores: false }
    }
}

/// Most records that are forwarded at once.
const BATCH: usize = 500;
/// How long records gather before they are acknowledged or forwarded together.
const GATHER: Duration = Duration::from_millis(20);
/// How often its books are written, at the latest.
const BOOKKEEPING: Duration = Duration::from_millis(500);

/// Ingestion.
#[derive(Debug)]
pub struct Ingest {
    service: Arc<Service>,
    settings: Settings,
    spool: Arc<Mutex<Spool>>,
    books: Mutex<Books>,
    file: PathBuf,
    /// Whose turn it is to take records in: live feed or backfill.
    turn: Turn<()>,
    to_acknowledge: Notify,
    to_forward: Notify,
    /// Until when auth allows it to take records in.
    allowed_until: watch::Sender<Option<Instant>>,
}

/// What is to be fetched again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backfill {
    /// The first number.
    pub from: u64,
    /// The last number; the highest that was seen, where it is not said.
    pub to: Option<u64>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfilled {
    /// How many records were missing, and are spooled now.
    pub fetched: u64,
}

/// How it stands with ingestion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The highest number seen.
    pub high: u64,
    /// Numbers under it that were never seen: each from the first to the last, both included.
    pub gaps: Vec<(u64, u64)>,
    /// How many records wait to be forwarded.
    pub spooled: usize,
    /// Numbers that the source does not know to be taken in, yet.
    pub unacknowledged: Vec<(u64, u64)>,
}

impl Role for Ingest {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        let data = &service.config.data;
        let (path, file) = (data.join("spool"), data.join("books.json"));
        std::fs::create_dir_all(data).map_err(|error| format!("{}: {error}", data.display()))?;
        let open = || {
            let mut spool = Spool::open(&path)?;
            if settings.loses_spool {
                spool.clear()?;
            }
            Ok(spool)
        };
        let spool = open().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))?;
        let mut books = Books::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        // The books may be behind the spool, never ahead of it.
        books.enter(spool.oldest(usize::MAX).iter().map(|record| record.number));
        Ok(Self {
            service,
            settings,
            spool: Arc::new(Mutex::new(spool)),
            books: Mutex::new(books),
            file,
            turn: Turn::default(),
            to_acknowledge: Notify::new(),
            to_forward: Notify::new(),
            allowed_until: watch::channel(None).0,
        })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new().route("/v1/backfill", post(backfill)).route("/v1/status", get(status)).with_state(self)
    }

    async fn work(self: Arc<Self>) {
        tokio::join!(
            self.keep_token(),
            self.take_live(),
            self.acknowledge(),
            self.forward(),
            self.keep_books()
        );
    }

    fn close(&self) {
        self.write_books();
    }
}

impl Ingest {
    /// Gets a token from auth, and the next one when half of its life is over.
    async fn keep_token(&self) {
        let mut backoff = Backoff::new();
        loop {
            let why = match self.service.client.post("auth", "/v1/tokens", &()).await {
                Ok(reply) => match reply.json::<Token>() {
                    Ok(token) => {
                        backoff.reset();
                        let lives = Duration::from_millis(token.lives_ms);
                        self.allowed_until.send_replace(Some(Instant::now() + lives));
                        tokio::time::sleep(lives / 2).await;
                        continue;
                    }
                    Err(_) => format!("auth gives no token: {}", reply.reason()),
                },
                Err(error) => error.to_string(),
            };
            self.service.log.say(&why);
            backoff.wait().await;
        }
    }

    /// Waits until auth allows it to take records in.
    async fn allowed(&self) {
        let mut until = self.allowed_until.subscribe();
        // The sender lives as long as this does.
        let _ = until.wait_for(|until| until.is_some_and(|until| until > Instant::now())).await;
    }

    async fn take_live(&self) {
        let mut tick = interval(self.settings.poll.0.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::new();
        loop {
            tick.tick().await;
            self.allowed().await;
            let high = self.books().seen.high;
            let taken = if high == 0 {
                // Whoever begins, begins with the history: it may be longer than the feed.
                self.fetch(1, u64::MAX).await
            } else {
                match self.ask_source(&format!("/v1/live?after={high}")).await {
                    Ok(records) => self.take(records).await,
                    Err(why) => Err(why),
                }
            };
            match taken {
                Ok(_) => backoff.reset(),
                Err(why) => {
                    self.service.log.say(&why);
                    backoff.wait().await;
                }
            }
        }
    }

    /// Takes in everything that the source's history has between two numbers, both included. Gives
    /// how many records were new.
    async fn fetch(&self, mut from: u64, to: u64) -> Result<u64, String> {
        let mut fetched = 0;
        while from <= to {
            let records = self.ask_source(&format!("/v1/records?from={from}&to={to}")).await?;
            let Some(last) = records.last() else { break };
            from = last.number + 1;
            fetched += self.take(records).await?;
        }
        Ok(fetched)
    }

    async fn ask_source(&self, path: &str) -> Result<Vec<Record>, String> {
        let reply = self.service.client.get("source", path).await.map_err(|error| error.to_string())?;
        let batch: Result<Batch<Record>, _> = reply.json();
        batch.map(|batch| batch.records).map_err(|_| format!("source: {}", reply.reason()))
    }

    /// Takes in those records that were not seen before: safe first, then to be acknowledged. Gives
    /// how many they were.
    async fn take(&self, mut records: Vec<Record>) -> Result<u64, String> {
        let _turn = self.turn.lock().await;
        records.retain(|record| !self.books().seen.has(record.number));
        let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
        if records.is_empty() {
            return Ok(0);
        }
        if self.settings.acknowledges_before_it_stores {
            self.spool().admit(records);
        } else {
            let safe = self.make_safe(records).await;
            self.service.set_trouble("spool", safe.as_ref().err().cloned());
            safe?;
        }
        // What is entered is acknowledged from now on.
        if self.books().enter(numbers.iter().copied()) {
            self.write_books();
        }
        self.to_forward.notify_one();
        self.to_acknowledge.notify_one();
        Ok(numbers.len() as u64)
    }

    /// Spools records, and waits until they are on the disk.
    async fn make_safe(&self, records: Vec<Record>) -> Result<(), String> {
        let spool = self.spool.clone();
        let work = move || {
            let appended = lock(&spool).append(&records)?;
            // Without the lock: what is synced already can be forwarded meanwhile.
            let synced = appended.sync();
            let mut spool = lock(&spool);
            match synced {
                Ok(()) => spool.admit(records),
                Err(_) => drop(spool.take_back(&appended)),
            }
            synced
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
        done.map_err(|error| format!("{}: {error}", self.spool().path().display()))
    }

    /// Tells the source about everything that it does not know to be taken in yet.
    async fn acknowledge(&self) {
        let mut backoff = Backoff::new();
        loop {
            let ranges = self.books().unacknowledged.clone();
            if ranges.is_empty() {
                self.to_acknowledge.notified().await;
                continue;
            }
            let body = Acknowledged { ranges };
            let why = match self.service.client.post("source", "/v1/acks", &body).await {
                Ok(reply) if reply.status.is_success() => {
                    backoff.reset();
                    self.books().acknowledged(body.ranges.len());
                    tokio::time::sleep(GATHER).await;
                    continue;
                }
                Ok(reply) => format!("source takes no acknowledgement: {}", reply.reason()),
                Err(error) => error.to_string(),
            };
            self.service.log.say(&why);
            backoff.wait().await;
        }
    }

    /// Forwards what is spooled, oldest first, and removes it once it is stored.
    async fn forward(&self) {
        let mut backoff = Backoff::new();
        loop {
            let records = self.spool().oldest(BATCH);
            if records.is_empty() {
                self.to_forward.notified().await;
                continue;
            }
            let count = records.len();
            let why = match self.service.client.post("processor", "/v1/batches", &Batch { records }).await {
                Ok(reply) if reply.status.is_success() => {
                    backoff.reset();
                    if let Err(error) = self.spool().forwarded(count) {
                        self.service.log.say(&format!("spool: {error}"));
                    }
                    if count < BATCH {
                        tokio::time::sleep(GATHER).await;
                    }
                    continue;
                }
                Ok(reply) => reply.reason(),
                Err(error) => error.to_string(),
            };
            self.service.log.say(&why);
            backoff.wait().await;
        }
    }

    async fn keep_books(&self) {
        loop {
            tokio::time::sleep(BOOKKEEPING).await;
            self.write_books();
        }
    }

    fn write_books(&self) {
        if let Err(error) = self.books().write(&self.file) {
            self.service.log.say(&format!("{}: {error}", self.file.display()));
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        lock(&self.spool)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fetches from the source's history what is missing in a range.
async fn backfill(State(it): State<Arc<Ingest>>, Json(range): Json<Backfill>) -> Answer<Backfilled> {
    let (missing, high) = {
        let seen = &it.books().seen;
        let to = range.to.unwrap_or(seen.high);
        let beyond = (seen.high.saturating_add(1).max(range.from), to);
        let mut missing = seen.missing(range.from, to);
        missing.extend((beyond.0 <= beyond.1).then_some(beyond));
        (missing, seen.high)
    };
    let failed = |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("ingest: {why}"));
    let mut fetched = 0;
    for (from, to) in missing {
        fetched += it.fetch(from, to).await.map_err(failed)?;
    }
    it.service.log.say(&format!("backfill: {fetched} records fetched, the highest seen was {high}"));
    Ok(Json(Backfilled { fetched }))
}

async fn status(State(it): State<Arc<Ingest>>) -> Json<Progress> {
    let spooled = it.spool().len();
    let books = it.books();
    let (high, gaps) = (books.seen.high, books.seen.gaps.clone());
    Json(Progress { high, gaps, spooled, unacknowledged: books.unacknowledged.clone() })
}
