//! Somebody outside who calls servers as their users do: a connection each time, with a full handshake and one
//! round trip in the server's own protocol.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use notafter::{
    history::{Outcome, Question, Side},
    pki::Credential,
    prober::{Caller, Wire},
    system::Speaks,
};
use serde_json::{Value, json};
use stack::{
    client::HopError,
    reply::Answer,
    service::{NoSettings, Role, Service},
    tls::{Blame, Trouble},
};
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};

use crate::{SERVERS, system::speaks};

/// Longest time for a visit; a user waits for 3 s.
const LIMIT: Duration = Duration::from_secs(2);
/// How often it calls while no user asks it to.
const EVERY: Duration = Duration::from_millis(250);
/// Whom it knows how to ask.
const NAMES: [&str; SERVERS.len()] = {
    let mut names = [""; SERVERS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = SERVERS[index].name;
        index += 1;
    }
    names
};

/// Calls every server that it needs, and says at `GET /v1/served` whether it was served.
#[derive(Debug)]
pub struct Visitor {
    service: Arc<Service>,
}

impl Role for Visitor {
    type Settings = NoSettings;

    const CALLS_OTHERWISE: &[&str] = &NAMES;

    fn open(service: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        Ok(Self { service })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new().route("/v1/served", get(served)).with_state(self)
    }

    async fn work(self: Arc<Self>) {
        loop {
            // What came of it is told by how it stands with the need.
            let _ = self.visit_all().await;
            sleep(EVERY).await;
        }
    }
}

async fn served(State(it): State<Arc<Visitor>>) -> Answer<Value> {
    it.visit_all().await.map_err(|error| it.service.failure(&error))?;
    Ok(Json(json!({ "served": true })))
}

impl Visitor {
    async fn visit_all(&self) -> Result<(), HopError> {
        for need in self.service.config.needs.keys() {
            let visited = timeout(LIMIT, self.visit(need)).await;
            let visited = visited.unwrap_or_else(|_| Err(Trouble::unreachable("timed out")));
            let needs = &self.service.client.needs;
            match &visited {
                Ok(()) => needs.answered(need),
                Err(trouble) => needs.failed(need, &trouble.words),
            }
            visited.map_err(|trouble| HopError { need: need.clone(), trouble })?;
        }
        Ok(())
    }

    async fn visit(&self, need: &str) -> Result<(), Trouble> {
        let (address, caller) = (self.address(need).await?, self.caller(need)?);
        match caller.round_trip(address, need, Question::Fresh, &Wire::default()).await {
            served if served.is_served() => Ok(()),
            Outcome::Refused { by: Side::Client, reason } => Err(refused(Blame::Own, &reason)),
            Outcome::Refused { by: Side::Server, reason } => Err(refused(Blame::Peer, &reason)),
            other => Err(Trouble::unreachable(other.to_string())),
        }
    }

    async fn address(&self, need: &str) -> Result<SocketAddr, Trouble> {
        let unknown = || Trouble::unreachable("nobody knows where it is");
        let address = self.service.config.known.get(need).ok_or_else(unknown)?;
        let found = lookup_host(address).await.map_err(|error| Trouble::of(&error))?.next();
        found.ok_or_else(unknown)
    }

    /// With the credential that lies in the mount now.
    fn caller(&self, need: &str) -> Result<Caller, Trouble> {
        let config = &self.service.config;
        let folder = config.needs.get(need).and_then(|mount| config.mounts.get(mount));
        let folder = folder.ok_or_else(|| Trouble::unreachable("no such mount"))?;
        let credential = Credential::read(folder).map_err(|error| Trouble::unreachable(error.to_string()))?;
        let caller = Caller::with(&credential).map_err(|error| Trouble::unreachable(error.to_string()))?;
        let server = SERVERS.iter().find(|server| server.name == need);
        Ok(caller.asking(server.map_or_else(Speaks::default, speaks)))
    }
}

fn refused(blame: Blame, reason: &notafter::history::Refusal) -> Trouble {
    Trouble { blame, words: reason.to_string().into() }
}
