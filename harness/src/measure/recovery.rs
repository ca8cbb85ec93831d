//! When the system had recovered, and what did it.

use std::fmt;

use crate::history::{Leaf, Micros, Phase, ProcessChange, What};

use super::{
    Measured,
    course::{Course, Step},
    interval::{Interval, failing, union},
    reading::Reading,
};

/// What failed at all, and when it had recovered.
///
/// Failures of every operation and of fresh handshakes on every hop count here. Two failures less than
/// a stability window apart are one: what works for a moment has not recovered. *Recovered* is the end
/// of the last failure that began before phase `recover` ended, if a whole window without a failure
/// followed it; so a relapse before that moves it. A relapse later on is told apart, and is part of the
/// outage.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The failures, ascending, those less than a stability window apart taken as one.
    pub failures: Vec<Interval>,
    /// The first instant from which on everything succeeded; none if nothing failed or it never did.
    pub recovered: Option<Micros>,
    /// From the end of the last step that rotates or restarts to `recovered`; zero if it had recovered
    /// before; from the first failure where nobody repaired anything. None if there was no failure and no
    /// repair, or no recovery.
    pub time_to_recover: Option<Measured>,
    /// The first failure after the recovery.
    pub relapsed: Option<Micros>,
}

/// Which step came last before the recovery, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// Nothing failed, so nothing had to recover.
    NothingFailed,
    /// It failed and did not recover while anybody watched.
    NotRecovered,
    /// A step of the runbook.
    Runbook {
        /// Its number, from 0.
        step: u32,
        /// What a person would call it.
        title: String,
    },
    /// The system itself.
    System(String),
    /// Nothing on record came before.
    Unexplained,
    /// The steady phase never ended, so nobody counted failures.
    Unwatched,
}

impl Attribution {
    /// Who: `runbook`, `system` or `nobody`.
    pub fn by(&self) -> &'static str {
        match self {
            Self::Runbook { .. } => "runbook",
            Self::System(_) => "system",
            Self::NothingFailed | Self::NotRecovered | Self::Unexplained | Self::Unwatched => "nobody",
        }
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingFailed => f.write_str("nothing failed"),
            Self::NotRecovered => f.write_str("it did not recover"),
            Self::Runbook { step, title } => write!(f, "step {} of the runbook: {title}", step + 1),
            Self::System(what) => write!(f, "the system itself: {what}"),
            Self::Unexplained => f.write_str("nothing on record explains it"),
            Self::Unwatched => f.write_str("nothing was measured"),
        }
    }
}

/// When the system had recovered.
pub fn recovery(reading: &Reading<'_>, course: &Course<'_>) -> Recovery {
    let (Some(since), until) = (reading.since, reading.watched) else { return Recovery::default() };
    let window = reading.info.map_or(0, |info| info.stability_us);
    let operations =
        reading.operations.iter().flat_map(|stream| failing(stream.outcomes(until), since, until));
    let hops = reading.hops.iter().flat_map(|stream| failing(stream.outcomes(until), since, until));
    let failures = union(operations.chain(hops).collect(), window);

    let horizon = course.phase(Phase::Recover).and_then(|phase| phase.ended).unwrap_or(until);
    let repaired = course.steps.iter().filter(|step| step.repairs()).filter_map(|step| step.ended).max();
    let count = failures.partition_point(|failure| failure.begin < horizon);
    let relapsed = failures.get(count).map(|failure| failure.begin);
    let last = count.checked_sub(1).map(|index| failures[index]);
    let watched = |failure: &Interval| !failure.open && failure.end.saturating_add(window) <= until;
    let recovered = last.filter(watched);
    let time_to_recover = match (last, repaired) {
        (None, None) => None,
        (None, Some(_)) => Some(Measured { value: 0, resolution: reading.longest_gap(since, until) }),
        (Some(_), repaired) => recovered.map(|failure| Measured {
            value: failure.end.saturating_sub(repaired.unwrap_or(failures[0].begin)),
            resolution: failure.end - failure.last_failure,
        }),
    };
    Recovery { recovered: recovered.map(|failure| failure.end), time_to_recover, relapsed, failures }
}

