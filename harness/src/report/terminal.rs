//! A run for a terminal: somebody tired who reads only this can say what broke, for how long, what
//! repaired it, and whether anything was lost.

use crate::{
    check::Overall,
    history::History,
    measure::{Measurements, Outage, Records},
    words,
};

use super::{
    Style, prose, repair,
    table::{headline, lines, mark, table, wrap},
    timeline,
};

/// The report of a run, finished or not, as text that ends with a newline.
pub fn render(history: &History, style: Style) -> String {
    let measured = Measurements::of(history);
    let overall = Overall::of(&measured);
    let sections = [
        head(&measured, &overall, style),
        wrap(style, &prose::summary(&measured), 0),
        checks(&overall, style),
        operations(&measured, style),
        timeline::timeline(&measured, style),
        repair::steps(&measured, style),
        repair::orders(&measured, style),
        measurements(&measured, style),
        foot(&measured),
    ];
    let sections: Vec<_> = sections.into_iter().filter(|section| !section.trim().is_empty()).collect();
    sections.join("\n")
}

fn head(measured: &Measurements<'_>, overall: &Overall, style: Style) -> String {
    let verdict = headline(style, overall.verdict);
    let met = if overall.as_expected { "as expected" } else { "NOT as expected" };
    let Some(info) = measured.reading.info else {
        return format!("{verdict}, {met}: the run died before it said what it is\n");
    };
    let mut text = format!("{verdict}, {met}: {} on {}, seed {}\n", info.scenario, info.runtime, info.seed);
    let why = prose::unexpected(measured, overall).or_else(|| prose::expected(measured, overall));
    if let Some(why) = why {
        text.push_str(&wrap(style, &why, 0));
    }
    text.push('\n');
    text.push_str(&wrap(style, &info.about, 0));
    text
}

fn checks(overall: &Overall, style: Style) -> String {
    if overall.checks.is_empty() {
        return String::new();
    }
    let mut table = table(style, &["verdict", "check", "what was seen"]);
    for (name, verdict) in &overall.checks {
        table.add_row([mark(verdict.summary()), name.into(), verdict.evidence().into()]);
    }
    format!("Checks\n{}", lines(&table))
}

fn operations(measured: &Measurements<'_>, style: Style) -> String {
    if measured.operations.is_empty() {
        return String::new();
    }
    let zero = measured.zero().map_or(0, |(at, _)| at);
    let header = ["operation", ">outages", ">in all", ">first failed", "last error"];
    let mut table = table(style, &header);
    let (users, background): (Vec<_>, Vec<_>) = measured.operations.iter().partition(|op| op.user_facing);
    for operation in users.into_iter().chain(background) {
        table.add_row(row(operation, zero));
    }
    format!("Operations\n{}", lines(&table))
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

fn measurements(measured: &Measurements<'_>, style: Style) -> String {
    let none = || "none".to_owned();
    let detect = measured.time_to_detect.map(|time| {
        let lead = if time < 0 { " (a lead)" } else { "" };
        format!("{}{lead}", words::signed_span(time))
    });
    let accepted = measured.intrusions.known().map(|served| {
        let asked = words::counted(measured.intrusions.asked, "time");
        format!("{} (intruders asked {asked})", words::count(served))
    });
    let recover = measured.recovery.time_to_recover.map(|time| time.to_string());
    let rows = [
        ("time to detect", detect.unwrap_or_else(none)),
        ("outage, any user-facing operation", measured.outage.map_or_else(none, |outage| outage.to_string())),
        ("time to recover", recover.unwrap_or_else(none)),
        ("what recovered it", measured.attribution.to_string()),
        ("time to drain", measured.time_to_drain.map_or_else(none, words::span)),
        ("records", account(measured.records())),
        ("accepted without a valid certificate", accepted.unwrap_or_else(|| "unknown, nobody tried".into())),
    ];
    let mut table = table(style, &["measured", "value"]);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    format!("Measurements\n{}", lines(&table))
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

/// Commands are not wrapped, so that they can be copied.
fn foot(measured: &Measurements<'_>) -> String {
    let Some(info) = measured.reading.info else { return String::new() };
    format!(
        "Again:     {}\nEvidence:  notafter report {}\nVersion:   notafter {}\n",
        info.rerun, info.id, info.version
    )
}
