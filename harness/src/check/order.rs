//! Whether services started in the order that was tried first, and whether they start in any.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::micros,
    history::Micros,
    measure::{Attempt, Measurements},
    order::Tried,
    words,
};

use super::{Check, Early, Verdict, failed, passed, rule, unknown};

/// The first order that was tried came up. If nothing ever had to be started, because every certificate
/// was replaced in time, that is a pass.
pub fn starts_in_order() -> Box<dyn Check> {
    rule("starts-in-order", judge)
}

/// Everything came up within this time in every order that was tried, and nothing ended by itself on the
/// way: a supervisor that starts it again hides that, and this check does not.
pub fn starts_in_any_order(within: Duration) -> Box<dyn Check> {
    rule("starts-in-any-order", move |measured| {
        Ok(judge_starts(&Tried::all(measured.reading.history), within))
    })
}

/// The same of starts that were read from several histories.
pub(crate) fn judge_starts(tried: &[Tried], within: Duration) -> Verdict {
    if tried.is_empty() {
        return unknown("no order was tried");
    }
    let all = words::counted(tried.len() as u64, "start");
    let stuck: Vec<&Tried> = tried.iter().filter(|one| one.stuck.is_some()).collect();
    if let Some((first, stuck_at)) = stuck.iter().find_map(|one| Some((one, one.stuck.as_ref()?))) {
        return failed(format!(
            "{} of {all} did not converge; number {}: {} did not come up, {}",
            stuck.len(),
            first.number,
            stuck_at.service,
            words::brief(&stuck_at.why, 120)
        ));
    }
    let slowest = tried.iter().filter_map(|one| Some((one.took()?, one.number))).max();
    let slowest = slowest.map_or("an unknown time".into(), |(took, number)| {
        format!("{} at most (number {number})", words::span(took))
    });
    let crashed = tried.iter().filter(|one| one.crashes() > 0).count();
    if crashed > 0 {
        let mut by: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, course) in tried.iter().flat_map(|one| &one.services) {
            *by.entry(name).or_default() += course.crashes.len();
        }
        let mut by: Vec<(usize, &str)> = by.into_iter().map(|(name, count)| (count, name)).collect();
        by.retain(|(count, _)| *count > 0);
        by.sort_by(|a, b| b.cmp(a));
        let by: Vec<String> = by.iter().map(|(count, name)| format!("{count} of {name}")).collect();
        return failed(format!(
            "all of {all} converged, in {slowest}, but {crashed} of them only because a supervisor starts again \
             what crashes: {}, {}",
            words::crashes(tried.iter().map(Tried::crashes).sum()),
            words::list(&by, 4)
        ));
    }
    let late = tried.iter().filter(|one| one.took().is_some_and(|took| took > micros(within))).count();
    if late > 0 {
        return failed(format!(
            "{late} of {all} took longer than {}: {slowest}",
            words::span(micros(within))
        ));
    }
    passed(format!("all of {all} converged without a crash, in {slowest}"))
}

fn judge(measured: &Measurements<'_>) -> Early {
    let attempts = &measured.course.attempts;
    let Some(first) = attempts.first() else {
        return if measured.averted() {
            Ok(passed("nothing had to be started: every certificate was replaced in time"))
        } else {
            Err(unknown("no order was ever tried"))
        };
    };
    let Some(stuck) = first.stuck else {
        return match first.ended {
            Some(ended) => Ok(passed(format!(
                "{} came up in the first order, in {}",
                words::counted(first.order.len() as u64, "service"),
                words::span(ended - first.began)
            ))),
            None => Err(unknown("the first attempt never ended")),
        };
    };
    Ok(failed(format!(
        "the first order got stuck at {}: {}; {}",
        stuck.service,
        words::brief(&stuck.why, 120),
        outcome(attempts)
    )))
}

fn outcome(attempts: &[Attempt<'_>]) -> String {
    let tried = words::counted(attempts.len() as u64, "order");
    match attempts.iter().position(|attempt| attempt.ended.is_some() && attempt.stuck.is_none()) {
        Some(index) => {
            let lost: Micros = attempts[..index].iter().filter_map(|a| Some(a.ended? - a.began)).sum();
            format!("{tried} tried, number {} came up, {} lost on the others", index + 1, words::span(lost))
        }
        None => format!("{tried} tried, none came up"),
    }
}
