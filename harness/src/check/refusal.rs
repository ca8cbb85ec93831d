//! Whether what should be refused was refused, and for the right reason.

use std::{collections::HashMap, time::Duration};

use crate::{
    clock::micros,
    history::{Micros, Outcome, Probe, Refusal, Side},
    measure::{Credential, LeafId, Measurements, MovedClock, OpenConnections, SLEW, Try},
    words,
};

use super::{Check, Early, failed, passed, rule, timed, unknown};

/// Once a credential of the fault bites, fresh handshakes that carry it are refused for this reason, and
/// no handshake of any hop is refused for another. A server whose clock was moved refuses everybody as expired:
/// in TLS that stands for "not yet valid", too (RFC 8446, 6.2). If every certificate was replaced in time, no
/// handshake was refused at all. A hop without a TLS peer says nothing either way, nor does a server with an error of
/// its own while its files are replaced.
pub fn refused(reason: Refusal) -> Box<dyn Check> {
    rule("refused", move |measured| judge_refused(measured, &reason))
}

/// Nobody was served without a valid certificate: no intruder, and nobody whose own or whose server's
/// certificate had ended. Connections that were open before are another check's matter.
pub fn nothing_accepted_unauthenticated() -> Box<dyn Check> {
    rule("nothing-accepted-unauthenticated", judge_accepted)
}

/// No connection that was open when one of its certificates ended is served more than `grace` later.
pub fn no_connection_outlives_expiry(grace: Duration) -> Box<dyn Check> {
    rule("no-connection-outlives-expiry", move |measured| {
        judge_past(measured, &measured.intrusions.open, "open connection", micros(grace))
    })
}

/// No session that is resumed is served more than `grace` after one of its certificates ended.
pub fn no_session_outlives_expiry(grace: Duration) -> Box<dyn Check> {
    rule("no-session-outlives-expiry", move |measured| {
        judge_past(measured, &measured.intrusions.resumed, "resumed session", micros(grace))
    })
}

/// A certificate is valid up to and with its last second (RFC 5280, 4.1.2.5), and Go refuses it as soon as
/// that has begun.
const LAST_SECOND: Micros = 1_000_000;

/// What fresh handshakes came to.
#[derive(Default)]
struct Tally {
    /// Carried a credential that bit, and were refused for the right reason.
    right: u64,
    /// Carried one and were served all the same.
    served: Noted,
    /// Were refused for another reason, or before anything bit.
    wrong: Noted,
    /// Were tried after the fault bit, whatever they carried.
    tried: u64,
}

/// How often something was seen, and the first time in words.
#[derive(Default)]
struct Noted {
    times: u64,
    first: String,
}

impl Noted {
    fn note(&mut self, words: impl FnOnce() -> String) {
        if self.times == 0 {
            self.first = words();
        }
        self.times += 1;
    }
}

fn judge_refused(measured: &Measurements<'_>, reason: &Refusal) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let since = reading.since.ok_or_else(|| unknown("the steady phase never ended"))?;
    let by_end = *reason == Refusal::Expired;
    let bites = bites(measured, by_end);
    let clocks = || measured.clocks.iter().filter(|_| by_end).filter_map(|clock| clock.landed);
    if bites.is_empty() && by_end && !measured.averted() && clocks().next().is_none() {
        return Err(unknown("no certificate of the fault reached its end"));
    }
    if bites.is_empty() && !by_end {
        return Err(unknown("no credential of the fault landed"));
    }
    let mut tally = Tally::default();
    let first_bite = bites.values().map(|bite| bite.from).chain(clocks()).min().unwrap_or(Micros::MAX);
    for hop in &reading.hops {
        let tries = &hop.tries[hop.tries.partition_point(|attempt| attempt.at < since)..];
        for attempt in tries {
            tally.tried += u64::from(attempt.at >= first_bite);
            tally.count(measured, attempt, &bites, reason);
        }
    }
    conclude(measured, &tally, reason)
}

fn conclude(measured: &Measurements<'_>, tally: &Tally, reason: &Refusal) -> Early {
    if tally.wrong.times > 0 {
        return Ok(failed(format!(
            "{} refused otherwise than for `{reason}`: {}",
            words::counted(tally.wrong.times, "handshake"),
            tally.wrong.first
        )));
    }
    if measured.averted() {
        return Ok(passed("no handshake was refused: every certificate was replaced in time"));
    }
    if tally.served.times > 0 {
        return Ok(failed(format!(
            "{} served that had to be refused for `{reason}`: {}",
            words::counted(tally.served.times, "handshake"),
            tally.served.first
        )));
    }
    match (tally.right, tally.tried) {
        (0, 0) => Err(unknown("no fresh handshake was tried after the fault bit")),
        (0, tried) => Ok(failed(format!(
            "none of {} after the fault bit was refused for `{reason}`",
            words::counted(tried, "fresh handshake")
        ))),
        (right, _) => Ok(passed(format!(
            "{} refused for `{reason}`, none for another reason",
            words::counted(right, "handshake")
        ))),
    }
}

/// When a credential may be refused, and from when on it must be.
struct Bite {
    may: Micros,
    from: Micros,
}

