//! Runs of the past for a terminal: a list, what became of each duration, and two runs side by side.

mod page;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use comfy_table::ColumnConstraint;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

pub use page::page;

use super::{
    Style,
    table::{headline, lines, mark, table, wrap},
};
use crate::{
    check::Summary,
    history::Micros,
    past::{CheckKept, Commit, Kept, MeasurementsKept, Series, taken},
    regression,
    system::Span,
    words,
};

/// How much above the least a bar is at the top: what changes by less than this stays low.
const TOP: f64 = 1.3;
/// What the columns beside that with names need.
const OTHERS: usize = 66;

/// Runs as a table, and a trend for each duration of each series. Ends with a newline.
pub fn runs(runs: &[Kept], style: Style) -> String {
    let header = ["run", "when (UTC)", "scenario", "on", "verdict", ">recover", ">outage", ">drain"];
    let mut table = table(style, &header);
    let most = of_names(&mut table, &[0, 2, 3, 4, 5, 6, 7], style);
    for run in runs {
        let durations = run.result.measurements.durations().map(|taken| taken.map(|taken| taken.median));
        let [recover, outage, drain] = durations.map(span);
        table.add_row(vec![
            short(&run.id).into(),
            // Without the year: these are the latest.
            when(run.began)[5..].into(),
            tabled(&run.series, most).into(),
            run.series.runtime.as_str().into(),
            mark(summary(run)),
            recover.into(),
            outage.into(),
            drain.into(),
        ]);
    }
    let legend = "A run is called by the end of its id.";
    format!("Runs\n{}{}\n{}", lines(&table), wrap(style, legend, 0), trends(runs, style))
}

/// What became of each duration of each series: a point a night, and a point each run by hand.
fn trends(runs: &[Kept], style: Style) -> String {
    let header = ["scenario", "on", "as expected", "duration", ">median", ">latest", "trend"];
    let mut table = table(style, &header);
    let most = of_names(&mut table, &[0, 1], style);
    for (series, runs) in by_series(runs) {
        let good = runs.iter().filter(|run| run.result.expected).count();
        let mut first = [tabled(series, most), series.runtime.clone(), format!("{good} of {}", runs.len())];
        for (what, points) in points(&runs) {
            let [scenario, runtime, expected] = std::mem::take(&mut first);
            let latest = span(points.last().copied());
            let median = span(regression::median(points.iter().copied()));
            table.add_row([scenario, runtime, expected, what.into(), median, latest, sparkline(&points)]);
        }
        if !first[0].is_empty() {
            table.add_row(first);
        }
    }
    let legend = "A bar is a night (the median of its repeats) or a run by hand, the latest last. A bar at the top \
                  is 30 % above the lowest, or the highest of all.";
    format!("Trends\n{}{}", lines(&table), wrap(style, legend, 0))
}

/// The runs that may be compared with each other, each series in its order.
fn by_series(runs: &[Kept]) -> BTreeMap<&Series, Vec<&Kept>> {
    let mut of: BTreeMap<&Series, Vec<&Kept>> = BTreeMap::new();
    for run in runs {
        of.entry(&run.series).or_default().push(run);
    }
    of
}

/// The durations that were ever more than nothing, with their points in time.
fn points(runs: &[&Kept]) -> Vec<(&'static str, Vec<Micros>)> {
    let mut nights: Vec<Vec<Kept>> = Vec::new();
    for run in runs {
        match nights.last_mut() {
            Some(night) if run.night.is_some() && night[0].night == run.night => night.push((*run).clone()),
            _ => nights.push(vec![(*run).clone()]),
        }
    }
    let taken: Vec<_> = nights.iter().map(|night| taken(night)).collect();
    let of = |which: usize| taken.iter().filter_map(|night| Some(night[which]?.median)).collect::<Vec<_>>();
    let all = MeasurementsKept::DURATIONS.into_iter().enumerate().map(|(which, name)| (name, of(which)));
    all.filter(|(_, points)| points.iter().any(|point| *point > 0)).collect()
}

