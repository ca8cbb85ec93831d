//! The run's milestones, beside the timeline of the incident that it reproduces.

use std::fmt::Write;

use crate::{
    history::{Micros, Phase},
    incident::Milestone,
    measure::Measurements,
    words,
};

use super::{
    Style, prose,
    table::{lines, table, wrap},
};

/// One line of the timeline.
struct Row {
    /// When the run had it, if it did.
    at: Option<Micros>,
    what: String,
    clock: String,
    incident: String,
    run: String,
    scaled: String,
}

/// The timeline and the phases.
pub fn timeline(measured: &Measurements<'_>, style: Style) -> String {
    let Some((zero, since)) = measured.zero() else { return String::new() };
    let info = measured.reading.info;
    let mut text = String::new();
    let incident =
        info.and_then(|info| Some((info.incident.as_ref()?, info.minute_us))).filter(|(_, m)| *m > 0);
    if let Some((incident, minute)) = incident {
        let _ = writeln!(text, "Timeline beside {}", incident.title);
        let scale = format!("A minute of the incident takes {} here. Zero is {since}.", words::span(minute));
        text.push_str(&wrap(style, &scale, 0));
        let mut table = table(style, &["what", "clock then", ">then", ">this run", ">in incident minutes"]);
        for row in beside(measured, zero) {
            table.add_row([row.what, row.clock, row.incident, row.run, row.scaled]);
        }
        text.push_str(&lines(&table));
    } else {
        let _ = writeln!(text, "Timeline");
        text.push_str(&wrap(style, &format!("Zero is {since}."), 0));
        let mut table = table(style, &["what", ">this run"]);
        for milestone in Milestone::ALL {
            table.add_row([milestone.words().to_owned(), reached(measured, milestone, zero)]);
        }
        text.push_str(&lines(&table));
    }
    text.push_str(&wrap(style, &phases(measured), 8));
    text
}

/// The incident's instants, and between them the milestones that it does not tell.
fn beside(measured: &Measurements<'_>, zero: Micros) -> Vec<Row> {
    let Some(info) = measured.reading.info else { return Vec::new() };
    let Some(incident) = &info.incident else { return Vec::new() };
    let minute = info.minute_us;
    let run = |milestone: Milestone| {
        let at = measured.milestones.at(milestone);
        (reached(measured, milestone, zero), at.map_or(String::new(), |at| scaled(at, zero, minute)))
    };
    let mut rows: Vec<Row> = incident
        .instants
        .iter()
        .map(|instant| {
            let (run, scaled) = instant.milestone.map_or((String::new(), String::new()), run);
            Row {
                at: instant.milestone.and_then(|milestone| measured.milestones.at(milestone)),
                what: instant.what.clone(),
                clock: instant.clock.clone(),
                incident: format!("+{} min", instant.minute),
                run,
                scaled,
            }
        })
        .collect();
    let told = |milestone| incident.instants.iter().any(|instant| instant.milestone == Some(milestone));
    for milestone in Milestone::ALL.into_iter().filter(|milestone| !told(*milestone)) {
        let Some(at) = measured.milestones.at(milestone) else { continue };
        let (run, scaled) = run(milestone);
        let (clock, incident) = (String::new(), String::new());
        let row = Row { at: Some(at), what: milestone.words().to_owned(), clock, incident, run, scaled };
        let later = rows.iter().position(|row| row.at.is_some_and(|other| other > at));
        rows.insert(later.unwrap_or(rows.len()), row);
    }
    rows
}

/// When the run had a milestone. Where nothing failed there was nothing to repair.
fn reached(measured: &Measurements<'_>, milestone: Milestone, zero: Micros) -> String {
    let told = matches!(milestone, Milestone::Expired | Milestone::Notified);
    match measured.milestones.at(milestone) {
        Some(at) => words::offset(at, zero),
        None if measured.recovery.failures.is_empty() && measured.reading.since.is_some() && !told => {
            "-".into()
        }
        None => "never".into(),
    }
}

fn scaled(at: Micros, zero: Micros, minute: Micros) -> String {
    let sign = if at < zero { "-" } else { "+" };
    format!("{sign}{} min", prose::minutes(at.abs_diff(zero), minute))
}

fn phases(measured: &Measurements<'_>) -> String {
    let phases = measured.course.phases.iter().filter(|phase| phase.phase < Phase::Judge);
    let told: Vec<_> = phases
        .map(|phase| match phase.ended {
            Some(ended) => format!("{} {}", phase.phase.name(), words::span(ended - phase.began)),
            None => format!("{} (never ended)", phase.phase.name()),
        })
        .collect();
    format!("Phases: {}", told.join(", "))
}
