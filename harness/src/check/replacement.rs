//! Whether a replaced certificate is what is served, soon and for good, and whether services tell the truth
//! about it.

use std::{collections::HashMap, time::Duration};

use crate::{
    clock::micros,
    history::{Leaf, Micros, Purpose, What},
    measure::{Measurements, Reading},
    words,
};

use super::{Check, Early, failed, passed, rule, timed, unknown};

/// Every certificate that a repair installed was seen in use at most `budget` after: presented in a handshake,
/// or shown to a server. One that its service rejected is another check's matter.
pub fn in_use_within(budget: Duration) -> Box<dyn Check> {
    rule("in-use-within", move |measured| judge_in_use(measured, micros(budget)))
}

/// Once a newer certificate was presented for more than `grace`, no server presented one that it had presented
/// before. A change is not an edge: for a while old and new may be served side by side.
pub fn nothing_old_returns(grace: Duration) -> Box<dyn Check> {
    rule("nothing-old-returns", move |measured| judge_returns(measured, micros(grace)))
}

/// No service says for more than `grace` that it uses a certificate while it presents one that it had said
/// before (valkey-io/valkey#3549).
pub fn says_what_it_serves(grace: Duration) -> Box<dyn Check> {
    rule("says-what-it-serves", move |measured| judge_says(measured, micros(grace)))
}

/// Whatever a repair installed and nobody saw in use was said to be rejected by its service at most `budget`
/// after (nats-io/nats-server#1921: a line in a log, and the old certificate goes on).
pub fn says_what_it_rejects(budget: Duration) -> Box<dyn Check> {
    rule("says-what-it-rejects", move |measured| judge_rejects(measured, micros(budget)))
}

/// What a service said that it uses in a mount, in the order in which it said so.
type Claims<'h> = Vec<(Micros, &'h Leaf)>;

/// What a repair put into a mount.
struct Installed<'h> {
    service: &'h str,
    mount: &'h str,
    leaf: &'h Leaf,
    at: Micros,
    /// When something else was put there; the end of the run if nothing was.
    until: Micros,
}

impl Installed<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.service, self.mount)
    }
}

fn installed<'h>(reading: &Reading<'h>) -> Vec<Installed<'h>> {
    let mut all: Vec<Installed<'h>> = Vec::new();
    for event in &reading.rare {
        let What::Installed { service, mount, leaf, why } = &event.what else { continue };
        for one in all.iter_mut().filter(|one| one.service == service && one.mount == mount) {
            one.until = one.until.min(event.at);
        }
        if *why == Purpose::Repair && event.at <= reading.until {
            all.push(Installed { service, mount, leaf, at: event.at, until: reading.until });
        }
    }
    all
}

/// When a certificate was first seen in use from outside.
fn first_seen(reading: &Reading<'_>, leaf: &Leaf) -> Option<Micros> {
    let presented = reading.hops.iter().flat_map(|hop| &hop.tries);
    let presented = presented.filter(|attempt| attempt.of.presented.as_ref() == Some(leaf));
    let shown = reading.rare.iter().filter(|event| match &event.what {
        What::Using { leaf: used, .. } => used == leaf,
        _ => false,
    });
    presented.map(|attempt| attempt.answered).chain(shown.map(|event| event.at)).min()
}

fn rejected(reading: &Reading<'_>, one: &Installed<'_>) -> Option<Micros> {
    let said = reading.rare.iter().filter(|event| match &event.what {
        What::Rejected { service, mount, .. } => service == one.service && mount == one.mount,
        _ => false,
    });
    said.map(|event| event.at).find(|at| (one.at..=one.until).contains(at))
}

