//! Enriches records on their way from ingestion to the archive, and answers only when they are
//! stored there.

use std::sync::Arc;

use axum::{Json, Router, extract::State, response::Response, routing::post};
use hyper::Method;

use crate::{
    record::{Batch, Enriched, Record},
    reply::Failure,
    service::{NoSettings, Role, Service},
};

/// Enriches records.
#[derive(Debug)]
pub struct Processor {
    service: Arc<Service>,
}

impl Role for Processor {
    type Settings = NoSettings;

    fn open(service: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        Ok(Self { service })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new().route("/v1/batches", post(batches)).with_state(self)
    }
}

async fn batches(
    State(it): State<Arc<Processor>>,
    Json(batch): Json<Batch<Record>>,
) -> Result<Response, Failure> {
    let records: Vec<Enriched> = batch.records.into_iter().map(Enriched::from).collect();
    let body = serde_json::to_vec(&Batch { records }).map_err(Failure::broken)?;
    it.service.forward("archive", Method::POST, "/v1/records", body.into()).await
}
