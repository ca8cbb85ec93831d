//! Measurements and milestones: what a history says about an outage, in numbers.
//!
//! Everything here is a pure function of a [`History`]. Tries are samples, so every duration comes with
//! its resolution, computed from the gaps between the tries at its edges.

mod clock;
mod course;
mod credential;
mod interval;
mod intrusion;
mod ledger;
mod milestone;
mod reading;
mod recovery;
mod swap;
mod waiting;

use crate::history::{History, Micros, Operation, Phase, What};

pub use clock::MovedClock;
pub use course::{Attempt, Course, PhaseSpan, Step};
pub use credential::Credential;
pub use interval::{Interval, Measured, failing, total, union};
pub use intrusion::{Intrusions, OpenConnections};
pub use ledger::Records;
pub use milestone::Milestones;
pub use reading::{LeafId, Reading, SLEW, Stream, Try};
pub use recovery::{Attribution, Recovery};
pub use swap::Swaps;
pub use waiting::Waiting;

/// Everything that is measured in a run.
#[derive(Clone, Debug)]
pub struct Measurements<'h> {
    /// The events, sorted by what they are about.
    pub reading: Reading<'h>,
    /// Phases, repair steps, and the orders that were tried.
    pub course: Course<'h>,
    /// The credentials that a fault installed.
    pub credentials: Vec<Credential<'h>>,
    /// The clocks that a fault moved.
    pub clocks: Vec<MovedClock<'h>>,
    /// When what is worth a line in a post-mortem happened.
    pub milestones: Milestones,
    /// From the first bite of a credential, or of a clock that was moved, to the first alert or red health check, microseconds;
    /// negative (a lead) when it came before. None if nothing bit or nobody noticed.
    pub time_to_detect: Option<i64>,
    /// Every operation: when it failed.
    pub operations: Vec<Outage<'h>>,
    /// How long any user-facing operation failed. None if none was tried since the steady phase.
    pub outage: Option<Measured>,
    /// What failed at all, and when it had recovered.
    pub recovery: Recovery,
    /// Who waited to be started again while it recovered; none if nobody did.
    pub waiting: Option<Waiting<'h>>,
    /// From recovery to a whole ledger, microseconds; zero if nothing failed.
    pub time_to_drain: Option<Micros>,
    /// What got through without a valid certificate.
    pub intrusions: Intrusions<'h>,
    /// When files of a service were being replaced.
    pub swaps: Swaps<'h>,
    /// Which step came last before the recovery.
    pub attribution: Attribution,
    /// How far the wall clock jumped, milliseconds; then no measured time means anything.
    pub clock_jumped_ms: Option<i64>,
}

/// When one operation failed.
#[derive(Clone, Debug)]
pub struct Outage<'h> {
    /// Name of the operation.
    pub name: &'h str,
    /// Whether a user would notice.
    pub user_facing: bool,
    /// How often it was tried since the steady phase.
    pub tried: u64,
    /// How many of these tries failed.
    pub failed: u64,
    /// The intervals in which it failed.
    pub intervals: Vec<Interval>,
    /// Their sum.
    pub total: Measured,
    /// The words of the last failure.
    pub last_error: Option<&'h str>,
}

impl<'h> Measurements<'h> {
    /// Measures a history: one pass over its events.
    pub fn of(history: &'h History) -> Self {
        let reading = Reading::of(history);
        let course = Course::of(&reading);
        let credentials = credential::installed_by_faults(&reading);
        let clocks = clock::moved_by_faults(&reading);
        let recovery = recovery::recovery(&reading, &course);
        let milestones = milestone::milestones(&reading, &course, &credentials, &recovery);
        let operations = outages(&reading);
        Self {
            time_to_detect: time_to_detect(&reading, bite(&reading, &credentials, &clocks), &milestones),
            outage: overall(&reading, &operations),
            waiting: waiting::waiting(&reading, &recovery),
            time_to_drain: time_to_drain(&recovery, &milestones),
            intrusions: intrusion::intrusions(&reading),
            swaps: swap::swaps(&reading),
            attribution: recovery::attribution(&reading, &course, &recovery),
            clock_jumped_ms: clock_jump(&reading),
            reading,
            course,
            credentials,
            clocks,
            milestones,
            operations,
            recovery,
        }
    }

    /// When the first credential of the fault, or clock, began to hurt, or would have.
    pub fn bite(&self) -> Option<Micros> {
        bite(&self.reading, &self.credentials, &self.clocks)
    }

    /// Whether at least one certificate of the fault was seen to its end, and every one of those had
    /// been replaced by then.
    pub fn averted(&self) -> bool {
        self.credentials.iter().any(Credential::averted)
            && !self.credentials.iter().any(Credential::expired_in_use)
    }

