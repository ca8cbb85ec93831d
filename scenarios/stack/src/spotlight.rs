//! Analytics over what the archive stores.

use std::sync::Arc;

use axum::{Router, extract::State, response::Response, routing::get};
use hyper::{Method, body::Bytes};

use crate::{
    reply::Failure,
    service::{NoSettings, Role, Service},
};

/// Analytics.
#[derive(Debug)]
pub struct Spotlight {
    service: Arc<Service>,
}

impl Role for Spotlight {
    type Settings = NoSettings;

    fn open(service: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        Ok(Self { service })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new().route("/v1/analytics", get(analytics)).with_state(self)
    }
}

async fn analytics(State(it): State<Arc<Spotlight>>) -> Result<Response, Failure> {
    it.service.forward("archive", Method::GET, "/v1/analytics", Bytes::new()).await
}
