//! A run as Markdown, for the summary of a CI job.

use std::fmt::Write;

use crate::{check::Overall, history::History, measure::Measurements, words};

use super::{facts, prose, repair, timeline};

/// A summary of a job may have a megabyte for all of its steps; this leaves room for others.
const ROOM: usize = 64_000;
/// What a foot takes at most.
const FOOT: usize = 2_000;
/// More rows than this are only counted.
const ROWS: usize = 60;
/// A cell is cut to so many characters.
const CELL: usize = 400;

/// A run, finished or not, as Markdown below 64 kB: verdict and summary first, then what explains them, as
/// far as there is room.
pub fn markdown(history: &History) -> String {
    let measured = Measurements::of(history);
    let overall = Overall::of(&measured);
    let mut text = head(&measured, &overall);
    let sections = [
        ("Checks", checks(&overall)),
        ("Milestones", milestones(&measured)),
        (
            "Measurements",
            table(
                &["measured", "value"],
                facts::measurements(&measured).map(|(name, value)| [name.into(), value]),
            ),
        ),
        (
            "Operations",
            table(
                &["operation", "outages", "in all", "first failed", "last error"],
                facts::operations(&measured),
            ),
        ),
        ("Repair", table(&["step", "what", "began", "took", "went wrong"], repair::rows(&measured))),
    ];
    let mut left_out = Vec::new();
    for (title, section) in sections {
        if text.len() + section.len() + FOOT > ROOM {
            left_out.push(title);
        } else if !section.is_empty() {
            let _ = write!(text, "\n### {title}\n\n{section}");
        }
    }
    if !left_out.is_empty() {
        let _ =
            writeln!(text, "\nLeft out here: {}; the page of the run has all.", words::list(&left_out, 9));
    }
    if let Some(info) = measured.reading.info {
        let _ = writeln!(
            text,
            "\nAgain, with notafter {}:\n\n    {}",
            info.version,
            words::brief(&info.rerun, 1_000)
        );
    }
    text
}

fn head(measured: &Measurements<'_>, overall: &Overall) -> String {
    let (verdict, met) = (overall.verdict.word().to_uppercase(), facts::met(overall));
    let Some(info) = measured.reading.info else {
        return format!("## {verdict}, {met}: the run died before it said what it is\n");
    };
    let mut text =
        format!("## {verdict}, {met}: {} on {}, seed {}\n", cell(&info.scenario), info.runtime, info.seed);
    let why = prose::unexpected(measured, overall).or_else(|| prose::expected(measured, overall));
    if let Some(why) = why {
        let _ = writeln!(text, "\n**{}**", escaped(&words::brief(&why, 2_000)));
    }
    if let Some(rejudged) = facts::rejudged(measured) {
        let _ = writeln!(text, "\n{}", escaped(&rejudged));
    }
    let _ = writeln!(text, "\n{}", escaped(&words::brief(&prose::summary(measured), 4_000)));
    text
}

fn checks(overall: &Overall) -> String {
    let row = |(name, verdict): &(String, crate::check::Verdict)| {
        let word = verdict.summary().word();
        let word = if word == "failed" { "**FAILED**".into() } else { word.to_owned() };
        [word, name.clone(), verdict.evidence().to_owned()]
    };
    table(&["verdict", "check", "what was seen"], overall.checks.iter().map(row))
}

fn milestones(measured: &Measurements<'_>) -> String {
    match timeline::incident(measured) {
        Some((incident, _)) => {
            let rows = timeline::rows(measured).into_iter();
            let rows = rows.map(|row| [row.then(), row.clock, row.run, row.scaled, row.what]);
            let then = cell(&incident.title);
            table(&[&then, "clock then", "this run", "in incident minutes", "what"], rows)
        }
        None => {
            table(&["this run", "what"], timeline::rows(measured).into_iter().map(|row| [row.run, row.what]))
        }
    }
}

/// A table of these rows, as many as there is room for; empty without a row.
pub(super) fn table<const N: usize>(
    header: &[&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut text = String::new();
    let mut more = 0_u64;
    for (index, row) in rows.into_iter().enumerate() {
        if index == 0 {
            let _ = writeln!(text, "| {} |\n|{}", header.join(" | "), " --- |".repeat(N));
        }
        if index < ROWS {
            let _ = writeln!(text, "| {} |", row.map(|one| cell(&one)).join(" | "));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let _ = writeln!(text, "\n{} more are in the page.", words::count(more));
    }
    text
}

/// A text that stays within its cell. What a check shows as code or bold is left as it is.
fn cell(text: &str) -> String {
    escaped(&words::brief(text, CELL)).replace('|', "\\|")
}

/// A text that brings no element of its own.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{Event, Operation, What, script::Script},
        report::tests::{as_it_was, cut_short},
    };

    #[test]
    fn a_summary_of_a_job_says_what_broke_and_why_the_verdict_is_what_it_is() {
        insta::assert_snapshot!(markdown(&as_it_was()));
    }

    #[test]
    fn a_summary_of_a_run_that_was_cut_short_says_so_first() {
        let text = markdown(&cut_short());
        assert!(text.starts_with("## UNKNOWN, NOT as expected: expiry/server-leaf"), "{text}");
    }

    #[test]
    fn an_empty_history_has_a_summary() {
        assert!(markdown(&History::default()).starts_with("## UNKNOWN"));
    }

    #[test]
    fn a_summary_stays_below_64_kb_whatever_a_run_says() {
        let mut history = Script::outage().history();
        for index in 0..2_000_u64 {
            let error = Some(format!("{index} | <b>{}", "very long words ".repeat(100)));
            let name = format!("operation-{index}-{}", "x".repeat(300));
            let operation = Operation { name, user_facing: true, took: 900, error };
            history.events.push(Event { at: 2_000_000 + index, what: What::Operation(operation) });
        }
        let text = markdown(&history);
        assert!(text.len() < ROOM, "{}", text.len());
        assert!(!text.contains("<b>"));
        assert!(text.contains("1,941 more are in the page.") || text.contains("Left out here: Operations"));
    }
}
