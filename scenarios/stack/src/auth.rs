//! Logs users in, gives tokens to services, and says whose a token is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Extension, Json, Router, extract::State, http::StatusCode, routing::post};
use notafter::system::Span;
use serde::{Deserialize, Serialize};

use crate::{
    reply::{Answer, Failure},
    secret,
    service::{Role, Service},
    store::User,
    tls::Peer,
};

/// What auth can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a token of a user lives.
    pub session: Span,
    /// How long a token of a service lives.
    pub service_token: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self { session: Span(Duration::from_hours(1)), service_token: Span(Duration::from_secs(2)) }
    }
}

/// Authentication. Tokens are forgotten when it ends: everybody logs in again.
#[derive(Debug)]
pub struct Auth {
    service: Arc<Service>,
    settings: Settings,
    tokens: Mutex<HashMap<String, (String, Instant)>>,
}

/// What a user shows to log in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A token and how long it lives.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// Random, hexadecimal.
    pub token: String,
    /// Milliseconds from now.
    pub lives_ms: u64,
}

/// A token whose holder is asked for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shown {
    /// The token.
    pub token: String,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// A user, or a service.
    pub holder: String,
}

impl Role for Auth {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        Ok(Self { service, settings, tokens: Mutex::default() })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/login", post(login))
            .route("/v1/tokens", post(service_token))
            .route("/v1/verify", post(verify))
            .with_state(self)
    }
}

impl Auth {
    fn token(&self, holder: &str, lives: Duration) -> Token {
        let token = secret::token();
        let now = Instant::now();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, ends)| *ends > now);
        tokens.insert(token.clone(), (holder.into(), now + lives));
        Token { token, lives_ms: lives.as_millis().try_into().unwrap_or(u64::MAX) }
    }
}

async fn login(State(it): State<Arc<Auth>>, Json(login): Json<Login>) -> Answer<Token> {
    let refused = || Failure::new(StatusCode::UNAUTHORIZED, "wrong user or password");
    if !login.user.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(refused());
    }
    let path = format!("/v1/users/{}", login.user);
    let reply = it.service.client.get("archive", &path).await.map_err(|error| it.service.failure(&error))?;
    if reply.status == StatusCode::NOT_FOUND {
        return Err(refused());
    }
    let user: User = reply.json().map_err(|_| Failure::broken(format!("archive: {}", reply.reason())))?;
    if secret::digest(&user.salt, &login.password) != user.digest {
        return Err(refused());
    }
    Ok(Json(it.token(&login.user, it.settings.session.0)))
}

/// A service is whom its certificate names.
async fn service_token(State(it): State<Arc<Auth>>, Extension(peer): Extension<Peer>) -> Json<Token> {
    Json(it.token(&peer.name, it.settings.service_token.0))
}

async fn verify(State(it): State<Arc<Auth>>, Json(shown): Json<Shown>) -> Answer<Holder> {
    let tokens = it.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    match tokens.get(&shown.token) {
        Some((holder, ends)) if *ends > Instant::now() => Ok(Json(Holder { holder: holder.clone() })),
        _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "no valid token")),
    }
}
