//! What a run came to, in names and values: the same in every report.

use crate::{
    check::Overall,
    history::What,
    measure::{Measurements, Outage, Records},
    words,
};

/// Whether the verdict is the one that the scenario must give.
pub fn met(overall: &Overall) -> &'static str {
    if overall.as_expected { "as expected" } else { "NOT as expected" }
}

/// Whose checks the verdicts are from, if the history was judged again.
pub fn rejudged_by<'h>(measured: &Measurements<'h>) -> Option<&'h str> {
    measured.reading.rare.iter().find_map(|event| match &event.what {
        What::Rejudged { version } => Some(version.as_str()),
        _ => None,
    })
}

/// The same as a sentence.
pub fn rejudged(measured: &Measurements<'_>) -> Option<String> {
    let version = rejudged_by(measured)?;
    Some(format!("Judged again with the checks of notafter {version}; the history is that of the run."))
}

/// Everything that is measured, by name.
pub fn measurements(measured: &Measurements<'_>) -> [(&'static str, String); 8] {
    let none = || "none".to_owned();
    let accepted = measured.intrusions.known().map(|served| {
        let asked = words::counted(measured.intrusions.asked, "time");
        format!("{} (intruders asked {asked})", words::count(served))
    });
    let recover = measured.recovery.time_to_recover.map(|time| time.to_string());
    let propagation = measured.milestones.propagation_gap().map(words::signed_span);
    [
        ("time to detect", detection(measured).unwrap_or_else(none)),
        ("outage, any user-facing operation", measured.outage.map_or_else(none, |outage| outage.to_string())),
        ("propagation gap", propagation.unwrap_or_else(none)),
        ("time to recover", recover.unwrap_or_else(none)),
        ("what recovered it", measured.attribution.to_string()),
        ("time to drain", measured.time_to_drain.map_or_else(none, words::span)),
        ("records", account(measured.records())),
        ("accepted without a valid certificate", accepted.unwrap_or_else(|| "unknown, nobody tried".into())),
    ]
}

/// The time to detect, in words.
pub fn detection(measured: &Measurements<'_>) -> Option<String> {
    measured.time_to_detect.map(|time| {
        let lead = if time < 0 { " (a lead)" } else { "" };
        format!("{}{lead}", words::signed_span(time))
    })
}

/// Name, number of outages, their sum, first failure and last error of each operation: those that users
/// notice first.
pub fn operations(measured: &Measurements<'_>) -> Vec<[String; 5]> {
    let zero = measured.zero().map_or(0, |(at, _)| at);
    let (users, background): (Vec<_>, Vec<_>) = measured.operations.iter().partition(|op| op.user_facing);
    users.into_iter().chain(background).map(|operation| row(operation, zero)).collect()
}

fn row(operation: &Outage<'_>, zero: u64) -> [String; 5] {
    let unseen = if operation.user_facing { "" } else { " (background)" };
    let first = operation.intervals.first().map(|interval| interval.begin);
    let open = operation.intervals.last().is_some_and(|interval| interval.open);
    [
        format!("{}{unseen}", operation.name),
        words::count(operation.intervals.len() as u64),
        match operation.intervals.len() {
            0 => "-".into(),
            _ if open => format!("{}, not over", operation.total),
            _ => operation.total.to_string(),
        },
        first.map_or_else(|| "-".into(), |first| words::offset(first, zero)),
        operation.last_error.map(|error| words::brief(error, 100)).unwrap_or_default(),
    ]
}

fn account(records: &Records) -> String {
    if records.sent == 0 {
        return "unknown, no final account".into();
    }
    format!(
        "{} sent, {} stored, {} lost, {} duplicated, {} late",
        words::count(records.sent),
        words::count(records.stored),
        words::count(records.lost),
        words::count(records.duplicated),
        words::count(records.late),
    )
}
