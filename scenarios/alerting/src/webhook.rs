//! The owner's end: a web hook that remembers what an Alertmanager told whom, and when.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::post,
};
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::wait::until;

/// One alert in one notification.
#[derive(Clone, Debug, Deserialize)]
pub struct Notice {
    /// `firing` or `resolved`.
    pub status: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// What whoever is told reads.
    pub annotations: BTreeMap<String, String>,
    /// Who was told: the last part of the hook's address.
    #[serde(skip)]
    pub to: String,
    /// When; the Unix epoch until it was.
    #[serde(skip, default = "epoch")]
    pub received: SystemTime,
}

/// What an Alertmanager sends, version 4.
#[derive(Deserialize)]
struct Notification {
    alerts: Vec<Notice>,
}

type Received = Arc<Mutex<Vec<Notice>>>;

/// A web hook that listens until it is dropped.
pub struct Webhook {
    /// Where: `http://{address}/{owner}`.
    pub address: SocketAddr,
    received: Received,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Listens.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn start() -> Result<Self, String> {
        let received = Received::default();
        let router = Router::new().route("/{to}", post(receive)).with_state(received.clone());
        let bound = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bound.await.map_err(|error: std::io::Error| error.to_string())?;
        let task = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, received, task })
    }

    /// Everything that came, the first in front.
    pub fn received(&self) -> Vec<Notice> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first notice that is meant, once it has come.
    ///
    /// # Errors
    /// What came in its place.
    pub async fn first(
        &self,
        limit: Duration,
        what: &str,
        meant: impl Fn(&Notice) -> bool,
    ) -> Result<Notice, String> {
        until(limit, what, async || {
            let all = self.received();
            all.iter().find(|notice| meant(notice)).cloned().ok_or_else(|| format!("{all:#?}"))
        })
        .await
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Notice {
    /// Whether it is this alert in this state, of this place if there is one.
    pub fn is(&self, status: &str, alert: &str, place: &str) -> bool {
        let label = |name: &str| self.labels.get(name).map_or("", String::as_str);
        self.status == status
            && label("alertname") == alert
            && [label("filepath"), label("endpoint"), ""].contains(&place)
    }
}

async fn receive(State(received): State<Received>, Path(to): Path<String>, Json(told): Json<Notification>) {
    let now = SystemTime::now();
    let alerts = told.alerts.into_iter().map(|notice| Notice { to: to.clone(), received: now, ..notice });
    received.lock().unwrap_or_else(PoisonError::into_inner).extend(alerts);
}

fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH
}
