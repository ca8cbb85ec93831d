//! Whether the system came back in time, and then caught up.

use std::{fmt::Write, time::Duration};

use crate::{
    clock::micros,
    history::{Micros, Phase},
    measure::Measurements,
    words,
};

use super::{Check, Early, against, failed, passed, rule, timed, unknown};

/// Everything succeeds again within `budget` after the last repair step (after the first failure, if
/// nobody repaired anything), and goes on for a whole stability window.
pub fn recovers_within(budget: Duration) -> Box<dyn Check> {
    rule("recovers-within", move |measured| judge_recovery(measured, micros(budget)))
}

/// The ledger is whole within `budget` after the recovery.
pub fn drains_within(budget: Duration) -> Box<dyn Check> {
    rule("drains-within", move |measured| judge_drain(measured, micros(budget)))
}

/// Every certificate of the fault that reached its end in this run was no longer in use by then: a good one
/// was on the wire before, and not only on the disk.
pub fn replaced_before_expiry() -> Box<dyn Check> {
    rule("replaced-before-expiry", judge_replaced)
}

fn judge_replaced(measured: &Measurements<'_>) -> Early {
    timed(measured)?;
    let ended: Vec<_> = measured.credentials.iter().filter(|one| one.expired.is_some()).collect();
    if ended.is_empty() {
        return Err(unknown("no certificate of the fault reached its end"));
    }
    let used: Vec<String> = ended.iter().filter(|one| one.expired_in_use()).map(|one| one.name()).collect();
    let all = words::counted(ended.len() as u64, "certificate");
    Ok(if used.is_empty() {
        passed(format!("all of {all} replaced on the wire before the end"))
    } else {
        failed(format!("{} of {all} still in use at the end: {}", used.len(), words::list(&used, 4)))
    })
}

fn judge_recovery(measured: &Measurements<'_>, budget: Micros) -> Early {
    timed(measured)?;
    let (reading, recovery) = (&measured.reading, &measured.recovery);
    if reading.since.is_none() {
        return Err(unknown("the steady phase never ended"));
    }
    if reading.operations.is_empty() && reading.hops.is_empty() {
        return Err(unknown("no operation and no hop was ever tried"));
    }
    let Some(first) = recovery.failures.first() else {
        return Ok(passed("nothing failed, so nothing had to recover"));
    };
    let Some(taken) = recovery.time_to_recover else {
        let repaired =
            measured.course.steps.iter().filter(|step| step.repairs()).filter_map(|step| step.ended);
        let from = repaired.max().unwrap_or(first.begin);
        let window = reading.info.map_or(0, |info| info.stability_us);
        let watched = reading.watched.saturating_sub(from);
        return if watched < budget.saturating_add(window) {
            Err(unknown(format!(
                "it had not recovered when watching ended, {} after the repair; {} are allowed",
                words::span(watched),
                words::span(budget)
            )))
        } else {
            Ok(failed(format!("it had not recovered {} after the repair", words::span(watched))))
        };
    };
    let mut evidence = format!("{}; what did it: {}", against(taken, budget), measured.attribution);
    if let Some(waiting) = &measured.waiting {
        let _ = write!(evidence, "; {waiting}");
    }
    if let Some(relapsed) = recovery.relapsed {
        let later = relapsed.saturating_sub(recovery.recovered.unwrap_or(relapsed));
        let _ = write!(evidence, "; it failed again {} later", words::span(later));
    }
    Ok(if taken.value <= budget { passed(evidence) } else { failed(evidence) })
}

fn judge_drain(measured: &Measurements<'_>, budget: Micros) -> Early {
    timed(measured)?;
    let Some(drained) = measured.milestones.drained else {
        return if measured.course.phase(Phase::Drain).is_some() {
            Ok(failed("the ledger was never whole"))
        } else {
            Err(unknown("the run ended before the drain phase"))
        };
    };
    let taken = measured.time_to_drain.ok_or_else(|| {
        unknown(format!(
            "the ledger was whole {} into the run, but the system never recovered",
            words::span(drained)
        ))
    })?;
    if measured.recovery.failures.is_empty() {
        return Ok(passed("nothing failed, and the ledger was whole"));
    }
    let evidence = match budget {
        0 => format!("{} after the recovery, none allowed", words::span(taken)),
        _ => format!("{} after the recovery, {} allowed", words::span(taken), words::span(budget)),
    };
    Ok(if taken <= budget { passed(evidence) } else { failed(evidence) })
}
