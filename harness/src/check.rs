//! Checks: pure functions from a history to a verdict.
//!
//! | constructor and name | holds when |
//! |---|---|
//! | [`steady`] | everything worked before the fault: the control, never failed but unknown |
//! | [`landed`] | the fault showed on the wire, everywhere, before the repair: the other control |
//! | [`refused`] | what was broken was refused, for the right reason and for no other |
//! | [`keeps_serving`] | no handshake of any hop failed, and nobody crashed, from the fault on |
//! | [`stays_ready`] | every service said that it is ready, from the fault on |
//! | [`stays_up`] | after the repair no service ended by itself |
//! | [`replaced_before_expiry`] | a good certificate was on the wire before the bad one ended |
//! | [`detected_within`] | somebody was told this soon after the first certificate hurt |
//! | [`outage_within`] | no user missed anything for longer than this |
//! | [`recovers_within`] | after the last repair step everything worked again within this time |
//! | [`drains_within`] | after the recovery the ledger was whole within this time |
//! | [`nothing_lost`], [`nothing_duplicated`] | every record is stored, and once |
//! | [`nothing_accepted_unauthenticated`] | nobody was served without a valid certificate |
//! | [`no_connection_outlives_expiry`] | open connections end with their certificates |
//! | [`no_session_outlives_expiry`] | a resumed session is worth no more than the certificates it began with |
//! | [`survives_restart`] | what was served before a service was restarted is served after |
//! | [`in_use_within`] | what a repair installed was on the wire this soon after |
//! | [`nothing_old_returns`] | a certificate that was replaced stays away |
//! | [`says_what_it_serves`] | no service says that it uses one certificate while it serves an older one |
//! | [`says_what_it_rejects`] | a service that does not use what was installed says so |
//! | [`alerted_before_expiry`] | somebody was told early enough |
//! | [`starts_in_order`] | the first order that was tried came up |
//! | [`starts_in_any_order`] | every order that was tried came up in time, and without a crash |
//!
//! The name of a check is its constructor's, with `-` for `_`.

mod alerting;
mod availability;
mod control;
mod ledger;
mod order;
mod overall;
mod recovery;
mod refusal;
mod replacement;
mod restart;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    history::History,
    measure::{Measured, Measurements},
    words,
};

pub use alerting::{alerted_before_expiry, detected_within};
pub use availability::{keeps_serving, outage_within, stays_ready, stays_up};
pub use control::{landed, steady};
pub use ledger::{nothing_duplicated, nothing_lost};
pub(crate) use order::judge_starts;
pub use order::{starts_in_any_order, starts_in_order};
pub use overall::{Overall, Summary, judge_all, rejudged};
pub use recovery::{drains_within, recovers_within, replaced_before_expiry};
pub use refusal::{
    no_connection_outlives_expiry, no_session_outlives_expiry, nothing_accepted_unauthenticated, refused,
};
pub use replacement::{in_use_within, nothing_old_returns, says_what_it_rejects, says_what_it_serves};
pub use restart::survives_restart;

/// A pure function from a finished history to a verdict. It touches no cluster, clock or file.
pub trait Check: Send + Sync {
    /// A short name, the same in every scenario that uses the check.
    fn name(&self) -> &str;

    /// What the history says.
    fn judge(&self, history: &History) -> Verdict;

    /// The same, for a history that was measured already: checks that need the measurements override
    /// this, so that a million events are read once and not once a check.
    fn judge_measured(&self, measured: &Measurements<'_>) -> Verdict {
        self.judge(measured.reading.history)
    }
}

/// What a check says. Unknown is never a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "evidence")]
pub enum Verdict {
    /// It held; what was seen.
    Passed(String),
    /// It did not; what was seen, traceable to events.
    Failed(String),
    /// The history cannot tell; why.
    Unknown(String),
}

/// The verdict that a scenario must give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Every check passes.
    #[default]
    Pass,
    /// Exactly these checks fail, and every other one passes.
    Fail(Vec<String>),
}

impl Verdict {
    /// Passed, failed or unknown.
    pub fn summary(&self) -> Summary {
        match self {
            Self::Passed(_) => Summary::Passed,
            Self::Failed(_) => Summary::Failed,
            Self::Unknown(_) => Summary::Unknown,
        }
    }

    /// What was seen, or why nothing can be said.
    pub fn evidence(&self) -> &str {
        match self {
            Self::Passed(evidence) | Self::Failed(evidence) | Self::Unknown(evidence) => evidence,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(evidence) => write!(f, "passed: {evidence}"),
            Self::Failed(evidence) => write!(f, "failed: {evidence}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// A check that is a function of the measurements. What stops it early is a verdict, too.
struct Rule<F> {
    name: &'static str,
    judge: F,
}

type Early = Result<Verdict, Verdict>;

impl<F: Fn(&Measurements<'_>) -> Early + Send + Sync> Check for Rule<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn judge(&self, history: &History) -> Verdict {
        self.judge_measured(&Measurements::of(history))
    }

    fn judge_measured(&self, measured: &Measurements<'_>) -> Verdict {
        (self.judge)(measured).unwrap_or_else(|early| early)
    }
}

fn rule(
    name: &'static str,
    judge: impl Fn(&Measurements<'_>) -> Early + Send + Sync + 'static,
) -> Box<dyn Check> {
    Box::new(Rule { name, judge })
}

fn passed(evidence: impl Into<String>) -> Verdict {
    Verdict::Passed(evidence.into())
}

fn failed(evidence: impl Into<String>) -> Verdict {
    Verdict::Failed(evidence.into())
}

fn unknown(why: impl Into<String>) -> Verdict {
    Verdict::Unknown(why.into())
}

/// Unknown if no measured time means anything: the wall clock jumped.
fn timed(measured: &Measurements<'_>) -> Result<(), Verdict> {
    match measured.clock_jumped_ms {
        Some(by) => Err(unknown(format!("the wall clock jumped by {by} ms during the run"))),
        None => Ok(()),
    }
}

/// A measured duration against its budget, in words: `6.84 s ± 5 ms, 2 s allowed`.
fn against(measured: Measured, budget: u64) -> String {
    let allowed = if budget == 0 { "none".into() } else { words::span(budget) };
    format!("{measured}, {allowed} allowed")
}

#[cfg(test)]
mod tests;
