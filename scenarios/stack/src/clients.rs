//! What clients have shown, whether or not they were let in.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use notafter::history::Leaf;
use tokio::sync::Notify;

use crate::tls::Peer;

/// The leaf that each client showed in its latest handshake, by who it is and where it called from.
#[derive(Debug)]
pub struct Clients {
    seen: Mutex<BTreeMap<String, BTreeMap<IpAddr, Leaf>>>,
    changes: Arc<Notify>,
}

impl Clients {
    /// Nobody has called. `changes` is told when somebody shows another certificate.
    pub fn new(changes: Arc<Notify>) -> Self {
        Self { seen: Mutex::default(), changes }
    }

    /// Remembers what a client has shown.
    pub fn saw(&self, peer: &Peer, from: IpAddr) {
        let Some(leaf) = &peer.leaf else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = seen.entry(format!("{}@{}", peer.name, peer.authority)).or_default();
        if sources.get(&from) != Some(leaf) {
            sources.insert(from, leaf.clone());
            self.changes.notify_waiters();
        }
    }

    /// Everything that was shown, as [`Status::clients`](notafter::service::Status::clients) has it.
    pub fn all(&self) -> BTreeMap<String, BTreeMap<IpAddr, Leaf>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
