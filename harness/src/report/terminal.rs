//! A run for a terminal: somebody tired who reads only this can say what broke, for how long, what
//! repaired it, and whether anything was lost.

use crate::{check::Overall, history::History, measure::Measurements};

use super::{
    Style, facts, prose, repair,
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
    let met = facts::met(overall);
    let Some(info) = measured.reading.info else {
        return format!("{verdict}, {met}: the run died before it said what it is\n");
    };
    let mut text = format!("{verdict}, {met}: {} on {}, seed {}\n", info.scenario, info.runtime, info.seed);
    let why = prose::unexpected(measured, overall).or_else(|| prose::expected(measured, overall));
    if let Some(why) = why {
        text.push_str(&wrap(style, &why, 0));
    }
    if let Some(rejudged) = facts::rejudged(measured) {
        text.push_str(&wrap(style, &rejudged, 0));
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
    let header = ["operation", ">outages", ">in all", ">first failed", "last error"];
    let mut table = table(style, &header);
    table.add_rows(facts::operations(measured));
    format!("Operations\n{}", lines(&table))
}

fn measurements(measured: &Measurements<'_>, style: Style) -> String {
    let mut table = table(style, &["measured", "value"]);
    for (name, value) in facts::measurements(measured) {
        table.add_row([name.to_owned(), value]);
    }
    format!("Measurements\n{}", lines(&table))
}

/// Commands are not wrapped, so that they can be copied.
fn foot(measured: &Measurements<'_>) -> String {
    let Some(info) = measured.reading.info else { return String::new() };
    format!(
        "Again:     {}\nEvidence:  notafter report {}\nVersion:   notafter {}\n",
        info.rerun, info.id, info.version
    )
}
