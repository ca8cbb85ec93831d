//! Asks the questions of a connection, with one round trip each, and records typed outcomes.
//!
//! A probe stands in for a service: it shows the credential that the service has installed, verifies
//! the server as the service would, and does one round trip, because under TLS 1.3 a client whose
//! certificate is refused learns it with the first read only.

mod connect;
mod open;
mod pace;
mod schedule;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use connect::{Caller, Connection, Wire};
pub use open::{OpenConnections, ResumedSessions};
pub use pace::{Answer, Others, Pace, Pacer, Tempo};
pub use schedule::Schedule;

use crate::{
    error::{Error, Result},
    history::{Leaf, Outcome, Probe, Question, Recorder, Refusal, Side, Unreachable, What},
    pki::{Credential, Mark},
    runtime::Cluster,
    system::{Hop, Service, Speaks},
};

/// Asks questions of the hops of one cluster and records the answers.
#[derive(Clone)]
pub struct Prober {
    cluster: Arc<Cluster>,
    recorder: Recorder,
    callers: Arc<Mutex<HashMap<Hop, Known>>>,
    limit: Duration,
}

/// The caller of a hop, made from the credential that was installed when it was last asked.
#[derive(Clone)]
struct Known {
    /// What the mount was when it was made from it.
    mark: Mark,
    caller: Caller,
    leaf: Leaf,
}

impl Prober {
    /// A prober whose every question is given up after `limit`.
    pub fn new(cluster: Arc<Cluster>, recorder: Recorder, limit: Duration) -> Self {
        Self { cluster, recorder, callers: Arc::default(), limit }
    }

    /// Asks one hop with a fresh, full handshake. Records the answer and gives it.
    pub async fn fresh(&self, hop: &Hop) -> Probe {
        self.ask(hop, Question::Fresh).await
    }

