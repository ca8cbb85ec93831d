//! Everything that can be in a history.

use serde::{Deserialize, Serialize};

use super::{Leaf, Probe};

/// Microseconds since the run began, by the monotonic clock.
pub type Micros = u64;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When it happened; for a probe or an operation, when it was *begun*.
    pub at: Micros,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// Everything that can be in a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// First event: what this run is.
    Run(RunInfo),
    /// A phase of the run began.
    PhaseBegan {
        /// Which.
        phase: Phase,
    },
    /// A phase of the run ended, in order or with an error.
    PhaseEnded {
        /// Which.
        phase: Phase,
        /// What went wrong, as a person would be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// One question was asked of one hop.
    Probe(Probe),
    /// One user-facing or background operation was tried.
    Operation(Operation),
    /// A supervisor saw a process begin, end, or wait to begin again.
    Process {
        /// Whose process.
        service: String,
        /// What happened to it.
        #[serde(flatten)]
        change: ProcessChange,
    },
    /// What a service said about itself changed.
    Health(Health),
    /// The certificate that a service uses in a mount changed, as seen from outside.
    Using {
        /// Whose.
        service: String,
        /// Which of its mounts.
        mount: String,
        /// The leaf in use.
        leaf: Leaf,
    },
    /// What a service says that it uses in a mount changed. Whether it does is seen from outside.
    Claims {
        /// Who.
        service: String,
        /// Which of its mounts.
        mount: String,
        /// The leaf that it names.
        leaf: Leaf,
    },
    /// A credential was put into a mount by the harness (not yet seen on the wire).
    Installed {
        /// Whose.
        service: String,
        /// Which of its mounts.
        mount: String,
        /// The leaf that was put there.
        leaf: Leaf,
        /// Why it was put there.
        why: Purpose,
    },
    /// A service found something in a mount that it will not use, and goes on with what it has.
    Rejected {
        /// Who.
        service: String,
        /// Which of its mounts.
        mount: String,
        /// Why, in its own words.
        why: String,
    },
    /// The fault shows on the wire for one credential.
    Landed(Landed),
    /// The wall clock passed the not-after of a credential that a fault installed.
    Expired {
        /// Whose.
        service: String,
        /// Which of its mounts.
        mount: String,
        /// The leaf that ended.
        leaf: Leaf,
        /// Whether the service still used it at that instant; if not, the fault was averted.
        in_use: bool,
        /// Last second in which its chain is valid, Unix seconds, where that is not the leaf's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chain_ends: Option<i64>,
    },
    /// Somebody was told.
    Alert(Alert),
    /// A repair step began.
    StepBegan {
        /// Number of the step in this run, from 0.
        step: u32,
        /// What a person would call it.
        title: String,
        /// What kind of step it is.
        kind: StepKind,
    },
    /// A repair step ended.
    StepEnded {
        /// Number of the step in this run, from 0.
        step: u32,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Services were asked to start in this order.
    OrderTried {
        /// Which attempt, from 1; for a plan of many, its number.
        attempt: u32,
        /// The order.
        order: Vec<String>,
        /// How many of them start together, one number a step; empty if each starts alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<usize>,
        /// How they start.
        #[serde(default)]
        way: Way,
    },
    /// An attempt to start in an order ended.
    OrderEnded {
        /// Which attempt, from 1.
        attempt: u32,
        /// Which service did not come up and why; none if all did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stuck: Option<Stuck>,
    },
    /// The recover phase ended without a recovery.
    NotRecovered {
        /// What did not work, as a person would be told.
        why: String,
    },
    /// The final account of one record.
    Record(Record),
    /// The ledger was whole up to its horizon for the first time.
    Drained,
    /// The wall clock and the monotonic clock disagree by more than a step of NTP would explain.
    ClockJumped {
        /// Milliseconds that the wall clock moved against the monotonic one.
        by_ms: i64,
    },
    /// The harness moved the clock of one service, or put it right (not yet seen from outside).
    ClockSet {
        /// Whose.
        service: String,
        /// Milliseconds that it is to be ahead of the harness's; negative if behind, 0 if right.
        ahead_ms: i64,
    },
    /// What a service says about the time came to differ from the harness's clock, or to agree with it.
    ClockSeen {
        /// Who.
        service: String,
        /// Milliseconds that it is ahead, to the time that an answer takes; negative if behind, 0 if right.
        ahead_ms: i64,
    },
    /// A verdict of a check.
    Judged {
        /// Name of the check.
        check: String,
        /// What it says.
        verdict: crate::check::Verdict,
    },
    /// The finished history was judged again; every verdict in it is from then. Never in a run's own file.
    Rejudged {
        /// Whose checks these are: a version of notafter.
        version: String,
    },
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The run's id; every resource carries it.
    pub id: String,
    /// Full name of the scenario, `family/variant`.
    pub scenario: String,
    /// One paragraph about the scenario.
    pub about: String,
    /// `processes` or `containers`.
    pub runtime: String,
    /// The seed of every plan in it.
    pub seed: u64,
    /// Version of notafter.
    pub version: String,
    /// Wall clock at `at == 0`, microseconds since the Unix epoch.
    pub wall: u64,
    /// What one minute of the incident takes here, in microseconds; 0 where there is none.
    pub minute_us: u64,
    /// The command that runs it again.
    pub rerun: String,
    /// What the scenario must give.
    pub expect: crate::check::Expect,
    /// How long every operation must succeed before the system counts as recovered, microseconds.
    pub stability_us: u64,
    /// A record stored later than this after it was sent is late, microseconds.
    pub late_us: u64,
    /// The incident's own timeline, if the scenario reproduces one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<crate::incident::Incident>,
}

/// The way of a run, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words are defined in the design
pub enum Phase {
    Start,
    Steady,
    Inject,
    Landed,
    Observe,
    Repair,
    Recover,
    Drain,
    Judge,
    Heal,
    TearDown,
}

/// One try of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Name of the operation.
    pub name: String,
    /// Whether a user would notice.
    pub user_facing: bool,
    /// How long it took, microseconds.
    pub took: Micros,
    /// What went wrong; none if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a supervisor saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ProcessChange {
    /// It runs.
    Spawned {
        /// Process id, in the process namespace of its supervisor.
        pid: u32,
        /// How often it was started before.
        restarts: u32,
    },
    /// It ended.
    Exited {
        /// Exit code; none if a signal ended it, or if nobody could tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// The signal that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// Whether somebody asked for that.
        asked: bool,
        /// Its last words: the last line of its log.
        last_words: String,
    },
    /// The supervisor waits before it starts it again.
    BackingOff {
        /// For how long, milliseconds.
        for_ms: u64,
    },
    /// It could not be started at all.
    NotSpawned {
        /// Why.
        error: String,
    },
}