fn judge_in_use(measured: &Measurements<'_>, budget: Micros) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let (mut slowest, mut count) = (0, 0);
    let (mut late, mut untold) = (Vec::new(), Vec::new());
    for one in installed(reading).iter().filter(|one| rejected(reading, one).is_none()) {
        count += 1;
        let lay = one.until.saturating_sub(one.at);
        match first_seen(reading, one.leaf).map(|at| at.saturating_sub(one.at)) {
            Some(after) if after <= budget => slowest = slowest.max(after),
            Some(after) => late.push(format!("{} after {} only", one.name(), words::span(after))),
            None if lay >= budget => late.push(format!("{} not for {}", one.name(), words::span(lay))),
            None => untold.push(format!("{} lay there for {} only", one.name(), words::span(lay))),
        }
    }
    let all = words::counted(count, "certificate");
    let allowed = words::span(budget);
    if count == 0 {
        return Err(unknown("no repair installed a certificate"));
    }
    if !late.is_empty() {
        return Ok(failed(format!(
            "{} of {all} not in use in time, {allowed} allowed: {}",
            late.len(),
            words::list(&late, 4)
        )));
    }
    if !untold.is_empty() {
        return Err(unknown(format!("{}; {allowed} are allowed", words::list(&untold, 4))));
    }
    Ok(passed(format!("all of {all} in use after at most {}, {allowed} allowed", words::span(slowest))))
}

fn judge_returns(measured: &Measurements<'_>, grace: Micros) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let mut presented: HashMap<&str, Vec<(Micros, &Leaf)>> = HashMap::new();
    for hop in &reading.hops {
        let tries = hop.tries.iter().filter(|attempt| attempt.at <= reading.watched);
        let tries = tries.filter_map(|attempt| Some((attempt.at, attempt.of.presented.as_ref()?)));
        presented.entry(hop.server).or_default().extend(tries);
    }
    let (mut changes, mut returned) = (0, Vec::new());
    let mut servers: Vec<_> = presented.into_iter().collect();
    servers.sort_unstable_by_key(|(server, _)| *server);
    for (server, mut tries) in servers {
        tries.sort_by_key(|(at, _)| *at);
        let mut first: HashMap<&Leaf, Micros> = HashMap::new();
        let (mut newest, mut told) = (0, false);
        for (at, leaf) in tries {
            changes += u64::from(!first.is_empty() && !first.contains_key(leaf));
            let since = *first.entry(leaf).or_insert(at);
            newest = newest.max(since);
            if since < newest && at > newest + grace && !told {
                told = true;
                returned.push(format!("{server}, {} after a newer one", words::span(at - newest)));
            }
        }
    }
    match (returned.is_empty(), changes) {
        (false, _) => Ok(failed(format!(
            "a certificate that had been replaced was presented again: {}",
            words::list(&returned, 4)
        ))),
        (true, 0) => Err(unknown("no server ever presented another certificate than its first")),
        (true, _) => Ok(passed(format!("none came back after {}", words::counted(changes, "replacement")))),
    }
}

fn judge_says(measured: &Measurements<'_>, grace: Micros) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let mut said: HashMap<&str, HashMap<&str, Claims<'_>>> = HashMap::new();
    for event in &reading.rare {
        if let What::Claims { service, mount, leaf } = &event.what {
            said.entry(service).or_default().entry(mount).or_default().push((event.at, leaf));
        }
    }
    let mut agreed = 0;
    for hop in &reading.hops {
        let Some(mounts) = said.get(hop.server) else { continue };
        for attempt in hop.tries.iter().filter(|attempt| attempt.answered <= reading.watched) {
            let Some(leaf) = &attempt.of.presented else { continue };
            let claims = mounts.values().find(|claims| claims.iter().any(|(_, said)| *said == leaf));
            let Some(claims) = claims else { continue };
            let Some((at, claimed)) = claims.iter().rfind(|(at, _)| *at <= attempt.at) else { continue };
            let earlier = claims.iter().find(|(_, said)| *said == leaf).is_some_and(|(first, _)| first < at);
            if *claimed != leaf && earlier && attempt.at > at + grace {
                return Ok(failed(format!(
                    "{} said for {} that it uses {}, and presented {}",
                    hop.server,
                    words::span(attempt.at - at),
                    claimed.serial,
                    leaf.serial
                )));
            }
            agreed += u64::from(*claimed == leaf);
        }
    }
    if agreed == 0 {
        return Err(unknown("no service said what it presents"));
    }
    Ok(passed(format!("{} as the server says", words::counted(agreed, "handshake"))))
}