/// One run as it is kept. Ends with a newline.
pub fn run(run: &Kept, style: Style) -> String {
    let met = if run.result.expected { "as expected" } else { "NOT as expected" };
    let mut text = format!(
        "{}, {met}: {} on {}, seed {}\n",
        headline(style, summary(run)),
        run.series.scenario,
        run.series.runtime,
        run.result.seed.unwrap_or(0)
    );
    let facts = [
        ("run", run.id.clone()),
        ("when", format!("{} UTC", when(run.began))),
        ("night", run.night.map_or("by hand".into(), |night| night.to_string())),
        ("system", run.series.system.clone().unwrap_or_else(|| "the scenario's own".into())),
        ("scale", scale(run.series.minute_us)),
        ("notafter", format!("{}, {} build", run.version, run.series.profile)),
        ("commit", run.commit.as_ref().map_or("none".into(), whole)),
        ("evidence", run.folder.display().to_string()),
    ];
    for (name, value) in facts {
        let _ = writeln!(text, "  {name:9} {value}");
    }
    let mut checks = table(style, &["verdict", "check", "what was seen"]);
    for check in &run.result.checks {
        checks.add_row(vec![
            mark(word(&check.verdict)),
            check.name.as_str().into(),
            check.evidence.as_str().into(),
        ]);
    }
    let mut measured = table(style, &["measurement", ">value"]);
    for (name, value) in measurements(run) {
        measured.add_row([words_of(&name), shown(&name, value)]);
    }
    let _ = write!(text, "\nChecks\n{}\nMeasurements\n{}", lines(&checks), lines(&measured));
    text
}

/// Two runs, measurement by measurement. Ends with a newline.
pub fn compare(a: &Kept, b: &Kept, style: Style) -> String {
    let mut table = table(style, &["", ">A", ">B", ">difference", ">ratio"]);
    for (what, [a, b]) in facts(a, b) {
        table.add_row([what.to_owned(), a, b]);
    }
    for (name, [a, b]) in side_by_side(a, b) {
        let (difference, ratio) = change(a, b);
        table.add_row([
            words_of(&name),
            shown(&name, a),
            shown(&name, b),
            difference.map_or("-".into(), |by| format!("{}{}", sign(by), shown(&name, Some(by.abs())))),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
        ]);
    }
    let mut text =
        format!("A is {}, of {} UTC\nB is {}, of {} UTC\n", a.id, when(a.began), b.id, when(b.began));
    let other = unlike(&a.series, &b.series);
    if !other.is_empty() {
        let why = format!("These are no repeats of each other: {} differ.", words::list(&other, 5));
        text.push_str(&wrap(style, &why, 0));
    }
    text.push('\n');
    text.push_str(&lines(&table));
    let turned = turned(a, b);
    if !turned.is_empty() {
        text.push_str("\nChecks that say something else\n");
    }
    text.extend(turned.iter().map(|line| wrap(style, line, 2)));
    text
}

/// The same as one JSON object in one line: `schema`, `a` and `b` (as [`run_json`]), and `measurements`, a
/// list of `name`, `a`, `b`, `difference` and `ratio`; `null` is what one of them does not have.
pub fn compare_json(a: &Kept, b: &Kept) -> String {
    let measurements: Vec<_> = side_by_side(a, b)
        .into_iter()
        .map(|(name, [a, b])| {
            let (difference, ratio) = change(a, b);
            json!({"name": name, "a": a, "b": b, "difference": difference, "ratio": ratio})
        })
        .collect();
    json!({"schema": "notafter/compare/1", "a": object(a), "b": object(b), "measurements": measurements})
        .to_string()
}

/// A run as one JSON object in one line: what it was, and under `result` what `run --json` printed. Times
/// are microseconds, of the Unix epoch.
pub fn run_json(run: &Kept) -> String {
    object(run).to_string()
}

