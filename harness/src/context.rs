//! What a fault, a runbook and the runner have in hand while a scenario runs.

use std::sync::Arc;

use crate::{
    error::Result,
    history::{Leaf, Purpose, Recorder, What},
    http::Client,
    journal::Journal,
    pki::{Credential, Pki},
    prober::Prober,
    runtime::Cluster,
    system::System,
};

/// What a fault, a runbook and the runner have in hand.
pub struct Context {
    /// What runs.
    pub cluster: Arc<Cluster>,
    /// Who mints.
    pub pki: Pki,
    /// Who asks.
    pub prober: Prober,
    /// The user's and the operator's way in.
    pub client: Client,
    /// What happened.
    pub recorder: Recorder,
    /// What is to be undone.
    pub journal: Journal,
}

impl Context {
    /// What is under test.
    pub fn system(&self) -> &System {
        self.cluster.system()
    }

    /// Installs a credential and writes down that it did, and why.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install(&self, service: &str, mount: &str, credential: &Credential, why: Purpose) -> Result<()> {
        self.will_install(service, mount, credential.leaf(), why);
        self.cluster.install(service, mount, credential)
    }

    /// Moves the clock of one service, as [`Cluster::set_clock`] does, and writes down that it did. Before the
    /// file is there: the service may tell another time in the same millisecond.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn set_clock(&self, service: &str, ahead: i64) -> Result<()> {
        self.recorder
            .record(What::ClockSet { service: service.into(), ahead_ms: ahead.saturating_mul(1000) });
        self.cluster.set_clock(service, ahead)
    }

    /// Writes down that a certificate is about to be put into a mount, and why. Before the file is there:
    /// a service may show it in the same millisecond.
    pub fn will_install(&self, service: &str, mount: &str, leaf: &Leaf, why: Purpose) {
        let (service, mount, leaf) = (service.into(), mount.into(), leaf.clone());
        self.recorder.record(What::Installed { service, mount, leaf, why });
    }
}
