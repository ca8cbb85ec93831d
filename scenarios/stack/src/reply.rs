//! What services answer: small JSON, and errors that name the hop that failed.

use std::fmt;

use axum::{
    Json,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::client::{HopError, Reply};

/// An answer that is no success.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    reason: String,
}

/// What handlers give.
pub type Answer<T> = Result<Json<T>, Failure>;

#[derive(Debug, Serialize, Deserialize)]
struct Reason {
    error: String,
}

impl Failure {
    /// An answer with this status and reason.
    pub fn new(status: StatusCode, reason: impl fmt::Display) -> Self {
        Self { status, reason: reason.to_string() }
    }

    /// Something of one's own does not work.
    pub fn broken(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
    }

    /// The caller asked for something that makes no sense.
    pub fn bad(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// There is no such thing.
    pub fn missing(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// `service` could not reach one of its needs.
    pub fn hop(service: &str, error: &HopError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{service}: {error}"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(Reason { error: self.reason })).into_response()
    }
}

impl IntoResponse for Reply {
    /// Passes on what a need has answered, status and all.
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (self.status, kind, Body::from(self.body)).into_response()
    }
}

/// The reason in the body of an answer that is no success.
pub fn reason(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Reason>(body).ok().map(|reason| reason.error)
}
