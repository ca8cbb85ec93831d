//! What was done to repair it: the steps in their order, and the orders that were tried.

use crate::{
    history::{Micros, StepKind},
    measure::{Attempt, Measurements, Step},
    words,
};

use super::{
    Style,
    table::{lines, table, wrap},
};

/// More steps alike in a row than this are told as one line in their middle.
const IN_A_ROW: usize = 6;

/// More attempts than this are told as one line in their middle.
const ATTEMPTS: usize = 6;

/// The steps in their order; nothing if there were none.
pub fn steps(measured: &Measurements<'_>, style: Style) -> String {
    let steps = &measured.course.steps;
    if steps.is_empty() {
        return String::new();
    }
    let mut table = table(style, &[">step", "what", ">began", ">took", "went wrong"]);
    table.add_rows(rows(measured));
    format!("Repair\n{}", lines(&table))
}

/// Number, title, begin, duration and error of each step; those alike in the middle of a row as one.
pub fn rows(measured: &Measurements<'_>) -> Vec<[String; 5]> {
    let zero = measured.zero().map_or(0, |(at, _)| at);
    let mut rows = Vec::new();
    for group in measured.course.steps.chunk_by(alike) {
        let hidden = if group.len() > IN_A_ROW { 2..group.len() - 2 } else { 0..0 };
        for (index, step) in group.iter().enumerate() {
            if !hidden.contains(&index) {
                rows.push(row(step, zero));
            } else if index == hidden.start {
                rows.push(collapsed(&group[hidden.clone()]));
            }
        }
    }
    rows
}

/// Whether two steps are more of the same: rotations with the waits between them, or of one kind.
fn alike(one: &Step<'_>, next: &Step<'_>) -> bool {
    let rotation = |step: &Step<'_>| matches!(step.kind, StepKind::Rotate | StepKind::Pace);
    let same = one.kind == next.kind || (rotation(one) && rotation(next));
    same && one.error.is_none() && next.error.is_none()
}

fn collapsed(steps: &[Step<'_>]) -> [String; 5] {
    let (waits, works): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.kind == StepKind::Pace);
    let took = |steps: &[&Step<'_>]| -> Micros {
        steps.iter().filter_map(|step| Some(step.ended? - step.began)).sum()
    };
    let mut parts = Vec::new();
    if !works.is_empty() {
        parts.push(format!("{} more like this in {}", works.len(), words::span(took(&works))));
    }
    if !waits.is_empty() {
        parts.push(format!(
            "{} in {}",
            words::counted(waits.len() as u64, "wait"),
            words::span(took(&waits))
        ));
    }
    let all = words::span(took(&works) + took(&waits));
    ["...".into(), format!("({})", parts.join(", ")), String::new(), all, String::new()]
}

fn row(step: &Step<'_>, zero: Micros) -> [String; 5] {
    let title = match step.kind {
        StepKind::Pace => format!("(waited at the incident's pace: {})", step.title),
        _ => step.title.to_owned(),
    };
    [
        (step.number + 1).to_string(),
        title,
        words::offset(step.began, zero),
        step.ended.map_or("never ended".into(), |ended| words::span(ended - step.began)),
        step.error.map(|error| words::brief(error, 60)).unwrap_or_default(),
    ]
}

/// The orders that were tried, and where each got stuck; nothing if none was.
pub fn orders(measured: &Measurements<'_>, style: Style) -> String {
    let attempts = &measured.course.attempts;
    if attempts.is_empty() {
        return String::new();
    }
    let mut text = String::from("Orders of start that were tried\n");
    for attempt in told_orders(measured) {
        text.push_str(&wrap(style, &attempt, 5));
    }
    text
}

/// The orders that were tried, a sentence each; the many in the middle as one.
pub fn told_orders(measured: &Measurements<'_>) -> Vec<String> {
    let attempts = &measured.course.attempts;
    let hidden = if attempts.len() > ATTEMPTS { 3..attempts.len() - 2 } else { 0..0 };
    let mut said = Vec::new();
    for (index, attempt) in attempts.iter().enumerate() {
        if index == hidden.start && !hidden.is_empty() {
            said.push(format!("... {} more that got stuck ...", hidden.len()));
        }
        if !hidden.contains(&index) {
            let thought = match measured.course.thought_after(index) {
                0..1_000 => String::new(),
                pause => format!("; then {} at the incident's pace", words::span(pause)),
            };
            said.push(told(attempt) + &thought);
        }
    }
    said
}

fn told(attempt: &Attempt<'_>) -> String {
    let took = attempt.ended.map(|ended| words::span(ended - attempt.began));
    let end = match (attempt.stuck, took) {
        (Some(stuck), Some(took)) => {
            format!("stuck at {} after {took}: {}", stuck.service, words::brief(&stuck.why, 160))
        }
        (_, Some(took)) => format!("came up in {took}"),
        (_, None) => "never ended".into(),
    };
    format!("{:>2}. {}: {end}", attempt.number, attempt.order.join(" > "))
}
