//! Finds records, and passes on to the archive what people decide about their data.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{Method, Uri},
    response::Response,
    routing::{delete, get, post},
};
use hyper::body::Bytes;

use crate::{
    reply::Failure,
    service::{NoSettings, Role, Service},
};

/// Finds records.
#[derive(Debug)]
pub struct Search {
    service: Arc<Service>,
}

impl Role for Search {
    type Settings = NoSettings;

    fn open(service: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        Ok(Self { service })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/search", get(pass_on))
            .route("/v1/records/{number}", get(pass_on))
            .route("/v1/holds", post(pass_on))
            .route("/v1/retention", post(pass_on))
            .route("/v1/users/{id}", delete(pass_on))
            .with_state(self)
    }
}

/// The archive answers the same paths.
async fn pass_on(
    State(it): State<Arc<Search>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Failure> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    it.service.forward("archive", method, path, body).await
}
