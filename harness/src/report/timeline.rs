//! The run's milestones, beside the timeline of the incident that it reproduces.

use std::fmt::Write;

use crate::{
    history::{Micros, Phase},
    incident::{Incident, Milestone},
    measure::Measurements,
    words,
};

use super::{
    Style, prose,
    table::{lines, table, wrap},
};

/// One line of the timeline.
pub struct Row {
    /// When the run had it, if it did.
    pub at: Option<Micros>,
    /// What happened.
    pub what: String,
    /// The clock on the wall, as the post-mortem writes it; empty where it does not tell.
    pub clock: String,
    /// Minutes since the certificates expired in the incident, if it tells.
    pub minute: Option<u32>,
    /// When the run had it, in words.
    pub run: String,
    /// The same in minutes of the incident.
    pub scaled: String,
}

impl Row {
    /// When the incident had it, in words; empty where it does not tell.
    pub fn then(&self) -> String {
        self.minute.map(|minute| format!("+{minute} min")).unwrap_or_default()
    }
}

/// The timeline and the phases.
pub fn timeline(measured: &Measurements<'_>, style: Style) -> String {
    let Some((_, since)) = measured.zero() else { return String::new() };
    let mut text = String::new();
    if let Some((incident, minute)) = incident(measured) {
        let _ = writeln!(text, "Timeline beside {}", incident.title);
        let scale = format!("A minute of the incident takes {} here. Zero is {since}.", words::span(minute));
        text.push_str(&wrap(style, &scale, 0));
        let mut table = table(style, &["what", "clock then", ">then", ">this run", ">in incident minutes"]);
        for row in rows(measured) {
            let then = row.then();
            table.add_row([row.what, row.clock, then, row.run, row.scaled]);
        }
        text.push_str(&lines(&table));
    } else {
        let _ = writeln!(text, "Timeline");
        text.push_str(&wrap(style, &format!("Zero is {since}."), 0));
        let mut table = table(style, &["what", ">this run"]);
        for row in rows(measured) {
            table.add_row([row.what, row.run]);
        }
        text.push_str(&lines(&table));
    }
    text.push_str(&wrap(style, &phases(measured), 8));
    text
}

/// The incident that the run reproduces, and what a minute of it takes here, if it reproduces one.
pub fn incident<'h>(measured: &Measurements<'h>) -> Option<(&'h Incident, Micros)> {
    let info = measured.reading.info?;
    Some((info.incident.as_ref()?, info.minute_us)).filter(|(_, minute)| *minute > 0)
}

/// The lines of the timeline: the run's milestones, or the incident's instants, and between them the
/// milestones that it does not tell.
pub fn rows(measured: &Measurements<'_>) -> Vec<Row> {
    let Some((zero, _)) = measured.zero() else { return Vec::new() };
    match incident(measured) {
        Some((incident, minute)) => beside(measured, incident, minute, zero),
        None => Milestone::ALL.map(|milestone| own(measured, milestone, zero)).into(),
    }
}

fn own(measured: &Measurements<'_>, milestone: Milestone, zero: Micros) -> Row {
    Row {
        at: measured.milestones.at(milestone),
        what: milestone.words().to_owned(),
        clock: String::new(),
        minute: None,
        run: reached(measured, milestone, zero),
        scaled: String::new(),
    }
}

fn beside(measured: &Measurements<'_>, incident: &Incident, minute: Micros, zero: Micros) -> Vec<Row> {
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
                minute: Some(instant.minute),
                run,
                scaled,
            }
        })
        .collect();
    let told = |milestone| incident.instants.iter().any(|instant| instant.milestone == Some(milestone));
    for milestone in Milestone::ALL.into_iter().filter(|milestone| !told(*milestone)) {
        let Some(at) = measured.milestones.at(milestone) else { continue };
        let row = Row { scaled: scaled(at, zero, minute), ..own(measured, milestone, zero) };
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

/// How long each phase took.
pub fn phases(measured: &Measurements<'_>) -> String {
    let phases = measured.course.phases.iter().filter(|phase| phase.phase < Phase::Judge);
    let told: Vec<_> = phases
        .map(|phase| match phase.ended {
            Some(ended) => format!("{} {}", phase.phase.name(), words::span(ended - phase.began)),
            None => format!("{} (never ended)", phase.phase.name()),
        })
        .collect();
    format!("Phases: {}", told.join(", "))
}
