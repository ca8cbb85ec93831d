//! The controls: everything worked before the fault, and then the fault was really there.

use std::collections::BTreeSet;

use crate::{
    history::{Micros, Phase, What},
    measure::{Credential, Measurements, MovedClock, Reading},
    words,
};

use super::{Check, Early, passed, rule, unknown};

/// Before the fault was injected, every kind of operation and every hop had succeeded, and every
/// service was ready. Never fails: without this, the run is unknown.
pub fn steady() -> Box<dyn Check> {
    rule("steady", judge_steady)
}

/// Every credential that a fault installed showed on the wire, and nothing else did any more, and every service
/// whose clock it moved told another time, before the repair began. Never fails: a fault that never bit says nothing about a system.
pub fn landed() -> Box<dyn Check> {
    rule("landed", judge_landed)
}

fn judge_steady(measured: &Measurements<'_>) -> Early {
    let reading = &measured.reading;
    let injected = measured.course.phase(Phase::Inject).map(|phase| phase.began);
    let before =
        injected.or(reading.since).ok_or_else(|| unknown("the run ended before the steady phase did"))?;
    if reading.operations.is_empty() && reading.hops.is_empty() {
        return Err(unknown("no operation and no hop was ever tried"));
    }
    let missing = not_steady(reading, before);
    if !missing.is_empty() {
        return Err(unknown(format!("before the fault, {}", words::list(&missing, 5))));
    }
    Ok(passed(format!(
        "before the fault, {} and {} had succeeded, and {} ready",
        words::counted(reading.operations.len() as u64, "operation"),
        words::counted(reading.hops.len() as u64, "hop"),
        match services(reading).len() as u64 {
            1 => "1 service was".to_owned(),
            many => format!("{many} services were"),
        },
    )))
}

fn not_steady(reading: &Reading<'_>, before: Micros) -> Vec<String> {
    let succeeded = |mut tries: &mut dyn Iterator<Item = (Micros, bool)>| {
        (&mut tries).take_while(|(at, _)| *at <= before).any(|(_, ok)| ok)
    };
    let operations = reading
        .operations
        .iter()
        .filter(|stream| !succeeded(&mut stream.outcomes(Micros::MAX)))
        .map(|stream| format!("operation `{}` had never succeeded", stream.name));
    let hops = reading
        .hops
        .iter()
        .filter(|stream| !succeeded(&mut stream.outcomes(Micros::MAX)))
        .map(|stream| format!("hop {} -> {} had never been served", stream.name, stream.server));
    let health = reading.health_before(before);
    let services = services(reading).into_iter().filter_map(|service| match health.get(service) {
        Some(health) if health.ready => None,
        Some(health) if health.waits_for.is_empty() => Some(format!("{service} was not ready")),
        Some(health) => Some(format!("{service} waited for {}", health.waits_for.join(", "))),
        None => Some(format!("{service} had not said that it is ready")),
    });
    operations.chain(hops).chain(services).collect()
}

/// Every service that a supervisor started or that said something about itself.
fn services<'h>(reading: &Reading<'h>) -> BTreeSet<&'h str> {
    let named = reading.rare.iter().filter_map(|event| match &event.what {
        What::Process { service, .. } => Some(service.as_str()),
        What::Health(health) => Some(health.service.as_str()),
        _ => None,
    });
    named.collect()
}

/// `the clock of archive was 48 h ahead, by what it says, 12 ms after it was moved`.
fn off(clock: &MovedClock<'_>) -> String {
    let after = words::span(clock.landed.unwrap_or(clock.moved).saturating_sub(clock.moved));
    format!("{}, by what it says, {after} after it was moved", clock.words())
}

fn judge_landed(measured: &Measurements<'_>) -> Early {
    let credentials = &measured.credentials;
    let deadline = measured.milestones.repair_began.unwrap_or(measured.reading.until);
    let mut clocks = measured.clocks.iter();
    if let Some(right) = clocks.find(|clock| clock.landed.is_none_or(|landed| landed > deadline)) {
        return Err(unknown(format!("{} did not tell another time before the repair", right.service)));
    }
    if credentials.is_empty() {
        let off: Vec<_> = measured.clocks.iter().map(off).collect();
        return if off.is_empty() {
            Err(unknown("no fault installed a credential or moved a clock"))
        } else {
            Ok(passed(words::list(&off, 5)))
        };
    }
    let never: Vec<String> =
        credentials.iter().filter(|c| c.landed.is_none()).map(Credential::name).collect();
    if !never.is_empty() {
        return Err(unknown(format!(
            "{} of {} never showed on the wire everywhere: {}",
            never.len(),
            words::counted(credentials.len() as u64, "credential"),
            words::list(&never, 5),
        )));
    }
    let stable = |credential: &Credential<'_>| credential.landed.map_or(0, |landed| landed.stable_since);
    let late: Vec<String> = credentials
        .iter()
        .filter(|credential| stable(credential) > deadline)
        .map(|credential| {
            format!("{} {} too late", credential.name(), words::span(stable(credential) - deadline))
        })
        .collect();
    if !late.is_empty() {
        return Err(unknown(format!(
            "not everything was stable on the wire before the repair: {}",
            words::list(&late, 5)
        )));
    }
    let slowest = credentials.iter().map(|c| stable(c).saturating_sub(c.installed)).max().unwrap_or(0);
    Ok(passed(format!(
        "{} on the wire and nothing else, at most {} after the install",
        words::counted(credentials.len() as u64, "credential"),
        words::span(slowest),
    )))
}