fn judge_rejects(measured: &Measurements<'_>, budget: Micros) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let (mut told, mut silent, mut short) = (0, Vec::new(), Vec::new());
    let unused = |one: &Installed<'_>| first_seen(reading, one.leaf).is_none();
    for one in installed(reading).iter().filter(|one| unused(one)) {
        match rejected(reading, one) {
            Some(at) if at <= one.at + budget => told += 1,
            _ if one.until >= one.at + budget => silent.push(one.name()),
            _ => short.push(one.name()),
        }
    }
    let allowed = words::span(budget);
    match (told, silent.is_empty(), short.is_empty()) {
        (_, false, _) => Ok(failed(format!(
            "{} neither used what a repair installed nor said why not within {allowed}",
            words::list(&silent, 4)
        ))),
        (_, _, false) => {
            Err(unknown(format!("{} had less than {allowed} to say so", words::list(&short, 4))))
        }
        (0, ..) => Err(unknown("everything that a repair installed was used")),
        (told, ..) => Ok(passed(format!("{} rejected, and said so", words::counted(told, "certificate")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Summary,
        history::script::{Script, leaf},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn judged(check: &dyn Check, script: Script) -> Summary {
        let history = script.history();
        check.judge(&history).summary()
    }

    fn claims(generation: u32) -> What {
        What::Claims { service: "archive".into(), mount: "mesh".into(), leaf: leaf("archive", generation) }
    }

    fn hop() -> Script {
        Script::new().hop("search", "archive")
    }

    #[test]
    fn what_a_repair_installed_must_be_in_use_soon() {
        assert_eq!(judged(&*in_use_within(SECOND), hop().rotated("archive", 3_000..3_500)), Summary::Passed);
        assert_eq!(judged(&*in_use_within(SECOND), hop().rotated("archive", 3_000..4_500)), Summary::Failed);
        assert_eq!(judged(&*in_use_within(SECOND), hop()), Summary::Unknown);
    }

    #[test]
    fn old_and_new_may_be_served_side_by_side_and_then_no_more() {
        let replaced = hop().rotated("archive", 3_000..3_100);
        assert_eq!(judged(&*nothing_old_returns(SECOND), replaced.clone()), Summary::Passed);
        let flaps = |back| replaced.clone().carries("archive", 3_110, 0).carries("archive", back, 1);
        assert_eq!(judged(&*nothing_old_returns(SECOND), flaps(3_900)), Summary::Passed);
        assert_eq!(judged(&*nothing_old_returns(SECOND), flaps(4_200)), Summary::Failed);
        assert_eq!(judged(&*nothing_old_returns(SECOND), hop()), Summary::Unknown);
    }

    #[test]
    fn whoever_says_new_and_serves_old_is_found_out_and_who_says_it_late_is_not() {
        let says = |ms, script: Script| script.at(500, claims(0)).at(ms, claims(1));
        let replaced = || hop().rotated("archive", 3_000..3_100);
        assert_eq!(judged(&*says_what_it_serves(SECOND), says(3_900, replaced())), Summary::Passed);
        assert_eq!(judged(&*says_what_it_serves(SECOND), says(1_900, replaced())), Summary::Failed);
        assert_eq!(judged(&*says_what_it_serves(SECOND), replaced()), Summary::Unknown);
    }

    #[test]
    fn what_is_not_used_is_said_to_be_rejected_or_the_service_is_silent() {
        let unused =
            hop().rotated("archive", 3_000..9_000).without(|what| matches!(what, What::Using { .. }));
        let unused =
            unused.phases(&[(crate::history::Phase::Steady, 100), (crate::history::Phase::Judge, 6_000)]);
        let says = What::Rejected { service: "archive".into(), mount: "mesh".into(), why: "no".into() };
        assert_eq!(judged(&*says_what_it_rejects(SECOND), unused.clone()), Summary::Failed);
        assert_eq!(judged(&*says_what_it_rejects(SECOND), unused.at(3_200, says)), Summary::Passed);
        assert_eq!(
            judged(&*says_what_it_rejects(SECOND), hop().rotated("archive", 3_000..3_100)),
            Summary::Unknown
        );
    }
}
