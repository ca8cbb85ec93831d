//! A night for people and machines: what got worse, and every duration beside the nights before.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::{
    Style,
    markdown::{self, escaped},
    past::{name, span, sparkline},
    table::{headline, lines, table, wrap},
};
use crate::{
    check::Summary,
    past::{Judged, Lasted, Night},
    regression::{Comparison, Pace, Turn},
    words,
};

/// Names the shape of the JSON object; it changes when a field goes or means something else.
pub const SCHEMA: &str = "notafter/night/1";

/// So many nights are shown in a trend.
const SHOWN: usize = 30;

/// What is reported: a night, and what is missing of it.
#[derive(Clone, Copy, Debug)]
pub struct Nightly<'a> {
    /// Its number.
    pub night: Night,
    /// What was judged.
    pub judged: &'a [Judged],
    /// Runs that were not begun: the limit was reached, or a person interrupted.
    pub left_out: &'a [String],
    /// Scenarios that a runtime cannot run, with the reason.
    pub skipped: &'a [String],
    /// Runs that did not give a result, with the reason.
    pub broken: &'a [String],
}

impl Nightly<'_> {
    /// Failed if something got worse; unknown if nothing did, but something is missing.
    pub fn verdict(&self) -> Summary {
        let unknown = self.judged.iter().any(|judged| judged.turn == Turn::Unknown);
        if self.judged.iter().any(Judged::regressed) {
            Summary::Failed
        } else if unknown || !self.left_out.is_empty() || !self.broken.is_empty() {
            Summary::Unknown
        } else {
            Summary::Passed
        }
    }

    /// For a terminal. Ends with a newline.
    pub fn render(&self, style: Style) -> String {
        let mut text = format!("{}: {}\n", headline(style, self.verdict()), self.title());
        for worse in self.worse() {
            text.push_str(&wrap(style, &worse, 2));
        }
        if !self.judged.iter().any(Judged::regressed) {
            text.push_str("  Nothing got worse.\n");
        }
        if let Some(more) = self.judged.iter().filter_map(more).max() {
            let more = words::counted(more as u64, "more night");
            text.push_str(&wrap(
                style,
                &format!("It takes up to {more} before every duration can be judged."),
                0,
            ));
        }
        let _ = write!(text, "\nTonight beside the nights before\n{}", lines(&self.table(style)));
        let legend = "Usual is the median of the normal nights, latest the middle one of the last three nights, \
                      which are judged together. A bar is a night, tonight the last.";
        text.push_str(&wrap(style, legend, 0));
        for (title, some) in self.missing() {
            if !some.is_empty() {
                let _ = writeln!(text, "\n{title}");
                text.extend(some.iter().map(|one| wrap(style, one, 2)));
            }
        }
        text
    }

    /// As Markdown, for the summary of a CI job; below 64 kB for up to a hundred scenarios.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}: {}\n\n", self.verdict().word().to_uppercase(), self.title());
        for worse in self.worse() {
            let _ = writeln!(text, "- **{}**", escaped(&worse));
        }
        if !self.judged.iter().any(Judged::regressed) {
            text.push_str("Nothing got worse.\n");
        }
        let rows = self.judged.iter().flat_map(|judged| {
            let title = format!("{} on {}", name(&judged.series), judged.series.runtime);
            let verdict =
                [title.clone(), "verdict".into(), String::new(), String::new(), says(&judged.turn).into()];
            let durations = judged.durations.iter().map(move |lasted| {
                let [what, tonight, _, usual, _, says, trend] = row(lasted);
                [title.clone(), format!("{} {trend}", what.trim()), tonight, usual, says]
            });
            std::iter::once(verdict).chain(durations)
        });
        let _ =
            write!(text, "\n{}", markdown::table(&["scenario", "what", "tonight", "usual", "says"], rows));
        for (title, some) in self.missing() {
            if !some.is_empty() {
                let _ = writeln!(text, "\n### {title}\n");
                text.extend(some.iter().map(|one| format!("- {}\n", escaped(&words::brief(one, 400)))));
            }
        }
        text
    }

    /// What there is no verdict of, by the reason.
    fn missing(&self) -> [(&'static str, &[String]); 3] {
        [("Left out", self.left_out), ("Skipped", self.skipped), ("No result", self.broken)]
    }

    fn title(&self) -> String {
        let runs: usize = self.judged.iter().map(|judged| judged.runs).sum();
        format!(
            "night {}, {} of {}",
            self.night,
            words::counted(runs as u64, "run"),
            words::counted(self.judged.len() as u64, "scenario")
        )
    }

    /// As one JSON object in one line: `schema`, `night`, `verdict`, `scenarios`, `left_out`, `skipped` and
    /// `broken`. Durations are milliseconds; `null` is what nobody can judge yet.
    pub fn json(&self) -> String {
        let scenarios: Vec<_> = self.judged.iter().map(object).collect();
        json!({
            "schema": SCHEMA, "night": self.night, "verdict": self.verdict().word(), "scenarios": scenarios,
            "left_out": self.left_out, "skipped": self.skipped, "broken": self.broken,
        })
        .to_string()
    }

    /// As `JUnit` XML: a suite a scenario and runtime, a case for the verdict and one for each duration.
    /// What nobody can judge yet is skipped; what is missing is an error.
    ///
    /// # Errors
    /// If the XML cannot be written.
    pub fn junit(&self) -> Result<String, SerializeError> {
        let mut report = Report::new("notafter nightly");
        report.add_test_suites(self.judged.iter().map(suite));
        let missing: Vec<_> = self.left_out.iter().chain(self.broken).collect();
        if !missing.is_empty() {
            let mut suite = TestSuite::new("missing");
            for one in missing {
                suite.add_test_case(case(
                    "nightly",
                    one,
                    non_success(NonSuccessKind::Error, "no result".into()),
                ));
            }
            report.add_test_suite(suite);
        }
        report.to_string()
    }

    /// What got worse, a sentence each.
    fn worse(&self) -> Vec<String> {
        let mut worse = Vec::new();
        for judged in self.judged {
            let of = format!("{} on {}", name(&judged.series), judged.series.runtime);
            if let Turn::Turned(_) = &judged.turn {
                worse.push(format!("{of}: {}", turned(judged)));
            }
            let slower = judged.durations.iter().filter_map(|lasted| match lasted.pace {
                Pace::Slower(comparison) => Some(format!("{of}: {}", slower(lasted, comparison))),
                _ => None,
            });
            worse.extend(slower);
        }
        worse
    }

    fn table(&self, style: Style) -> comfy_table::Table {
        let mut table = table(style, &["", ">tonight", ">latest", ">usual", ">p", "says", "nights"]);
        for judged in self.judged {
            let runs = words::counted(judged.runs as u64, "run");
            let title = format!("{} on {}", name(&judged.series), judged.series.runtime);
            table.add_row([title.as_str(), &runs, "", "", "", says(&judged.turn)]);
            for lasted in &judged.durations {
                table.add_row(row(lasted));
            }
        }
        table
    }
}

