//! What happened, in the few sentences that somebody needs at three in the morning.

use crate::{
    check::{Expect, Overall, Summary},
    history::Micros,
    measure::{Attribution, Credential, Measurements, MovedClock},
    words,
};

/// What broke, for how long, who noticed, what repaired it, whether anything was lost or leaked.
pub fn summary(measured: &Measurements<'_>) -> String {
    let parts = [
        Some(what_broke(measured)),
        for_how_long(measured),
        who_noticed(measured),
        which_order(measured),
        what_repaired_it(measured),
        Some(what_was_lost(measured)),
        what_leaked(measured),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Which checks failed as they must; none if all had to pass.
pub fn expected(measured: &Measurements<'_>, overall: &Overall) -> Option<String> {
    match measured.reading.info.map(|info| &info.expect) {
        Some(Expect::Fail(names)) if overall.as_expected => {
            Some(format!("It must fail {}, and nothing else; it did.", words::list(names, 12)))
        }
        _ => None,
    }
}

/// Why the run did not give what it must give; none if it did.
pub fn unexpected(measured: &Measurements<'_>, overall: &Overall) -> Option<String> {
    if overall.as_expected {
        return None;
    }
    if let Some(broken) = &overall.broken {
        return Some(broken.clone());
    }
    let named = |wanted: Summary| {
        let names = overall.checks.iter().filter(|(_, verdict)| verdict.summary() == wanted);
        names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let must_fail = match measured.reading.info.map(|info| &info.expect) {
        Some(Expect::Fail(checks)) => checks.clone(),
        _ => Vec::new(),
    };
    let (failed, unknown) = (named(Summary::Failed), named(Summary::Unknown));
    let difference = |these: &[String], those: &[String]| {
        these.iter().filter(|name| !those.contains(name)).cloned().collect::<Vec<_>>()
    };
    let mut parts = Vec::new();
    let mut say = |names: Vec<String>, words: &str| {
        if !names.is_empty() {
            parts.push(format!("{} {words}", words::list(&names, 12)));
        }
    };
    say(difference(&failed, &must_fail), "failed and must not");
    say(difference(&difference(&must_fail, &failed), &unknown), "must fail and did not");
    say(unknown, "could not tell");
    Some(parts.join("; "))
}

fn what_broke(measured: &Measurements<'_>) -> String {
    let told = |credentials: Vec<&Credential<'_>>| {
        let names: Vec<_> = credentials.iter().map(|credential| credential.name()).collect();
        (words::counted(names.len() as u64, "certificate"), words::list(&names, 3))
    };
    let credentials = &measured.credentials;
    let expired: Vec<_> = credentials.iter().filter(|credential| credential.expired_in_use()).collect();
    if !expired.is_empty() {
        let (count, names) = told(expired);
        return format!("{count} expired while in use: {names}.");
    }
    let averted: Vec<_> = credentials.iter().filter(|credential| credential.averted()).collect();
    if !averted.is_empty() {
        let (count, names) = told(averted);
        return format!("{count} would have expired and had been replaced in time: {names}.");
    }
    let landed: Vec<_> = credentials.iter().filter(|credential| credential.landed.is_some()).collect();
    if !landed.is_empty() {
        let (count, names) = told(landed);
        return format!("The fault put {count} on the wire: {names}.");
    }
    let clocks = measured.clocks.iter().filter(|clock| clock.landed.is_some()).map(MovedClock::words);
    match clocks.collect::<Vec<_>>() {
        clocks if clocks.is_empty() => "No fault was seen on the wire.".into(),
        clocks => format!("The certificates are good; {}.", words::list(&clocks, 3)),
    }
}

fn for_how_long(measured: &Measurements<'_>) -> Option<String> {
    let outage = measured.outage?;
    let user_facing: Vec<_> = measured.operations.iter().filter(|op| op.user_facing).collect();
    let failed = user_facing.iter().filter(|op| !op.intervals.is_empty()).count();
    if failed == 0 {
        let background =
            measured.operations.iter().filter(|op| !op.user_facing && op.failed > 0).count() as u64;
        let hidden = match background {
            0 => String::new(),
            some => format!(", although {} did", words::counted(some, "background operation")),
        };
        return Some(format!(
            "No user-facing operation failed{hidden}; a gap in service shorter than {} could hide.",
            words::span(outage.resolution)
        ));
    }
    let open = user_facing.iter().any(|op| op.intervals.last().is_some_and(|interval| interval.open));
    let still = if open { " and still did when watching ended" } else { "" };
    Some(format!(
        "{failed} of {} user-facing operations failed, for {outage} together{}{still}.",
        user_facing.len(),
        in_minutes(measured, outage.value)
            .map(|minutes| format!(" ({minutes} of the incident)"))
            .unwrap_or_default(),
    ))
}

fn who_noticed(measured: &Measurements<'_>) -> Option<String> {
    let bite = measured.bite()?;
    let Some(time) = measured.time_to_detect else {
        return Some("Nobody was told and no health check turned red.".into());
    };
    let alerted = measured.milestones.notified.map(|at| at.cast_signed() - bite.cast_signed());
    let sign = if alerted == Some(time) { "An alert came" } else { "A health check turned red" };
    let (span, side) = (words::span(time.unsigned_abs()), if time < 0 { "before" } else { "after" });
    let alert = match alerted {
        None => "; nobody was told".to_owned(),
        Some(alerted) if alerted == time => String::new(),
        Some(alerted) => format!(", and an alert came at {}", words::signed_span(alerted)),
    };
    let hurt = if measured.averted() {
        "the end of the first certificate"
    } else if measured.credentials.is_empty() {
        "it began to hurt"
    } else {
        "the first certificate began to hurt"
    };
    Some(format!("{sign} {span} {side} {hurt}{alert}."))
}

fn which_order(measured: &Measurements<'_>) -> Option<String> {
    let attempts = &measured.course.attempts;
    let stuck = attempts.first()?.stuck?;
    let up = attempts.iter().find(|attempt| attempt.ended.is_some() && attempt.stuck.is_none());
    let end = match up {
        Some(attempt) => format!("order number {} came up", attempt.number),
        None => format!("none of {} orders came up", attempts.len()),
    };
    Some(format!("The first order of start got stuck at {}; {end}.", stuck.service))
}

fn what_repaired_it(measured: &Measurements<'_>) -> Option<String> {
    let recovery = &measured.recovery;
    let paced = match measured.course.paused(recovery.recovered.unwrap_or(Micros::MAX)) {
        0..1_000 => String::new(),
        paused => {
            format!(" Until then people waited {} at the incident's pace.", words::span(paused))
        }
    };
    let sentence = match (&measured.attribution, recovery.time_to_recover) {
        (Attribution::NothingFailed | Attribution::Unwatched, _) => return None,
        (Attribution::NotRecovered, _) => "It had not recovered when watching ended.".into(),
        (by, Some(taken)) => {
            let from = if measured.course.steps.iter().any(crate::measure::Step::repairs) {
                "the last repair step"
            } else {
                "the first failure"
            };
            let when = match taken.value {
                0 => format!("It had recovered before {from} was over"),
                _ => format!("It recovered {taken} after {from}"),
            };
            let waiting = measured.waiting.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
            format!("{when}; what did it: {by}{waiting}.")
        }
        (by, None) => format!("It recovered; what did it: {by}."),
    };
    Some(sentence + &paced)
}

fn what_was_lost(measured: &Measurements<'_>) -> String {
    let records = measured.records();
    if records.sent == 0 {
        return "Whether anything was lost is unknown: there is no final account of the records.".into();
    }
    let late = match records.late {
        0 => String::new(),
        late => format!(", {} of them late (up to {})", words::count(late), words::span(records.slowest)),
    };
    let twice = match records.duplicated {
        0 => String::new(),
        twice => format!(" {} stored more than once.", words::counted(twice, "record")),
    };
    match records.lost {
        0 => format!(
            "Nothing was lost: {} sent and stored{late}.{twice}",
            words::counted(records.sent, "record")
        ),
        lost => format!(
            "{} of {} records LOST, {} of them after they had been acknowledged; {} stored{late}.{twice}",
            words::count(lost),
            words::count(records.sent),
            words::count(records.lost_acknowledged),
            words::count(records.stored),
        ),
    }
}

fn what_leaked(measured: &Measurements<'_>) -> Option<String> {
    let intrusions = &measured.intrusions;
    match (intrusions.accepted, intrusions.asked) {
        (0, 0) => None,
        (0, _) => Some("Nobody was served without a valid certificate.".into()),
        (served, _) => {
            Some(format!("{} SERVED without a valid certificate.", words::counted(served, "request")))
        }
    }
}

/// A duration in minutes of the incident: `137 min`; none where there is no incident.
pub fn in_minutes(measured: &Measurements<'_>, micros: Micros) -> Option<String> {
    let minute = measured.reading.info.map(|info| info.minute_us).filter(|minute| *minute > 0)?;
    Some(format!("{} min", minutes(micros, minute)))
}

/// Minutes with one decimal below ten.
pub fn minutes(micros: Micros, minute: Micros) -> String {
    let tenths = (micros * 10 + minute / 2) / minute;
    match tenths {
        0..100 if !tenths.is_multiple_of(10) => format!("{}.{}", tenths / 10, tenths % 10),
        _ => words::count((tenths + 5) / 10),
    }
}