fn object(run: &Kept) -> Value {
    let Series { scenario, runtime, minute_us, profile, system } = &run.series;
    let commit = run.commit.as_ref().map(|commit| json!({"hash": commit.hash, "dirty": commit.dirty}));
    let result: Value = serde_json::from_str(&run.json).unwrap_or_default();
    json!({
        "run": run.id, "night": run.night, "began_us": run.began, "scenario": scenario, "runtime": runtime,
        "minute_us": minute_us, "profile": profile, "system": system, "version": run.version,
        "commit": commit, "evidence": run.folder, "result": result,
    })
}

/// The values as bars, the last one last.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "one of eight bars"
)]
pub fn sparkline(values: &[Micros]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let least = values.iter().copied().min().unwrap_or(0) as f64;
    let top = (values.iter().copied().max().unwrap_or(0) as f64).max(least * TOP).max(1.0);
    let bar = |value: &Micros| BARS[((*value as f64 - least) / (top - least) * 7.0).round() as usize];
    values.iter().map(bar).collect()
}

/// What differs besides measurements: the verdict, and what it was run with.
fn facts(a: &Kept, b: &Kept) -> Vec<(&'static str, [String; 2])> {
    let both = |fact: &dyn Fn(&Kept) -> String| [fact(a), fact(b)];
    vec![
        ("scenario", both(&|run| run.series.scenario.clone())),
        ("runtime", both(&|run| run.series.runtime.clone())),
        ("commit", both(&|run| run.commit.as_ref().map_or("-".into(), brief))),
        ("verdict", both(&|run| run.result.verdict.clone())),
        ("as expected", both(&|run| if run.result.expected { "yes" } else { "NO" }.into())),
    ]
}

fn unlike(a: &Series, b: &Series) -> Vec<&'static str> {
    let unlike = [
        ("the scenarios", a.scenario != b.scenario),
        ("the runtimes", a.runtime != b.runtime),
        ("the scales", a.minute_us != b.minute_us),
        ("the builds of notafter", a.profile != b.profile),
        ("the systems", a.system != b.system),
    ];
    unlike.into_iter().filter(|(_, unlike)| *unlike).map(|(what, _)| what).collect()
}

/// The checks with another verdict in one than in the other, a line each.
fn turned(a: &Kept, b: &Kept) -> Vec<String> {
    let of_b = |name: &str| b.result.checks.iter().find(|check| check.name == name);
    let pairs = a.result.checks.iter().filter_map(|a| Some((a, of_b(&a.name)?)));
    let turned = pairs.filter(|(a, b)| a.verdict != b.verdict);
    let line = |(a, b): (&CheckKept, &CheckKept)| {
        format!("{}: {} in A ({}), {} in B ({})", a.name, a.verdict, a.evidence, b.verdict, b.evidence)
    };
    turned.map(line).collect()
}

/// Every number among the measurements of a run, by its name in the JSON object.
fn measurements(run: &Kept) -> Vec<(String, Option<f64>)> {
    fn flatten(within: &str, object: &Map<String, Value>, into: &mut Vec<(String, Option<f64>)>) {
        for (name, value) in object {
            match value {
                Value::Object(object) => flatten(&format!("{within}{name}."), object, into),
                value => into.push((format!("{within}{name}"), value.as_f64())),
            }
        }
    }
    let mut found = Vec::new();
    let result: Value = serde_json::from_str(&run.json).unwrap_or_default();
    if let Some(object) = result["measurements"].as_object() {
        flatten("", object, &mut found);
    }
    found
}

/// The measurements of both, by name. One that only one of them has is none in the other.
fn side_by_side(a: &Kept, b: &Kept) -> Vec<(String, [Option<f64>; 2])> {
    let (of_a, mut of_b) = (measurements(a), measurements(b));
    let mut both: Vec<_> = of_a
        .into_iter()
        .map(|(name, a)| {
            let found = of_b.iter().position(|(other, _)| *other == name);
            let b = found.and_then(|index| of_b.remove(index).1);
            (name, [a, b])
        })
        .collect();
    both.extend(of_b.into_iter().map(|(name, b)| (name, [None, b])));
    both
}

