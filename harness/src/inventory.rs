//! What certificates exist, where, whose, and until when.
//!
//! [`scan`] reads files, [`endpoint`] asks servers and [`kubernetes`] an API server; all give [`Source`]s. [`Inventory::of`] makes
//! one entry a certificate of them, and [`finding`]s of what is or will be wrong. From there on
//! everything is a pure function: no clock, no file, no socket.

mod assemble;
mod calendar;
pub mod certificate;
pub mod chain;
pub mod cluster;
pub mod decode;
pub mod diff;
pub mod endpoint;
pub mod finding;
mod html;
mod instant;
mod kubeadm;
pub mod kubernetes;
pub(crate) mod markdown;
pub(crate) mod openmetrics;
pub mod owners;
mod rules;
pub mod scan;
mod spreadsheet;
pub mod starttls;
mod table;
pub mod threshold;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use calendar::calendar;
pub use certificate::{Certificate, Fingerprint, Role};
pub use chain::{Chain, Judged};
pub use decode::{Decoded, Form, Object};
pub use diff::Diff;
pub use finding::{Finding, Rank};
pub use html::page;
pub use markdown::markdown;
pub use openmetrics::openmetrics;
pub use owners::Owners;
pub use rules::rules;
pub use spreadsheet::csv;
pub use table::table;
pub use threshold::{Level, Lifetime};

/// Version of the document that [`Inventory`] is as JSON; it grows when a reader must know.
pub const SCHEMA: u32 = 1;

/// Something that was looked at, and what was in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// A path, an object of Kubernetes, or the address of a server as it was asked for.
    pub at: Arc<str>,
    /// What was in it. A server presents its leaf first.
    pub found: Decoded,
    /// The permissions of a file, `0o600`.
    pub mode: Option<u32>,
    /// The service that it belongs to, where that is known.
    pub service: Option<Arc<str>>,
    /// The file that holds what a server should present, where that is known.
    pub presents: Option<Arc<str>>,
    /// The object of Kubernetes that it is inside of.
    pub object: Option<Arc<Object>>,
}

/// All certificates that were found, and what is wrong with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The second at which it is judged, Unix seconds.
    pub now: i64,
    /// How many files were looked at.
    pub files: u64,
    /// The certificates, those that end first in front.
    pub certificates: Vec<Entry>,
    /// The servers that were asked.
    pub endpoints: Vec<Endpoint>,
    /// What is or will be wrong, the worst first.
    pub findings: Vec<Finding>,
}

/// One certificate, wherever it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it says of itself.
    #[serde(flatten)]
    pub certificate: Arc<Certificate>,
    /// What people call it: kubeadm's name for its file, else as [`Certificate::called`].
    pub name: Arc<str>,
    /// What people call the authority that issued it.
    pub authority: Arc<str>,
    /// Whether the key of that authority lies elsewhere, so that nothing here can renew it.
    pub externally_managed: bool,
    /// Whether it is an authority that is trusted and nothing else: neither its key nor anything that
    /// it issued was found.
    pub merely_trusted: bool,
    /// How near its end it is.
    pub level: Level,
    /// The share of its lifetime that is left, 0 to 1.
    pub share_left: f64,
    /// The second by which it should be renewed, Unix seconds.
    pub renew_by: i64,
    /// Whose it is, by the map of owners.
    pub owner: Option<Arc<str>>,
    /// Everywhere it was found.
    pub places: Vec<Place>,
    /// Those above it, and whether they hold.
    pub chain: Chain,
    /// The serial number that lies on disk for what this is, where it lies there.
    pub on_disk: Option<Arc<str>>,
    /// The serial number that is presented for what this is, where a server that does was asked.
    pub on_wire: Option<Arc<str>>,
    /// The last rotation that is in effect: when what is presented, or else what lies on disk, began.
    pub rotated: i64,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// A path, an object of Kubernetes, or the address of a server.
    pub at: Arc<str>,
    /// In which form.
    pub form: Form,
    /// Where in it: 0 is the first.
    pub position: usize,
    /// Whether its private key lies in the same file.
    pub with_key: bool,
    /// The service that it belongs to, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
    /// The object of Kubernetes that it is inside of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Arc<Object>>,
}

/// A server that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address as it was asked for.
    pub at: Arc<str>,
    /// The service that it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
    /// What it presented, the leaf first; nothing if it was not reached.
    pub presented: Vec<Fingerprint>,
    /// Where the same leaf lies on disk, or what lies there in its place.
    pub on_disk: Option<Arc<str>>,
    /// Whether what it presents is what lies there, where something does.
    pub as_on_disk: Option<bool>,
}

impl Inventory {
    /// The certificate with this fingerprint.
    pub fn certificate(&self, fingerprint: Fingerprint) -> Option<&Entry> {
        self.certificates.iter().find(|entry| entry.certificate.fingerprint == fingerprint)
    }

    /// Only what belongs to this owner.
    #[must_use]
    pub fn of_owner(mut self, owner: &str) -> Self {
        self.certificates.retain(|entry| entry.owner.as_deref() == Some(owner));
        self.findings.retain(|finding| finding.owner.as_deref() == Some(owner));
        let theirs: std::collections::HashSet<_> =
            self.certificates.iter().map(|entry| entry.certificate.fingerprint).collect();
        self.endpoints
            .retain(|endpoint| endpoint.presented.first().is_some_and(|leaf| theirs.contains(leaf)));
        self
    }

    /// How many findings of each rank there are, the worst first.
    pub fn counts(&self) -> Vec<(Rank, usize)> {
        let count = |rank| self.findings.iter().filter(|finding| finding.rank == rank).count();
        Rank::ALL.map(|rank| (rank, count(rank))).into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl Entry {
    /// From when to when it is valid.
    pub fn lifetime(&self) -> Lifetime {
        self.certificate.lifetime()
    }
}

#[cfg(test)]
mod tests;
