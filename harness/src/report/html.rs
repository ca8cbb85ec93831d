//! A run as one HTML file for people who never saw this project: no network, no script, readable on a
//! telephone and on paper.

mod certificates;
mod chart;
mod charts;
mod lanes;
mod rows;
mod scale;
#[cfg(test)]
mod tests;

use askama::Template;
use time::{OffsetDateTime, macros::format_description};

use crate::{
    check::{Overall, Verdict},
    history::History,
    measure::Measurements,
    words,
};

use super::{facts, prose, repair, timeline};
use chart::Chart;

/// What a service said, as whoever has its log hands it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Which service.
    pub service: String,
    /// Its words, or the last of them.
    pub text: String,
    /// How many lines before those were left out.
    pub left_out: usize,
}

/// The page of a run, finished or not, with the logs of its services folded. At most a megabyte, whatever
/// the number of events, and no failure is left out of its charts.
///
/// # Panics
/// Never: the template is checked when this is built, and a text takes everything.
pub fn page(history: &History, logs: &[Log]) -> String {
    let measured = Measurements::of(history);
    let overall = Overall::of(&measured);
    let (lifelines, hidden) = certificates::chart(&measured);
    let page = Page {
        title: measured.reading.info.map_or("A run that died at once", |info| &info.scenario),
        verdict: overall.verdict.word(),
        met: facts::met(&overall),
        where_and_when: where_and_when(&measured),
        why: prose::unexpected(&measured, &overall).or_else(|| prose::expected(&measured, &overall)),
        rejudged: facts::rejudged(&measured),
        summary: prose::summary(&measured),
        about: measured.reading.info.map_or("", |info| &info.about),
        numbers: numbers(&measured),
        milestones: timeline::rows(&measured),
        incident: timeline::incident(&measured).map(|(incident, _)| incident.title.as_str()),
        zero: measured.zero().map_or("", |(_, what)| what),
        overview: charts::overview(&measured),
        detail: charts::detail(&measured),
        services: charts::services(&measured),
        phases: timeline::phases(&measured),
        checks: overall.checks.iter().map(|(name, verdict)| Judged::of(name, verdict)).collect(),
        operations: facts::operations(&measured),
        steps: repair::rows(&measured),
        orders: repair::told_orders(&measured),
        lifelines,
        hidden,
        certificates: certificates::lines(&measured),
        measurements: facts::measurements(&measured),
        logs,
        environment: environment(&measured),
        rerun: measured.reading.info.map(|info| info.rerun.as_str()),
        evidence: measured.reading.info.map(|info| format!("notafter report {}", info.id)),
    };
    page.render().expect("a text takes everything")
}

#[derive(Template)]
#[template(path = "run.html", whitespace = "minimize")]
struct Page<'a> {
    title: &'a str,
    verdict: &'static str,
    met: &'static str,
    where_and_when: String,
    why: Option<String>,
    rejudged: Option<String>,
    summary: String,
    about: &'a str,
    numbers: Vec<Number>,
    milestones: Vec<timeline::Row>,
    incident: Option<&'a str>,
    zero: &'static str,
    overview: Chart,
    detail: Chart,
    services: Chart,
    phases: String,
    checks: Vec<Judged<'a>>,
    operations: Vec<[String; 5]>,
    steps: Vec<[String; 5]>,
    orders: Vec<String>,
    lifelines: Chart,
    hidden: usize,
    certificates: Vec<certificates::Line>,
    measurements: [(&'static str, String); 8],
    logs: &'a [Log],
    environment: Vec<(&'static str, String)>,
    rerun: Option<&'a str>,
    evidence: Option<String>,
}

/// A number that people ask for first.
struct Number {
    value: String,
    /// How exactly it is known; empty where that goes without saying.
    resolution: String,
    name: &'static str,
    means: &'static str,
    bad: bool,
}

/// A check and what it says.
struct Judged<'a> {
    name: &'a str,
    verdict: &'static str,
    evidence: &'a str,
}

impl<'a> Judged<'a> {
    fn of(name: &'a str, verdict: &'a Verdict) -> Self {
        Self { name, verdict: verdict.summary().word(), evidence: verdict.evidence() }
    }
}

fn numbers(measured: &Measurements<'_>) -> Vec<Number> {
    let none = || "none".to_owned();
    let records = measured.records();
    let counted = |number: u64| if records.sent == 0 { "unknown".into() } else { words::count(number) };
    let outage = measured.outage.map_or("unknown".into(), |outage| outage.to_string());
    let propagation = measured.milestones.propagation_gap().map(words::signed_span);
    let recover = measured.recovery.time_to_recover.map(|time| time.to_string());
    let accepted = measured.intrusions.known();
    let number = |name, value: String, means, bad| {
        let (value, resolution) = value.split_once(" \u{b1} ").unwrap_or((&value, ""));
        Number { value: value.into(), resolution: resolution.into(), name, means, bad }
    };
    vec![
        number(
            "outage",
            outage,
            "some user-facing operation failed",
            measured.outage.is_some_and(|outage| outage.value > 0),
        ),
        number(
            "detection gap",
            facts::detection(measured).unwrap_or_else(|| "never".into()),
            "from the first bad certificate to the first sign",
            measured.time_to_detect.is_none_or(|time| time > 0) && measured.bite().is_some(),
        ),
        number(
            "propagation gap",
            propagation.unwrap_or_else(none),
            "from the last rotation until no bad certificate was in use",
            false,
        ),
        number("time to recover", recover.unwrap_or_else(none), "from the last repair step", false),
        number(
            "time to drain",
            measured.time_to_drain.map_or_else(none, words::span),
            "from recovery until every record was stored",
            false,
        ),
        number("records lost", counted(records.lost), "sent, and never stored", records.lost > 0),
        number(
            "wrongly accepted",
            accepted.map_or("unknown".into(), words::count),
            "served without a valid certificate",
            accepted.is_some_and(|served| served > 0),
        ),
    ]
}

fn where_and_when(measured: &Measurements<'_>) -> String {
    let Some(info) = measured.reading.info else { return String::new() };
    format!("on {}, seed {}, {}", info.runtime, info.seed, began(info.wall))
}

/// A wall clock in microseconds since the Unix epoch: `2022-01-26 20:55:00 UTC`.
fn began(wall: u64) -> String {
    let seconds = i64::try_from(wall / 1_000_000).unwrap_or(i64::MAX);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let instant = OffsetDateTime::from_unix_timestamp(seconds).ok();
    instant.and_then(|instant| instant.format(&format).ok()).unwrap_or_else(|| format!("{seconds} s"))
}

fn environment(measured: &Measurements<'_>) -> Vec<(&'static str, String)> {
    let Some(info) = measured.reading.info else { return Vec::new() };
    let events = measured.reading.history.events.len();
    vec![
        ("run", info.id.clone()),
        ("runtime", info.runtime.clone()),
        ("seed", info.seed.to_string()),
        ("began", began(info.wall)),
        ("events", words::count(events as u64)),
        ("notafter", info.version.clone()),
        (
            "a minute of the incident",
            if info.minute_us == 0 { "-".into() } else { words::span(info.minute_us) },
        ),
        ("stability window", words::span(info.stability_us)),
        ("a record is late after", words::span(info.late_us)),
    ]
}
