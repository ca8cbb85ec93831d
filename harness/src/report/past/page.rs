//! Runs of the past as one HTML file: a row a scenario, how its durations went, and where its pages are.

use askama::Template;

use super::{by_series, points, scale, short, span, when};
use crate::{history::Micros, past::Kept, regression, words};

/// So many bars are drawn of a trend: a month.
const BARS: usize = 30;
/// So many runs of a scenario are listed, the latest first.
const LISTED: usize = 50;
/// How high the highest bar is, pixels.
const HEIGHT: u64 = 24;
/// How wide a bar is with the space beside it, pixels.
const BAR: usize = 6;
/// The highest bar is at least so much above the lowest, per cent: what changes by less stays low.
const TOP: u64 = 130;

/// The runs as a page, the latest last. `link` says where the page of a run is; none if it is gone.
///
/// # Panics
/// Never: the template is checked when this is built, and a text takes everything.
pub fn page(runs: &[Kept], link: impl Fn(&Kept) -> Option<String>) -> String {
    let series = by_series(runs).into_values().map(|runs| Row::of(&runs, &link)).collect();
    let good = runs.iter().filter(|run| run.result.expected).count();
    let page = Page {
        what: format!("{}, {good} of them as expected", words::counted(runs.len() as u64, "run")),
        since: runs.first().map_or_else(String::new, |run| when(run.began)),
        until: runs.last().map_or_else(String::new, |run| when(run.began)),
        series,
    };
    page.render().expect("a text takes everything")
}

#[derive(Template)]
#[template(path = "history.html", whitespace = "minimize")]
struct Page {
    what: String,
    since: String,
    until: String,
    series: Vec<Row>,
}

/// One scenario, under the same conditions.
struct Row {
    scenario: String,
    /// Where and how it ran.
    conditions: String,
    latest: &'static str,
    met: &'static str,
    good: usize,
    count: usize,
    trends: Vec<Trend>,
    runs: Vec<Run>,
    more: usize,
}

/// What became of a duration.
struct Trend {
    name: &'static str,
    latest: String,
    median: String,
    /// All values in words, for those who do not see the bars.
    said: String,
    width: usize,
    bars: Vec<Bar>,
}

struct Bar {
    x: usize,
    y: u64,
    height: u64,
    title: String,
}

/// One run, with the way to its page.
struct Run {
    id: String,
    when: String,
    verdict: &'static str,
    met: &'static str,
    link: Option<String>,
}

impl Row {
    fn of(runs: &[&Kept], link: &impl Fn(&Kept) -> Option<String>) -> Self {
        let last = runs[runs.len() - 1];
        let system = last.series.system.as_ref().map(|system| format!(", on {system}")).unwrap_or_default();
        let scale = match last.series.minute_us {
            0 => String::new(),
            minute => format!(", {}", scale(minute)),
        };
        let latest = runs.iter().rev().take(LISTED).map(|run| Run::of(run, link));
        Self {
            scenario: last.series.scenario.clone(),
            conditions: format!("on {}{scale}, {} build{system}", last.series.runtime, last.series.profile),
            latest: super::summary(last).word(),
            met: met(last),
            good: runs.iter().filter(|run| run.result.expected).count(),
            count: runs.len(),
            trends: points(runs).into_iter().map(|(name, points)| Trend::of(name, &points)).collect(),
            runs: latest.collect(),
            more: runs.len().saturating_sub(LISTED),
        }
    }
}

impl Trend {
    fn of(name: &'static str, points: &[Micros]) -> Self {
        let shown = &points[points.len().saturating_sub(BARS)..];
        let least = shown.iter().copied().min().unwrap_or(0);
        let most = shown.iter().copied().max().unwrap_or(0).max(least * TOP / 100).max(least + 1);
        let bar = |(index, value): (usize, &Micros)| {
            // Two pixels at least, so that the least can be pointed at.
            let height = 2 + (value - least) * (HEIGHT - 2) / (most - least);
            Bar { x: index * BAR, y: HEIGHT - height, height, title: words::span(*value) }
        };
        let said: Vec<String> = shown.iter().copied().map(words::span).collect();
        Self {
            name,
            latest: span(points.last().copied()),
            median: span(regression::median(points.iter().copied())),
            said: said.join(", "),
            width: shown.len() * BAR,
            bars: shown.iter().enumerate().map(bar).collect(),
        }
    }
}

impl Run {
    fn of(run: &Kept, link: &impl Fn(&Kept) -> Option<String>) -> Self {
        Self {
            id: short(&run.id).to_owned(),
            when: when(run.began),
            verdict: super::summary(run).word(),
            met: met(run),
            link: link(run),
        }
    }
}

fn met(run: &Kept) -> &'static str {
    if run.result.expected { "as expected" } else { "NOT as expected" }
}
