//! Calls the services that one needs: HTTP over mutual TLS, over connections that are kept.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue},
};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use notafter::service::Config;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Notify;

use crate::{
    connector::{Addresses, Connector, is_stale},
    credentials::{InUse, Mounts},
    needs::Needs,
    settings::Common,
    tls::{Blame, EXPIRED, Trouble},
};

/// The service that knows where the others are.
pub const MANAGER: &str = "manager";

/// Longest wait before an address that did not answer is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How many connections are kept for each need.
const KEPT: usize = 8;

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// Calls the services that one needs.
#[derive(Debug)]
pub struct Client {
    /// How it stands with each of them.
    pub needs: Needs,
    mount_of: BTreeMap<String, String>,
    known: BTreeMap<String, String>,
    mounts: Arc<Mounts>,
    settings: Common,
    /// The address that it calls from.
    from: IpAddr,
    found: Arc<Addresses>,
    asked: Mutex<HashMap<String, Instant>>,
    /// Names that were unknown once.
    unknown: Mutex<HashSet<String>>,
    pools: Mutex<HashMap<String, Kept>>,
}

/// The connections of one mount, and the credential that they were made with.
#[derive(Debug)]
struct Kept {
    with: Weak<InUse>,
    pool: Pool,
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// What came with it.
    pub body: Bytes,
}

/// A hop that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopError {
    /// Who was called.
    pub need: String,
    /// Why it failed.
    pub trouble: Trouble,
}