    /// Asks one hop with a fresh handshake just after its server was restarted: until somebody
    /// listens, then once. Records the answer and gives it.
    pub async fn restarted(&self, hop: &Hop) -> Probe {
        let began = std::time::Instant::now();
        loop {
            let probe = self.one(hop, Question::Restarted).await;
            let nobody = matches!(
                probe.1.outcome,
                Outcome::Unreachable(Unreachable::ConnectionRefused | Unreachable::Closed)
            );
            if !nobody || began.elapsed() > self.limit {
                return self.keep(probe);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Asks one hop with a session resumed from the handshake before. The first time, and whenever
    /// the server does not resume, the outcome says so.
    pub async fn resumed(&self, hop: &Hop) -> Probe {
        self.ask(hop, Question::Resumed).await
    }

    /// Opens a connection that stays, to ask it again later.
    ///
    /// # Errors
    /// The outcome, if it cannot be opened.
    pub async fn open(&self, hop: &Hop) -> Result<OpenConnection, Outcome> {
        let known = self.caller(hop).map_err(|error| no_credential(&error))?;
        let address = self.address(hop).map_err(|error| no_credential(&error))?;
        let connection = tokio::time::timeout(
            self.limit,
            known.caller.connect(address, self.called(&hop.server), Question::Open),
        )
        .await
        .map_err(|_| Outcome::Unreachable(Unreachable::Timeout))??;
        Ok(OpenConnection { prober: self.clone(), hop: hop.clone(), shown: known.leaf, connection })
    }

    /// Tries to get in with a credential that must be refused, or none. Records the answer and gives it.
    pub async fn intrude(&self, server: &str, question: Question, with: &Intruder) -> Probe {
        let hop = Hop { client: "intruder".into(), server: server.into(), mount: String::new() };
        let at = self.recorder.clock().now();
        let caller = with.caller.clone().asking(self.speaks(server));
        let (presented, outcome) = match self.address(&hop) {
            Ok(address) => self.round_trip(&caller, address, server, question).await,
            Err(error) => (None, no_credential(&error)),
        };
        let took = self.recorder.clock().now() - at;
        let probe = Probe {
            client: hop.client,
            server: hop.server,
            question,
            took,
            shown: with.leaf.clone(),
            presented,
            outcome,
        };
        self.keep((at, probe))
    }

    async fn ask(&self, hop: &Hop, question: Question) -> Probe {
        let probe = self.one(hop, question).await;
        self.keep(probe)
    }

    async fn one(&self, hop: &Hop, question: Question) -> (u64, Probe) {
        let at = self.recorder.clock().now();
        let mut probe = Probe {
            client: hop.client.clone(),
            server: hop.server.clone(),
            question,
            took: 0,
            shown: None,
            presented: None,
            outcome: Outcome::Unreachable(Unreachable::NoCredential),
        };
        match (self.caller(hop), self.address(hop)) {
            (Ok(known), Ok(address)) => {
                let (presented, outcome) =
                    self.round_trip(&known.caller, address, &hop.server, question).await;
                let outcome = told_apart(outcome, &known.leaf);
                probe = Probe { shown: Some(known.leaf), presented, outcome, ..probe };
            }
            (Err(error), _) | (_, Err(error)) => probe.outcome = no_credential(&error),
        }
        probe.took = self.recorder.clock().now() - at;
        (at, probe)
    }

    async fn round_trip(
        &self,
        caller: &Caller,
        address: std::net::SocketAddr,
        server: &str,
        question: Question,
    ) -> (Option<Leaf>, Outcome) {
        let wire = Wire::default();
        let asked = caller.round_trip(address, self.called(server), question, &wire);
        let outcome = match tokio::time::timeout(self.limit, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unreachable(Unreachable::Timeout),
        };
        (wire.presented(), outcome)
    }

    fn keep(&self, (at, probe): (u64, Probe)) -> Probe {
        self.recorder.record_at(at, What::Probe(probe.clone()));
        probe
    }

    fn address(&self, hop: &Hop) -> Result<std::net::SocketAddr> {
        self.cluster.entrance(hop)
    }

    /// Whether an intruder gets as far as to show what he has: he accepts the certificate of this server.
    fn can_intrude(&self, server: &str, intruder: &Intruder) -> bool {
        let serves =
            self.cluster.system().service(server).and_then(|server| server.mounts.get(&server.serves));
        serves.is_some_and(|mount| mount.authority == intruder.authority)
    }

    fn speaks(&self, server: &str) -> Speaks {
        self.cluster.system().service(server).map(|server| server.speaks).unwrap_or_default()
    }

    /// The name that has to be in what a server presents.
    fn called<'s>(&'s self, server: &'s str) -> &'s str {
        self.cluster.system().service(server).map_or(server, Service::reference_name)
    }

    /// The caller of a hop with the credential that is installed now; read again only if it was replaced.
    /// From one that makes no sense the last good one is kept, as its service should.
    fn caller(&self, hop: &Hop) -> Result<Known> {
        let folder = self.cluster.mount(&hop.client, &hop.mount)?;
        let mark = Mark::of(&folder);
        let mut callers = self.callers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = callers.get(hop).cloned();
        if let Some(known) = &known
            && known.mark == mark
        {
            return Ok(known.clone());
        }
        let speaks = self.speaks(&hop.server);
        let made = Credential::read(&folder).map_err(Error::from).and_then(|credential| {
            Ok(Known {
                mark: mark.clone(),
                leaf: credential.leaf().clone(),
                caller: Caller::with(&credential)?.asking(speaks),
            })
        });
        let known = match (made, known) {
            (Err(_), Some(last_good)) if mark.has_chain() => Known { mark, ..last_good },
            (made, _) => made?,
        };
        callers.insert(hop.clone(), known.clone());
        Ok(known)
    }
}

/// A connection that stays open.
pub struct OpenConnection {
    prober: Prober,
    hop: Hop,
    shown: Leaf,
    connection: Connection,
}

impl OpenConnection {
    /// One more request on it. Records the answer and gives it.
    pub async fn ask(&mut self) -> Probe {
        let at = self.prober.recorder.clock().now();
        let asked = self.connection.ask(self.prober.called(&self.hop.server));
        let outcome = match tokio::time::timeout(self.prober.limit, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unreachable(Unreachable::Timeout),
        };
        let probe = Probe {
            client: self.hop.client.clone(),
            server: self.hop.server.clone(),
            question: Question::Open,
            took: self.prober.recorder.clock().now() - at,
            shown: Some(self.shown.clone()),
            presented: self.connection.presented(),
            outcome,
        };
        self.prober.keep((at, probe))
    }
}

/// Somebody who must not get in.
pub struct Intruder {
    /// Under which authority those present a certificate whom it calls.
    authority: String,
    caller: Caller,
    leaf: Option<Leaf>,
}

impl Intruder {
    /// One who shows this credential, and calls those whose certificates are of this authority.
    ///
    /// # Errors
    /// If the credential cannot be used for TLS.
    pub fn showing(authority: &str, credential: &Credential) -> Result<Self> {
        let (caller, leaf) = (Caller::with(credential)?, Some(credential.leaf().clone()));
        Ok(Self { authority: authority.to_owned(), caller, leaf })
    }

    /// One who shows none, and trusts what this bundle of the authority trusts.
    ///
    /// # Errors
    /// If the bundle cannot be used.
    pub fn without_certificate(authority: &str, bundle_pem: &str) -> Result<Self> {
        let caller = Caller::without_certificate(bundle_pem)?;
        Ok(Self { authority: authority.to_owned(), caller, leaf: None })
    }
}

fn no_credential(error: &crate::error::Error) -> Outcome {
    let words = error.to_string();
    // A mount that its service has not filled yet is a state, not an error.
    if words.contains("no credential") || words.contains("No such file") {
        Outcome::Unreachable(Unreachable::NoCredential)
    } else {
        Outcome::Unreachable(Unreachable::Other(words))
    }
}

/// TLS has one alert for a certificate that has ended and for one that has not begun; whoever showed it
/// knows which (RFC 8446, section 6.2: "has expired or is not currently valid"). And servers in Go, up to
/// 1.19 at least, say `bad_certificate` whatever it is, as the profiles of etcd and NATS show: about one that
/// has ended they mean that.
fn told_apart(outcome: Outcome, shown: &Leaf) -> Outcome {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let Outcome::Refused { by: Side::Server, reason } = outcome else { return outcome };
    let reason = match reason {
        Refusal::Expired if now < shown.not_before => Refusal::NotYetValid,
        Refusal::Other(words) if words == BAD_CERTIFICATE && now >= shown.not_after => Refusal::Expired,
        reason => reason,
    };
    Outcome::Refused { by: Side::Server, reason }
}

/// What [`connect`] makes of the alert `bad_certificate`.
const BAD_CERTIFICATE: &str = "alert BadCertificate";