/// What a service says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Who.
    pub service: String,
    /// Whether its health endpoint answers.
    pub live: bool,
    /// Whether it says that it can serve.
    pub ready: bool,
    /// What it waits for, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}

/// Why the harness installed a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Purpose {
    Setup,
    Fault,
    /// It goes with what a fault put elsewhere: it shows that what came with it is in use, or nobody need see it.
    Companion,
    Repair,
    Heal,
}

/// The fault shows on the wire for one credential. A change is not an edge: nginx serves the old
/// and the new certificate side by side for 100 ms after a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Landed {
    /// Whose credential.
    pub service: String,
    /// Which of its mounts.
    pub mount: String,
    /// The leaf that the fault put there.
    pub leaf: Leaf,
    /// Who saw it.
    pub seen_by: Witness,
    /// First handshake that showed it.
    pub first_new: Micros,
    /// Last handshake that showed another one; none if there was no such handshake since the install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_old: Option<Micros>,
    /// First handshake from which on every one showed it.
    pub stable_since: Micros,
}

/// Who saw a certificate on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// The prober, as a client of the service that presents it.
    Prober,
    /// The server to which the service showed it as a client.
    Server,
    /// The service itself, which says that it will not use it.
    Service,
}

/// Somebody was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What kind of alert.
    pub rule: AlertRule,
    /// About which service.
    pub service: String,
    /// About which mount, for an alert on a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// About which certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<Leaf>,
    /// As the person on call reads it.
    pub text: String,
}

/// What kind of alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertRule {
    /// A certificate nears its end.
    Expiry,
    /// A health check is red, or users complain.
    Symptom,
}

/// What kind of repair step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// People find the cause.
    Diagnose,
    /// People take their time: a wait at the pace of the incident.
    Pace,
    /// A credential is replaced.
    Rotate,
    /// Services are started, stopped or restarted.
    Restart,
    /// The clock of a service is put right.
    SetClock,
    /// Missed work is done again.
    RecoveryRun,
}

/// How services are asked to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Each when the one before it is up, or has shown that it does not come up yet.
    #[default]
    InTurn,
    /// All at once.
    AtOnce,
    /// All at once but one.
    HeldBack {
        /// Which one comes later,
        service: String,
        /// by so many milliseconds.
        by_ms: u64,
    },
    /// Everything is up; then some are restarted at once, as after a rotation.
    Restarted {
        /// Which.
        services: Vec<String>,
        /// Whether they find new credentials.
        renewed: bool,
    },
    /// One is up and goes, those that need it start, and it returns.
    Returning {
        /// Which one,
        service: String,
        /// after so many milliseconds.
        after_ms: u64,
    },
}

/// Which service did not come up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Which.
    pub service: String,
    /// Why, in the service's own words.
    pub why: String,
}

/// The final account of one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, given by the source.
    pub number: u64,
    /// When the source emitted it.
    pub sent: Micros,
    /// When it was acknowledged to the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked: Option<Micros>,
    /// When it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Micros>,
    /// How many copies are stored.
    pub copies: u32,
    /// Whether a user finds it.
    pub found: bool,
}
