//! What users see: log in, search, read, analyse, hold, remove.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    auth::Shown,
    reply::Failure,
    service::{NoSettings, Role, Service},
};

/// Whose data is removed where the request does not say: someone who never wrote anything.
const LEAVER: &str = "leaver";

/// The user API.
#[derive(Debug)]
pub struct Gateway {
    service: Arc<Service>,
}

/// Whose data to remove.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Removal {
    /// The user.
    pub user: Option<String>,
}

impl Role for Gateway {
    type Settings = NoSettings;

    fn open(service: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        Ok(Self { service })
    }

    fn router(self: Arc<Self>) -> Router {
        let by_search = Router::new()
            .route("/v1/search", get(search))
            .route("/v1/records/{number}", get(search))
            .route("/v1/holds", post(search))
            .route("/v1/retention", post(search))
            .route("/v1/removals", post(removals))
            .route("/v1/analytics", get(spotlight))
            .route_layer(middleware::from_fn_with_state(self.clone(), check_token));
        by_search.route("/v1/login", post(login)).with_state(self)
    }
}

type It = State<Arc<Gateway>>;
type Passed = Result<Response, Failure>;

impl Gateway {
    async fn pass_on(&self, need: &str, method: Method, uri: &Uri, body: Bytes) -> Passed {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        self.service.forward(need, method, path, body).await
    }
}

async fn login(State(it): It, method: Method, uri: Uri, body: Bytes) -> Passed {
    it.pass_on("auth", method, &uri, body).await
}

async fn search(State(it): It, method: Method, uri: Uri, body: Bytes) -> Passed {
    it.pass_on("search", method, &uri, body).await
}

async fn spotlight(State(it): It, method: Method, uri: Uri, body: Bytes) -> Passed {
    it.pass_on("spotlight", method, &uri, body).await
}

/// Removes a user's data; doing it again is no error.
async fn removals(State(it): It, body: Bytes) -> Passed {
    let removal: Removal = if body.is_empty() {
        Removal::default()
    } else {
        serde_json::from_slice(&body).map_err(Failure::bad)?
    };
    let user = removal.user.as_deref().unwrap_or(LEAVER);
    if !user.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Failure::bad(format!("`{user}` is no user name")));
    }
    it.service.forward("search", Method::DELETE, &format!("/v1/users/{user}"), Bytes::new()).await
}

/// Who shows a token must hold a valid one; whom the mesh lets in without one is let in here.
async fn check_token(State(it): It, headers: HeaderMap, request: Request, next: Next) -> Passed {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(next.run(request).await);
    };
    let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "no bearer token"))?;
    let shown = Shown { token: token.into() };
    let verified = it.service.client.post("auth", "/v1/verify", &shown).await;
    let verified = verified.map_err(|error| it.service.failure(&error))?;
    if !verified.status.is_success() {
        return Err(Failure::new(verified.status, verified.reason()));
    }
    Ok(next.run(request).await)
}
