//! Stores records, once each; knows holds, users and the retention policy.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use notafter::system::Span;
use serde::{Deserialize, Serialize};

use crate::{
    record::{Batch, Enriched},
    reply::{Answer, Failure},
    service::{Role, Service},
    store::{Activity, Found, Hold, Store, User},
};

/// What the archive can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether a record that comes twice is stored once. `false` is a defect. It holds for a new
    /// store; one that is there keeps its own way.
    pub idempotent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { idempotent: true }
    }
}

/// The archive.
#[derive(Debug)]
pub struct Archive {
    store: Store,
}

/// How many of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub count: u64,
}

/// Aggregates over all records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analytics {
    /// How many records.
    pub records: u64,
    /// How many words.
    pub words: u64,
    /// By author.
    pub authors: Vec<Activity>,
}

impl Role for Archive {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        let data = &service.config.data;
        std::fs::create_dir_all(data).map_err(|error| format!("{}: {error}", data.display()))?;
        let path = data.join("archive.db");
        let store = Store::open(&path, settings.idempotent);
        Ok(Self { store: store.map_err(|error| format!("{}: {error}", path.display()))? })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/records", post(add))
            .route("/v1/records/{number}", get(record))
            .route("/v1/search", get(search))
            .route("/v1/count", get(count))
            .route("/v1/analytics", get(analytics))
            .route("/v1/holds", post(hold))
            .route("/v1/retention", post(retain))
            .route("/v1/users/{id}", get(user).delete(remove_user))
            .route("/v1/ledger", get(ledger))
            .with_state(self)
    }
}

/// How long records are to be kept.
#[derive(Debug, Deserialize)]
struct Retention {
    keep: Span,
}

#[derive(Debug, Deserialize)]
struct Words {
    q: String,
}

#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

type It = State<Arc<Archive>>;

async fn add(State(it): It, Json(batch): Json<Batch<Enriched>>) -> Answer<Count> {
    counted(it.store.add(batch.records).await)
}

async fn record(State(it): It, Path(number): Path<u64>) -> Answer<Found> {
    let found = it.store.record(number).await.map_err(Failure::broken)?;
    found.map(Json).ok_or_else(|| Failure::missing(format!("no record {number}")))
}

async fn search(State(it): It, Query(query): Query<Words>) -> Answer<Vec<Found>> {
    it.store.search(&query.q).await.map(Json).map_err(Failure::broken)
}

async fn count(State(it): It) -> Answer<Count> {
    let activity = it.store.activity().await.map_err(Failure::broken)?;
    Ok(Json(Count { count: activity.iter().map(|author| author.records).sum() }))
}

async fn analytics(State(it): It) -> Answer<Analytics> {
    let authors = it.store.activity().await.map_err(Failure::broken)?;
    let records = authors.iter().map(|author| author.records).sum();
    let words = authors.iter().map(|author| author.words).sum();
    Ok(Json(Analytics { records, words, authors }))
}

async fn hold(State(it): It, Json(hold): Json<Hold>) -> Answer<Hold> {
    it.store.hold(hold.clone()).await.map_err(Failure::broken)?;
    Ok(Json(hold))
}

async fn retain(State(it): It, Json(retention): Json<Retention>) -> Answer<Count> {
    counted(it.store.retain(retention.keep).await)
}

async fn user(State(it): It, Path(id): Path<String>) -> Answer<User> {
    let user = it.store.user(id.clone()).await.map_err(Failure::broken)?;
    user.map(Json).ok_or_else(|| Failure::missing(format!("no user `{id}`")))
}

async fn remove_user(State(it): It, Path(id): Path<String>) -> Answer<Count> {
    match it.store.remove_user(id.clone()).await.map_err(Failure::broken)? {
        Ok(erased) => counted(Ok(erased)),
        Err(hold) => {
            Err(Failure::new(StatusCode::CONFLICT, format!("data of `{id}` is on hold `{}`", hold.0)))
        }
    }
}

/// `[[number, stored, copies], ...]`, microseconds since the Unix epoch.
async fn ledger(State(it): It, Query(query): Query<After>) -> Answer<Vec<(u64, u64, u32)>> {
    it.store.ledger(query.after).await.map(Json).map_err(Failure::broken)
}

fn counted(count: Result<usize, String>) -> Answer<Count> {
    let count = count.map_err(Failure::broken)?;
    Ok(Json(Count { count: count.try_into().unwrap_or(u64::MAX) }))
}
