//! How much of a recovery was none at all: services that had ended by themselves waited to be started again.

use std::fmt;

use crate::{
    history::{Micros, ProcessChange, What},
    words,
};

use super::{
    interval::{Interval, total, union},
    reading::Reading,
    recovery::Recovery,
};

/// Within the time to recover, the time in which somebody waited to be started again (`CrashLoopBackOff` of a
/// kubelet).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting<'h> {
    /// How long at least one service waited, microseconds.
    pub total: Micros,
    /// Of the time to recover, in percent.
    pub percent: u64,
    /// Who, in the order of their ends.
    pub services: Vec<&'h str>,
}

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "for {} of it, {} %, {} waited to be started again",
            words::span(self.total),
            self.percent,
            words::list(&self.services, 4)
        )
    }
}

/// Who waited while the system recovered; none if it did not take any time, or nobody did.
pub fn waiting<'h>(reading: &Reading<'h>, recovery: &Recovery) -> Option<Waiting<'h>> {
    let taken = recovery.time_to_recover?.value;
    let until = recovery.recovered?;
    let from = until.checked_sub(taken)?;
    let mut waits = Vec::new();
    let mut services: Vec<&str> = Vec::new();
    for (at, service, change) in changes(reading) {
        if !matches!(change, ProcessChange::Exited { asked: false, .. }) {
            continue;
        }
        let again = changes(reading).find(|(later, who, change)| {
            *who == service && *later >= at && matches!(change, ProcessChange::Spawned { .. })
        });
        let (begin, end) = (at.max(from), again.map_or(until, |(later, ..)| later).min(until));
        if begin >= end {
            continue;
        }
        waits.push(Interval { after: begin, begin, last_failure: end, end, open: false });
        if !services.contains(&service) {
            services.push(service);
        }
    }
    let total = total(&union(waits, 0)).value;
    let percent = (total * 100).checked_div(taken)?;
    (total > 0).then_some(Waiting { total, percent, services })
}

fn changes<'h>(reading: &Reading<'h>) -> impl Iterator<Item = (Micros, &'h str, &'h ProcessChange)> {
    reading.rare.iter().filter_map(|event| match &event.what {
        What::Process { service, change } => Some((event.at, service.as_str(), change)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        history::{ProcessChange, script::Script},
        measure::Measurements,
    };

    fn ended(asked: bool) -> ProcessChange {
        ProcessChange::Exited { code: None, signal: None, asked, last_words: "no".into() }
    }

    const AGAIN: ProcessChange = ProcessChange::Spawned { pid: 1, restarts: 1 };

    /// The last step ends at 4200, and everything works from 4210 on; `script` says how long it takes.
    fn told(script: Script) -> Option<String> {
        let history = script.fails("search", 2_000..5_200, "archive: down").history();
        Measurements::of(&history).waiting.as_ref().map(ToString::to_string)
    }

    #[test]
    fn waits_count_once_and_within_the_recovery_only() {
        let script = Script::outage()
            .process(3_000, "archive", ended(false))
            .process(4_700, "archive", AGAIN)
            .process(4_500, "search", ended(false))
            .process(4_800, "search", AGAIN)
            .process(5_300, "search", ended(false));
        let words = "for 600 ms of it, 60 %, archive and search waited to be started again";
        assert_eq!(told(script).as_deref(), Some(words));
    }

    #[test]
    fn who_is_restarted_by_somebody_does_not_wait() {
        let script = Script::outage().process(4_300, "archive", ended(true)).process(4_900, "archive", AGAIN);
        assert_eq!(told(script), None);
    }
}