/// Which step came last before the recovery. A step that was under way then is that step, and so are
/// the restarts within it; a renewal or a supervisor's restart outside of any step is the system's own.
pub fn attribution(reading: &Reading<'_>, course: &Course<'_>, recovery: &Recovery) -> Attribution {
    if reading.since.is_none() {
        return Attribution::Unwatched;
    }
    if recovery.failures.is_empty() {
        return Attribution::NothingFailed;
    }
    let Some(recovered) = recovery.recovered else { return Attribution::NotRecovered };
    let step = course
        .steps
        .iter()
        .filter(|step| step.repairs() && step.began <= recovered)
        .max_by_key(|step| (step.ended.unwrap_or(recovered).min(recovered), step.number));
    let own = own_acts(reading).into_iter().filter(|(at, _)| *at <= recovered).max();
    match (step, own) {
        (Some(step), Some((at, _))) if step.ended.is_none_or(|ended| ended >= at) => by_runbook(step),
        (_, Some((_, what))) => Attribution::System(what),
        (Some(step), None) => by_runbook(step),
        (None, None) => Attribution::Unexplained,
    }
}

fn by_runbook(step: &Step<'_>) -> Attribution {
    Attribution::Runbook { step: step.number, title: step.title.to_owned() }
}

/// What the system did by itself: when and what.
fn own_acts(reading: &Reading<'_>) -> Vec<(Micros, String)> {
    let since = reading.since.unwrap_or(0);
    let own = reading.rare.iter().filter(|event| event.at >= since);
    own.filter_map(|event| match &event.what {
        What::Using { service, mount, leaf }
            if is_renewal(reading, since, event.at, (service, mount), leaf) =>
        {
            Some((event.at, format!("{service} renewed its certificate `{mount}`")))
        }
        What::Process { service, change: ProcessChange::Spawned { restarts: 1.., .. } }
            if had_backed_off(reading, service, event.at) =>
        {
            Some((event.at, format!("the supervisor started {service} again")))
        }
        _ => None,
    })
    .collect()
}

/// Whether a leaf that was seen for the first time is one that the service got while it ran. One that
/// the harness installed is a step's doing, and one that a service gets at its start is its starter's.
fn is_renewal(reading: &Reading<'_>, since: Micros, at: Micros, of: (&str, &str), leaf: &Leaf) -> bool {
    let mut had_another = false;
    for event in reading.rare.iter().filter(|event| event.at <= at) {
        match &event.what {
            What::Installed { leaf: by_us, .. } if by_us == leaf => return false,
            What::Process { service, change: ProcessChange::Spawned { .. } }
                if service == of.0 && event.at >= since =>
            {
                return false;
            }
            What::Using { service, mount, leaf: other } if (service.as_str(), mount.as_str()) == of => {
                match other == leaf {
                    true if event.at < at => return false,
                    true => {}
                    false => had_another = true,
                }
            }
            _ => {}
        }
    }
    had_another
}

/// Whether the supervisor itself had waited to start the service, since it last ended.
fn had_backed_off(reading: &Reading<'_>, service: &str, at: Micros) -> bool {
    let latest = |wanted: fn(&ProcessChange) -> bool| {
        let changes = reading.rare.iter().filter(|event| match &event.what {
            What::Process { service: who, change } => who == service && wanted(change) && event.at <= at,
            _ => false,
        });
        changes.map(|event| event.at).max()
    };
    let waited = latest(|change| matches!(change, ProcessChange::BackingOff { .. }));
    let ended = latest(|change| matches!(change, ProcessChange::Exited { .. }));
    waited.is_some_and(|waited| ended.is_none_or(|ended| ended <= waited))
}