impl Client {
    /// A client of the needs of `config`, which has asked nobody yet. `changes` is told when it stands
    /// otherwise with one of them.
    pub fn new(config: &Config, mounts: Arc<Mounts>, settings: &Common, changes: Arc<Notify>) -> Self {
        Self {
            needs: Needs::new(config.needs.keys(), changes),
            mount_of: config.needs.clone(),
            known: config.known.clone(),
            mounts,
            settings: settings.clone(),
            from: config.listen.ip(),
            found: Arc::default(),
            asked: Mutex::default(),
            unknown: Mutex::default(),
            pools: Mutex::default(),
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// If the need cannot be found or reached, or one side refuses the other's certificate. An
    /// answer with an error status is an answer.
    pub async fn get(&self, need: &str, path: &str) -> Result<Reply, HopError> {
        self.call(need, Method::GET, path, Bytes::new()).await
    }

    /// Sends something.
    ///
    /// # Errors
    /// Like [`Self::get`].
    ///
    /// # Panics
    /// If `body` has no JSON form.
    pub async fn post(&self, need: &str, path: &str, body: &impl Serialize) -> Result<Reply, HopError> {
        let body = serde_json::to_vec(body).expect("messages have a JSON form");
        self.call(need, Method::POST, path, body.into()).await
    }

    /// Calls a need, which is looked up first if its address is not known, and remembers how it
    /// stands with it. A connection that has ended under the request is replaced by a new one,
    /// once: everything that services ask of each other may be asked twice.
    ///
    /// # Errors
    /// Like [`Self::get`].
    pub async fn call(&self, need: &str, method: Method, path: &str, body: Bytes) -> Result<Reply, HopError> {
        let limit = self.settings.request_timeout.0;
        let answer = tokio::time::timeout(limit, self.call_found(need, method, path, body)).await;
        let answer = answer.unwrap_or_else(|_| Err(Trouble::unreachable("timed out")));
        match answer {
            Ok(reply) => {
                self.needs.answered(need);
                Ok(reply)
            }
            Err(trouble) => {
                self.needs.failed(need, &trouble.words);
                Err(HopError { need: need.into(), trouble })
            }
        }
    }

    /// Waits until there is a credential to show to a need.
    pub async fn has_credential_for(&self, need: &str) {
        if let Some(mount) = self.mount_of.get(need).and_then(|mount| self.mounts.get(mount)) {
            mount.available().await;
        }
    }

    async fn call_found(
        &self,
        need: &str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Reply, Trouble> {
        self.find(need).await?;
        let mut retried = false;
        loop {
            match self.try_once(need, &method, path, body.clone()).await {
                Err(Failed::Stale) => {}
                Err(Failed::Trouble(trouble)) if trouble.is_closed() && !retried => retried = true,
                Err(Failed::Trouble(trouble)) => {
                    self.found.doubt(need);
                    return Err(trouble);
                }
                Ok(reply) => return refused_by_words(reply),
            }
        }
    }

    async fn try_once(&self, need: &str, method: &Method, path: &str, body: Bytes) -> Result<Reply, Failed> {
        let trouble = |words: &'static str| Failed::Trouble(Trouble::unreachable(words));
        let mut request = Request::builder().method(method).uri(format!("https://{need}{path}"));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(Full::new(body)).map_err(|_| trouble("not a path"))?;
        let pool = self.pool(need).ok_or_else(|| trouble("no credential"))?;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            if is_stale(error) { Failed::Stale } else { Failed::Trouble(Trouble::of(error)) }
        };
        let response = pool.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Reply { status, body })
    }

    /// The connections for a need, made with the credential in use. Those of an earlier credential
    /// are let go in the same moment, unless `pools_past_expiry`.
    fn pool(&self, need: &str) -> Option<Pool> {
        let mount = self.mounts.get(self.mount_of.get(need)?)?;
        let in_use = mount.in_use()?;
        let mut pools = lock(&self.pools);
        if let Some(kept) = pools.get(&mount.name)
            && (self.settings.pools_past_expiry
                || self.settings.client_reads_credential_once
                || kept.with.as_ptr() == Arc::as_ptr(&in_use))
        {
            return Some(kept.pool.clone());
        }
        let connector = Connector::new(mount.clone(), self.found.clone(), self.from, &self.settings);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(if self.settings.pool { KEPT } else { 0 })
            .build(connector);
        pools.insert(mount.name.clone(), Kept { with: Arc::downgrade(&in_use), pool: pool.clone() });
        Some(pool)
    }

    /// Sees to it that the address of a need is known: everybody is told some; the manager knows
    /// the others, and is asked again when one does not answer.
    async fn find(&self, need: &str) -> Result<(), Trouble> {
        if let Some(address) = self.known.get(need) {
            self.found.set(need, address);
            return Ok(());
        }
        if self.found.is_trusted(need) || (self.found.has(need) && !self.may_ask(need)) {
            return Ok(());
        }
        if self.settings.caches_failed_lookups && lock(&self.unknown).contains(need) {
            return Err(Trouble::unreachable("not registered, as was known before"));
        }
        let path = format!("/v1/services/{need}");
        let answer = Box::pin(self.get(MANAGER, &path)).await;
        let trouble = match answer {
            Ok(reply) if reply.status.is_success() => {
                let found: Registration = reply.json().map_err(Trouble::unreachable)?;
                self.found.set(need, &found.address);
                return Ok(());
            }
            Ok(_) => {
                lock(&self.unknown).insert(need.to_owned());
                Trouble::unreachable("not registered")
            }
            Err(error) => Trouble::unreachable(format!("not found, {error}")),
        };
        // An address that did not answer a moment ago is still the best there is.
        if self.found.has(need) { Ok(()) } else { Err(trouble) }
    }

    fn may_ask(&self, need: &str) -> bool {
        let now = Instant::now();
        let mut asked = lock(&self.asked);
        let may = asked.get(need).is_none_or(|last| now.duration_since(*last) >= ASK_AGAIN);
        if may {
            asked.insert(need.to_owned(), now);
        }
        may
    }
}

/// Where a service is, as it tells the manager and the manager tells others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The service.
    pub name: String,
    /// `host:port` under which others reach it.
    pub address: String,
}

enum Failed {
    /// The kept connection was past its end; nothing was sent.
    Stale,
    Trouble(Trouble),
}

/// A server that finds the client's certificate expired on an open connection says so by HTTP.
fn refused_by_words(reply: Reply) -> Result<Reply, Trouble> {
    if reply.status == StatusCode::FORBIDDEN && reply.reason() == EXPIRED {
        return Err(Trouble { blame: Blame::Peer, words: EXPIRED.into() });
    }
    Ok(reply)
}

impl Reply {
    /// What it says.
    ///
    /// # Errors
    /// If it is not that.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("not understood: {error}"))
    }

    /// The reason in an answer that is no success.
    pub fn reason(&self) -> String {
        crate::reply::reason(&self.body).unwrap_or_else(|| self.status.to_string())
    }
}

impl fmt::Display for HopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { need, trouble } = self;
        match trouble.blame {
            Blame::Peer => write!(f, "{need} refused: {trouble}"),
            Blame::Own => write!(f, "refused {need}: {trouble}"),
            Blame::Nobody => write!(f, "{need} unreachable: {trouble}"),
        }
    }
}

impl std::error::Error for HopError {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