fn says(turn: &Turn) -> &'static str {
    match turn {
        Turn::Unknown => "unknown",
        Turn::AsExpected => "as expected",
        Turn::AsBefore => "as before",
        Turn::Turned(_) => "TURNED",
    }
}

/// Name, tonight, latest, usual, probability, what that says, and the nights as bars.
fn row(lasted: &Lasted) -> [String; 7] {
    let trend = sparkline(&lasted.nights[lasted.nights.len().saturating_sub(SHOWN)..]);
    let [latest, usual, p, says] = match lasted.pace {
        Pace::Unknown { more } => {
            [String::new(), String::new(), String::new(), format!("unknown, {more} more")]
        }
        Pace::Usual(at) => [words::span(at.now), words::span(at.usual), probability(at.p), "as usual".into()],
        Pace::Slower(at) => [words::span(at.now), words::span(at.usual), probability(at.p), "SLOWER".into()],
    };
    [format!("  {}", lasted.name), span(lasted.nights.last().copied()), latest, usual, p, says, trend]
}

/// Three digits are enough to see which side of the level it is on.
fn probability(p: f64) -> String {
    if p < 0.001 { "<0.001".into() } else { format!("{p:.3}") }
}

fn turned(judged: &Judged) -> String {
    match &judged.turn {
        Turn::Turned(checks) if judged.before == 0 => {
            format!("the verdict is not the one that it must give; {}", about(checks))
        }
        Turn::Turned(checks) => {
            format!("the verdict turned after {}; {}", nights(judged.before), about(checks))
        }
        _ => String::new(),
    }
}

