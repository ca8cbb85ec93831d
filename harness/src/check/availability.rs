//! Whether users, and services among each other, could do what they came for.

use std::time::Duration;

use crate::{
    clock::micros,
    history::{ProcessChange, What},
    measure::Measurements,
    words,
};

use super::{Check, Early, against, failed, passed, rule, timed, unknown};

/// Any user-facing operation failed for no longer than `budget` in all; zero is no outage at all.
pub fn outage_within(budget: Duration) -> Box<dyn Check> {
    rule("outage-within", move |measured| judge(measured, micros(budget)))
}

/// From the steady phase on no fresh handshake of any hop failed, whatever the reason, and no service ended
/// unasked: what a fault must come to that a system is built to bear.
pub fn keeps_serving() -> Box<dyn Check> {
    rule("keeps-serving", judge_serving)
}

/// From the steady phase on no service said that it waits for something or is not ready: what users of a
/// service look at, and where a client shows that trusts nobody any more.
pub fn stays_ready() -> Box<dyn Check> {
    rule("stays-ready", judge_ready)
}

/// After the last step of the repair no service ended unasked: what is repaired must bear everybody who comes
/// back to it, at once or not.
pub fn stays_up() -> Box<dyn Check> {
    rule("stays-up", judge_up)
}

fn judge_ready(measured: &Measurements<'_>) -> Early {
    let reading = &measured.reading;
    let since = reading.since.ok_or_else(|| unknown("the steady phase never ended"))?;
    let said = reading.rare.iter().filter(|event| event.at <= reading.watched);
    let said = said.filter_map(|event| match &event.what {
        What::Health(health) => Some((event.at, health)),
        _ => None,
    });
    let unready = said.clone().find(|(at, health)| *at >= since && !health.ready);
    match unready {
        Some((at, health)) => {
            let why = if health.waits_for.is_empty() {
                "it says nothing".into()
            } else {
                format!("it waits for {}", words::list(&health.waits_for, 3))
            };
            let service = &health.service;
            Ok(failed(format!("{service} was not ready, {} into the run: {why}", words::span(at))))
        }
        None if said.clone().next().is_none() => Err(unknown("no service ever said whether it is ready")),
        None => Ok(passed("every service was ready all the time")),
    }
}

fn judge_up(measured: &Measurements<'_>) -> Early {
    let repaired = measured.course.steps.iter().filter(|step| step.repairs()).filter_map(|step| step.ended);
    let repaired = repaired.max().ok_or_else(|| unknown("nobody repaired anything"))?;
    let reading = &measured.reading;
    let ended = reading.rare.iter().filter(|event| (repaired..=reading.watched).contains(&event.at));
    let mut ended = ended.filter_map(|event| match &event.what {
        What::Process { service, change: ProcessChange::Exited { asked: false, last_words, .. } } => {
            Some((event.at - repaired, service, last_words))
        }
        _ => None,
    });
    match ended.next() {
        None => Ok(passed("no service ended by itself after the repair")),
        Some((after, service, last_words)) => Ok(failed(format!(
            "{} unasked after the repair; first: {service}, {} after it: {last_words}",
            words::counted(1 + ended.count() as u64, "end"),
            words::span(after)
        ))),
    }
}

fn judge_serving(measured: &Measurements<'_>) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let since = reading.since.ok_or_else(|| unknown("the steady phase never ended"))?;
    let watched = since..=reading.watched;
    let tries =
        reading.hops.iter().flat_map(|hop| &hop.tries).filter(|attempt| watched.contains(&attempt.at));
    let (mut tried, mut failed_tries) = (0, Vec::new());
    for attempt in tries {
        tried += 1;
        if !attempt.ok {
            failed_tries.push(attempt);
        }
    }
    if let Some(first) = failed_tries.iter().min_by_key(|attempt| attempt.at) {
        return Ok(failed(format!(
            "{} of {} failed; first: {} -> {}, {} into the run: {}",
            words::count(failed_tries.len() as u64),
            words::counted(tried, "handshake"),
            first.of.client,
            first.of.server,
            words::span(first.at),
            first.of.outcome,
        )));
    }
    let crash = reading.rare.iter().find_map(|event| match &event.what {
        What::Process { service, change: ProcessChange::Exited { asked: false, last_words, .. } }
            if watched.contains(&event.at) =>
        {
            Some(format!("{service} ended unasked, {} into the run: {last_words}", words::span(event.at)))
        }
        _ => None,
    });
    match (crash, tried) {
        (Some(crash), _) => Ok(failed(crash)),
        (None, 0) => Err(unknown("no fresh handshake was tried after the steady phase")),
        (None, tried) => Ok(passed(format!("none of {} failed", words::counted(tried, "handshake")))),
    }
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
