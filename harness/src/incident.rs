//! The timeline of an incident that really happened, to lay beside a run's own.

use serde::{Deserialize, Serialize};

/// A past incident, as its post-mortem tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// How people call it, with its date.
    pub title: String,
    /// Its instants, in order.
    pub instants: Vec<Instant>,
}

/// One line of a post-mortem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instant {
    /// Minutes since the certificates expired.
    pub minute: u32,
    /// The clock on the wall, as the post-mortem writes it.
    pub clock: String,
    /// What happened.
    pub what: String,
    /// Which milestone of a run it is to be compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
}

/// The milestones of a certificate outage, in the words of post-mortems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the words are defined in the design
pub enum Milestone {
    Expired,
    FirstFailure,
    Notified,
    CauseFound,
    RepairBegan,
    RepairDeployed,
    Propagated,
    Recovered,
    Drained,
}