fn change(a: Option<f64>, b: Option<f64>) -> (Option<f64>, Option<f64>) {
    let difference = a.zip(b).map(|(a, b)| b - a);
    // A ratio of leads, or to nothing, says nothing.
    let ratio = a.zip(b).filter(|(a, b)| *a > 0.0 && *b >= 0.0).map(|(a, b)| b / a);
    (difference, ratio)
}

/// A number as people read it: the name says whether it is a duration.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "exact for 285 years")]
fn shown(name: &str, value: Option<f64>) -> String {
    let Some(value) = value else { return "-".into() };
    if name.ends_with("_ms") {
        words::signed_span((value * 1e3).round() as i64)
    } else {
        words::count(value as u64)
    }
}

fn sign(value: f64) -> &'static str {
    match value {
        0.0 => "",
        0.0.. => "+",
        _ => "-",
    }
}

/// `records.lost` and `time_to_recover_ms` as people write them.
fn words_of(name: &str) -> String {
    let name = name.strip_suffix("_ms").unwrap_or(name);
    name.rsplit_once('.').map_or(name.to_owned(), |(of, what)| format!("{of} {what}")).replace('_', " ")
}

fn summary(run: &Kept) -> Summary {
    word(&run.result.verdict)
}

fn word(verdict: &str) -> Summary {
    let all = [Summary::Passed, Summary::Failed];
    all.into_iter().find(|summary| summary.word() == verdict).unwrap_or(Summary::Unknown)
}

/// A scenario, and the file of the system that it ran on, if not its own.
pub(super) fn name(series: &Series) -> String {
    match &series.system {
        None => series.scenario.clone(),
        Some(system) => format!("{} ({system})", series.scenario),
    }
}

/// The same in a column of this width: what is longer is broken where people would, and of a path the end is
/// enough.
fn tabled(series: &Series, most: usize) -> String {
    let scenario = broken(&series.scenario, most);
    match series.system.as_deref().map(|path| path.rsplit('/').next().unwrap_or(path)) {
        None => scenario,
        Some(file) => format!("{scenario}\n({})", words::brief(file, most.saturating_sub(2))),
    }
}

/// A name in lines that end with a slash or a hyphen, if it is longer than `most`.
fn broken(name: &str, most: usize) -> String {
    let mut lines = vec![String::new()];
    for part in name.split_inclusive('/') {
        let parts =
            if name.chars().count() > most { part.split_inclusive('-').collect() } else { vec![part] };
        for (index, part) in parts.into_iter().enumerate() {
            let last = lines.last_mut().expect("there is a first");
            // The family has a line of its own.
            let begins = index == 0 && last.ends_with('/') && name.chars().count() > most;
            if !last.is_empty() && (begins || last.chars().count() + part.chars().count() > most) {
                lines.push(part.to_owned());
            } else {
                last.push_str(part);
            }
        }
    }
    lines.join("\n")
}

/// How wide a column with names is; these columns, it among them, are not made narrower.
fn of_names(table: &mut comfy_table::Table, columns: &[usize], style: Style) -> usize {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    style.columns() - OTHERS
}

/// What a minute of the incident takes; a scenario need not be about one.
fn scale(minute: Micros) -> String {
    if minute == 0 { "none".into() } else { format!("1m={}", Span(Duration::from_micros(minute))) }
}

/// The end of an id, by which people call a run.
fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

fn when(micros: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let nanos = i128::from(micros) * 1_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(format).expect("every part is one of a date and time")
}

fn brief(commit: &Commit) -> String {
    let hash: String = commit.hash.chars().take(7).collect();
    format!("{hash}{}", if commit.dirty { "+" } else { "" })
}

fn whole(commit: &Commit) -> String {
    format!("{}{}", commit.hash, if commit.dirty { ", with changes" } else { "" })
}

pub(super) fn span(micros: Option<Micros>) -> String {
    micros.map_or("-".into(), words::span)
}
