//! The milestones of a run, in the words of post-mortems.

use crate::{
    history::{Micros, Outcome, Phase, StepKind, What},
    incident::Milestone,
};

use super::{
    course::{Course, Step},
    credential::Credential,
    reading::{LeafId, Reading, Stream},
    recovery::Recovery,
};

/// When each milestone was reached, microseconds since the run began; none for one that was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestones {
    /// A certificate of the fault ended in use; if every one was replaced in time, the first that would
    /// have ended.
    pub expired: Option<Micros>,
    /// The first user-facing operation that failed since the injection was begun then; without one, the
    /// first fresh handshake that was refused.
    pub first_failure: Option<Micros>,
    /// The first alert.
    pub notified: Option<Micros>,
    /// The first step that looks for the cause ended.
    pub cause_found: Option<Micros>,
    /// The first step that rotates or restarts began.
    pub repair_began: Option<Micros>,
    /// The last step that rotates ended.
    pub repair_deployed: Option<Micros>,
    /// From here on no fresh handshake carries a certificate of the fault any more.
    pub propagated: Option<Micros>,
    /// From here on everything succeeds; see [`Recovery`].
    pub recovered: Option<Micros>,
    /// The ledger was whole.
    pub drained: Option<Micros>,
}

impl Milestone {
    /// All of them, in the order in which an outage has them.
    pub const ALL: [Self; 9] = [
        Self::Expired,
        Self::FirstFailure,
        Self::Notified,
        Self::CauseFound,
        Self::RepairBegan,
        Self::RepairDeployed,
        Self::Propagated,
        Self::Recovered,
        Self::Drained,
    ];

    /// As a person would say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Expired => "certificates expired",
            Self::FirstFailure => "first failure",
            Self::Notified => "somebody was told",
            Self::CauseFound => "cause found",
            Self::RepairBegan => "repair began",
            Self::RepairDeployed => "last certificate rotated",
            Self::Propagated => "no old certificate on the wire",
            Self::Recovered => "recovered",
            Self::Drained => "every record stored",
        }
    }
}

impl Milestones {
    /// When a milestone was reached.
    pub fn at(&self, milestone: Milestone) -> Option<Micros> {
        match milestone {
            Milestone::Expired => self.expired,
            Milestone::FirstFailure => self.first_failure,
            Milestone::Notified => self.notified,
            Milestone::CauseFound => self.cause_found,
            Milestone::RepairBegan => self.repair_began,
            Milestone::RepairDeployed => self.repair_deployed,
            Milestone::Propagated => self.propagated,
            Milestone::Recovered => self.recovered,
            Milestone::Drained => self.drained,
        }
    }

    /// From the last rotation to the first instant from which no fresh handshake carries a certificate of
    /// the fault, microseconds: how long a good certificate lay there unused. Negative if the wire was clean
    /// before. None if nobody rotated, or it never was.
    pub fn propagation_gap(&self) -> Option<i64> {
        Some(self.propagated?.cast_signed() - self.repair_deployed?.cast_signed())
    }
}

/// The milestones of what was read.
pub fn milestones(
    reading: &Reading<'_>,
    course: &Course<'_>,
    credentials: &[Credential<'_>],
    recovery: &Recovery,
) -> Milestones {
    let since = reading.since.unwrap_or(Micros::MAX);
    let inside = since..=reading.until;
    let first = |wanted: fn(&What) -> bool| {
        let events = reading.rare.iter().filter(|event| wanted(&event.what) && inside.contains(&event.at));
        events.map(|event| event.at).min()
    };
    let ends = |wanted: fn(&Step<'_>) -> bool| {
        // One that went wrong has found nothing and deployed nothing.
        let right = course.steps.iter().filter(move |step| step.error.is_none() && wanted(step));
        right.filter_map(|step| step.ended)
    };
    let passed = |in_use: bool| {
        let passed = credentials.iter().filter_map(|credential| credential.expired);
        passed.filter(|(_, used)| *used == in_use).map(|(at, _)| at).min()
    };
    Milestones {
        expired: passed(true).or_else(|| passed(false)),
        first_failure: first_failure(reading, course),
        notified: first(|what| matches!(what, What::Alert(_))),
        cause_found: ends(|step| step.kind == StepKind::Diagnose).min(),
        repair_began: course.steps.iter().filter(|step| step.repairs()).map(|step| step.began).min(),
        repair_deployed: ends(|step| step.kind == StepKind::Rotate).max(),
        propagated: propagated(reading, credentials),
        recovered: recovery.recovered,
        drained: first(|what| matches!(what, What::Drained)),
    }
}

fn first_failure(reading: &Reading<'_>, course: &Course<'_>) -> Option<Micros> {
    let since = course.phase(Phase::Inject).map(|phase| phase.began).max(reading.since)?;
    let user_facing = reading
        .operations
        .iter()
        .filter_map(|stream| stream.tries.iter().find(|a| a.at >= since && !a.ok && a.of.user_facing));
    let refused = reading.hops.iter().filter_map(|stream| {
        let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused { .. });
        stream.tries.iter().find(|a| a.at >= since && !a.ok && refused(&a.of.outcome))
    });
    user_facing.map(|attempt| attempt.at).min().or_else(|| refused.map(|attempt| attempt.at).min())
}

/// The last hop's first handshake with good certificates after its last one with a bad one.
fn propagated(reading: &Reading<'_>, credentials: &[Credential<'_>]) -> Option<Micros> {
    let faulty: Vec<LeafId> =
        credentials.iter().filter_map(|credential| reading.leaf(credential.leaf)).collect();
    let clean = |stream: &Stream<'_, _>| -> Option<Option<Micros>> {
        let last = stream.tries.iter().rposition(|a| a.leaves.iter().any(|leaf| faulty.contains(leaf)))?;
        let next = stream.tries[last + 1..].iter().find(|attempt| attempt.leaves[1] != 0);
        Some(next.map(|attempt| attempt.at))
    };
    let hops: Option<Vec<Micros>> = reading.hops.iter().filter_map(clean).collect();
    hops?.into_iter().max()
}
