//! Whether services started in the order that was tried first.

use crate::{
    history::Micros,
    measure::{Attempt, Measurements},
    words,
};

use super::{Check, Early, failed, passed, rule, unknown};

/// The first order that was tried came up. If nothing ever had to be started, because every certificate
/// was replaced in time, that is a pass.
pub fn starts_in_order() -> Box<dyn Check> {
    rule("starts-in-order", judge)
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