fn about(checks: &[String]) -> String {
    match checks {
        [] => "no check failed that must fail".into(),
        some => format!("it is about {}", words::list(some, 5)),
    }
}

fn nights(count: usize) -> String {
    words::counted(count as u64, "night")
}

fn slower(lasted: &Lasted, at: Comparison) -> String {
    let Comparison { usual, now, p } = at;
    let times = if usual > 0 { format!(", {:.2} times as long", ratio(at)) } else { String::new() };
    format!(
        "{} {} in the last three nights, usually {}{times} (rank-sum test, p {})",
        lasted.name,
        words::span(now),
        words::span(usual),
        probability(p)
    )
}

fn ratio(at: Comparison) -> f64 {
    words::millis(at.now) / words::millis(at.usual)
}

/// How many more nights a scenario needs.
fn more(judged: &Judged) -> Option<usize> {
    let more = judged.durations.iter().filter_map(|lasted| match lasted.pace {
        Pace::Unknown { more } => Some(more),
        _ => None,
    });
    more.max()
}

fn object(judged: &Judged) -> Value {
    let Judged { series, runs, before, turn, durations } = judged;
    let (verdict, checks): (_, &[String]) = match turn {
        Turn::Unknown => ("unknown", &[]),
        Turn::AsExpected => ("as-expected", &[]),
        Turn::AsBefore => ("as-before", &[]),
        Turn::Turned(checks) => ("turned", checks),
    };
    let durations: Vec<_> = durations
        .iter()
        .map(|Lasted { name, pace, nights }| {
            let nights: Vec<_> = nights.iter().copied().map(words::millis).collect();
            let (says, more, at) = match *pace {
                Pace::Unknown { more } => ("unknown", Some(more), None),
                Pace::Usual(at) => ("usual", None, Some(at)),
                Pace::Slower(at) => ("slower", None, Some(at)),
            };
            json!({
                "name": name, "says": says, "more_nights": more, "p": at.map(|at| at.p),
                "latest_ms": at.map(|at| words::millis(at.now)),
                "usual_ms": at.map(|at| words::millis(at.usual)), "nights_ms": nights,
            })
        })
        .collect();
    json!({
        "scenario": series.scenario, "runtime": series.runtime, "system": series.system, "runs": runs,
        "nights_before": before, "verdict": verdict, "turned_checks": checks, "durations": durations,
    })
}

fn suite(judged: &Judged) -> TestSuite {
    let scenario = name(&judged.series);
    let mut suite = TestSuite::new(format!("{scenario} on {}", judged.series.runtime));
    let verdict = match &judged.turn {
        Turn::AsExpected | Turn::AsBefore => TestCaseStatus::success(),
        Turn::Unknown => non_success(NonSuccessKind::Error, "half of the runs or more could not tell".into()),
        Turn::Turned(_) => non_success(NonSuccessKind::Failure, turned(judged)),
    };
    suite.add_test_case(case(&scenario, "verdict", verdict));
    for lasted in &judged.durations {
        let status = match lasted.pace {
            Pace::Usual(_) => TestCaseStatus::success(),
            Pace::Slower(at) => non_success(NonSuccessKind::Failure, slower(lasted, at)),
            Pace::Unknown { more } => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(format!("unknown, {} needed", words::counted(more as u64, "more night")));
                status
            }
        };
        suite.add_test_case(case(&scenario, lasted.name, status));
    }
    suite
}

fn case(class: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn non_success(kind: NonSuccessKind, why: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(why);
    status
}