fn bites(measured: &Measurements<'_>, by_end: bool) -> HashMap<LeafId, Bite> {
    let bite = |credential: &Credential<'_>| {
        let id = measured.reading.leaf(credential.leaf)?;
        let stable = credential.landed?.stable_since;
        let may = credential.installed;
        if !by_end {
            return Some((id, Bite { may, from: stable }));
        }
        let (at, true) = credential.expired? else { return None };
        let may = may.max(credential.ends);
        Some((id, Bite { may, from: at.max(credential.ends + SLEW).max(stable) }))
    };
    measured.credentials.iter().filter_map(bite).collect()
}

impl Tally {
    fn count(
        &mut self,
        measured: &Measurements<'_>,
        attempt: &Try<'_, Probe>,
        bites: &HashMap<LeafId, Bite>,
        reason: &Refusal,
    ) {
        let carried = attempt.leaves.iter().filter_map(|leaf| bites.get(leaf));
        let clocks =
            measured.clocks.iter().filter(|clock| *reason == Refusal::Expired && judges(clock, attempt));
        match &attempt.of.outcome {
            Outcome::Refused { by, reason: given } => {
                // A certificate that has ended may be refused as such, whoever installed it.
                let ends = attempt.leaves.into_iter().map(|leaf| measured.reading.ends(leaf));
                let ends = ends.filter(|_| *reason == Refusal::Expired);
                let may = carried.map(|bite| bite.may).chain(ends).min();
                let early = if *reason == Refusal::Expired { LAST_SECOND } else { 0 };
                let answered = attempt.answered + SLEW + early;
                let by_clock = *by == Side::Server && clocks.clone().any(|clock| may_be_off(clock, attempt));
                if given == reason && (by_clock || may.is_some_and(|may| may <= answered)) {
                    self.right += 1;
                } else if !(given.is_internal() && *by == Side::Server && is_torn(measured, attempt)) {
                    let side = match by {
                        Side::Client => "client",
                        Side::Server => "server",
                    };
                    self.wrong.note(|| format!("{} by the {side} for `{given}`", place(attempt)));
                }
            }
            Outcome::Served(status) => {
                let bitten = carried.map(|bite| bite.from).min().is_some_and(|from| from <= attempt.at);
                if bitten || clocks.clone().any(|clock| is_off(clock, attempt)) {
                    self.served.note(|| format!("{} with status {status}", place(attempt)));
                }
            }
            Outcome::Unreachable(_) => {}
        }
    }
}

/// Whether the server may have had no pair to present, because its files were being replaced: one that reads them at
/// each handshake, as etcd does, may get a certificate of the old and a key of the new.
fn is_torn(measured: &Measurements<'_>, attempt: &Try<'_, Probe>) -> bool {
    measured.swaps.overlap(&attempt.of.server, attempt.at, attempt.answered)
}

/// Whether it is the clock of the server that judged.
fn judges(clock: &MovedClock<'_>, attempt: &Try<'_, Probe>) -> bool {
    clock.service == attempt.of.server
}

/// Whether the clock may have been off when the server judged.
fn may_be_off(clock: &MovedClock<'_>, attempt: &Try<'_, Probe>) -> bool {
    clock.moved <= attempt.answered && clock.right.is_none_or(|right| attempt.at <= right)
}

/// Whether it was for certain.
fn is_off(clock: &MovedClock<'_>, attempt: &Try<'_, Probe>) -> bool {
    clock.landed.is_some_and(|landed| landed <= attempt.at)
        && clock.put_right.is_none_or(|right| attempt.answered < right)
}

fn place(attempt: &Try<'_, Probe>) -> String {
    format!("{} -> {}, {} into the run,", attempt.of.client, attempt.of.server, words::span(attempt.at))
}

fn judge_accepted(measured: &Measurements<'_>) -> Early {
    let intrusions = &measured.intrusions;
    if let Some((at, probe)) = intrusions.first {
        // Whether a certificate had ended is a matter of the wall clock; what an intruder got is not.
        if !probe.question.is_intrusion() {
            timed(measured)?;
        }
        let outcome = match probe.outcome {
            Outcome::Served(status) => format!("status {status}"),
            _ => "served".into(),
        };
        return Ok(failed(format!(
            "{} served without a valid certificate; first: {} -> {}, {}, {} into the run, {outcome}",
            words::counted(intrusions.accepted, "request"),
            probe.client,
            probe.server,
            probe.question.words(),
            words::span(at),
        )));
    }
    if intrusions.asked == 0 {
        return Err(unknown("no intruder ever asked"));
    }
    timed(measured)?;
    Ok(passed(format!(
        "{} refused, and nobody served with an ended certificate",
        words::counted(intrusions.asked, "intruder")
    )))
}

fn judge_past(measured: &Measurements<'_>, open: &OpenConnections, what: &str, grace: Micros) -> Early {
    timed(measured)?;
    let asked = open.asked.iter().filter(|(past, _)| *past > grace).count() as u64;
    if asked == 0 {
        return Err(unknown(format!(
            "no {what} was asked more than {} after one of its certificates ended",
            words::span(grace)
        )));
    }
    let longest = words::span(open.longest().unwrap_or(0));
    match open.served_after(grace) {
        0 => Ok(passed(format!(
            "none of {} later than {} after the end was served",
            words::counted(asked, "request"),
            words::span(grace)
        ))),
        served => Ok(failed(format!(
            "{} on {what}s served up to {longest} after a certificate had ended, {} allowed",
            words::counted(served, "request"),
            words::span(grace)
        ))),
    }
}