    /// The instant that people tell all others from, and what it is: the first end of a certificate,
    /// else the injection.
    pub fn zero(&self) -> Option<(Micros, &'static str)> {
        let injected = self.course.phase(Phase::Inject).map(|phase| phase.began);
        match self.milestones.expired {
            Some(expired) if self.averted() => Some((expired, "when the certificates would have expired")),
            Some(expired) => Some((expired, "when the first certificate expired")),
            None => injected.map(|began| (began, "when the fault was injected")),
        }
    }

    /// The final account of the records.
    pub fn records(&self) -> &Records {
        &self.reading.records
    }

    /// How exactly the durations are known, microseconds: as given with the time to recover, else with
    /// the outage.
    pub fn resolution(&self) -> Option<Micros> {
        self.recovery.time_to_recover.or(self.outage).map(|measured| measured.resolution)
    }
}

impl<'h> Reading<'h> {
    /// The user-facing operations.
    pub fn user_facing(&self) -> impl Iterator<Item = &Stream<'h, Operation>> {
        self.operations.iter().filter(|stream| stream.tries.iter().any(|attempt| attempt.of.user_facing))
    }

    /// The longest time between two tries of a user-facing operation.
    pub fn longest_gap(&self, since: Micros, until: Micros) -> Micros {
        self.user_facing().map(|stream| stream.longest_gap(since, until)).max().unwrap_or(0)
    }
}

fn outages<'h>(reading: &Reading<'h>) -> Vec<Outage<'h>> {
    let Some(since) = reading.since else { return Vec::new() };
    let outage = |stream: &Stream<'h, Operation>| {
        let intervals = failing(stream.outcomes(reading.watched), since, reading.watched);
        let tries = &stream.tries[stream.tries.partition_point(|attempt| attempt.at < since)..];
        let tries: Vec<_> = tries.iter().filter(|attempt| attempt.answered <= reading.watched).collect();
        let mut failures = tries.iter().filter(|attempt| !attempt.ok);
        Outage {
            name: stream.name,
            user_facing: tries.first().is_some_and(|attempt| attempt.of.user_facing),
            tried: tries.len() as u64,
            failed: failures.clone().count() as u64,
            total: total(&intervals),
            intervals,
            last_error: failures.next_back().and_then(|attempt| attempt.of.error.as_deref()),
        }
    };
    reading.operations.iter().map(outage).filter(|outage| outage.tried > 0).collect()
}

/// The union over user-facing operations. Where nothing failed, the resolution says how short a failure
/// must have been to be unseen.
fn overall(reading: &Reading<'_>, operations: &[Outage<'_>]) -> Option<Measured> {
    let user_facing: Vec<_> = operations.iter().filter(|outage| outage.user_facing).collect();
    let since = reading.since.filter(|_| !user_facing.is_empty())?;
    let failed: Vec<_> = user_facing.iter().flat_map(|outage| outage.intervals.iter().copied()).collect();
    if failed.is_empty() {
        return Some(Measured { value: 0, resolution: reading.longest_gap(since, reading.watched) });
    }
    Some(total(&union(failed, 0)))
}

fn bite(reading: &Reading<'_>, credentials: &[Credential<'_>], clocks: &[MovedClock<'_>]) -> Option<Micros> {
    let credentials = credentials.iter().filter_map(|credential| credential.bite(reading.until));
    credentials.chain(clocks.iter().filter_map(|clock| clock.landed)).min()
}

fn time_to_detect(reading: &Reading<'_>, bite: Option<Micros>, milestones: &Milestones) -> Option<i64> {
    let noticed = [milestones.notified, turned_red(reading)].into_iter().flatten().min()?;
    noticed.cast_signed().checked_sub(bite?.cast_signed())
}

/// The first health check that turned red since the steady phase.
fn turned_red(reading: &Reading<'_>) -> Option<Micros> {
    let watched = reading.since?..=reading.until;
    let red = reading.rare.iter().filter(|event| {
        watched.contains(&event.at) && matches!(&event.what, What::Health(health) if !health.ready)
    });
    red.map(|event| event.at).min()
}

fn time_to_drain(recovery: &Recovery, milestones: &Milestones) -> Option<Micros> {
    let drained = milestones.drained?;
    match (recovery.recovered, recovery.failures.is_empty()) {
        (Some(recovered), _) => Some(drained.saturating_sub(recovered)),
        (None, true) => Some(0),
        (None, false) => None,
    }
}

fn clock_jump(reading: &Reading<'_>) -> Option<i64> {
    reading.rare.iter().find_map(|event| match event.what {
        What::ClockJumped { by_ms } => Some(by_ms),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
