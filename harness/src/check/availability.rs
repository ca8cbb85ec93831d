//! Whether users could do what they came for.

use std::time::Duration;

use crate::{clock::micros, measure::Measurements, words};

use super::{Check, Early, against, failed, passed, rule, timed, unknown};

/// Any user-facing operation failed for no longer than `budget` in all; zero is no outage at all.
pub fn outage_within(budget: Duration) -> Box<dyn Check> {
    rule("outage-within", move |measured| judge(measured, micros(budget)))
}

fn judge(measured: &Measurements<'_>, budget: u64) -> Early {
    timed(measured)?;
    let outage = measured
        .outage
        .ok_or_else(|| unknown("no user-facing operation was tried after the steady phase"))?;
    let mut hit: Vec<_> =
        measured.operations.iter().filter(|op| op.user_facing && !op.intervals.is_empty()).collect();
    if hit.is_empty() {
        let watched = measured.operations.iter().filter(|op| op.user_facing).map(|op| op.tried).sum();
        return Ok(passed(format!(
            "none of {} tries of a user-facing operation failed",
            words::count(watched)
        )));
    }
    hit.sort_by_key(|op| std::cmp::Reverse(op.total.value));
    let named: Vec<_> = hit.iter().map(|op| format!("{} {}", op.name, words::span(op.total.value))).collect();
    let evidence = format!("{}; failed: {}", against(outage, budget), words::list(&named, 4));
    Ok(if outage.value <= budget { passed(evidence) } else { failed(evidence) })
}
