//! All checks of a run together, and whether that is what the scenario must give.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    history::{Event, History, Phase, What},
    measure::Measurements,
};

use super::{Check, Expect, Verdict};

/// The checks without which no other check means anything.
const CONTROLS: [&str; 2] = ["steady", "landed"];

/// What all checks say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overall {
    /// In one word.
    pub verdict: Summary,
    /// Every check by name, in the scenario's order.
    pub checks: Vec<(String, Verdict)>,
    /// Whether the scenario gave the verdict that it must give.
    pub as_expected: bool,
    /// The phase of the run that went wrong, with the words; then the verdict is unknown.
    pub broken: Option<String>,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Every check passed.
    Passed,
    /// A check failed.
    Failed,
    /// The run did not go its way, a control does not hold, or no check failed and one is unknown.
    Unknown,
}

impl Summary {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Asks every check. One that panics is unknown.
pub fn judge_all(history: &History, checks: &[Box<dyn Check>]) -> Overall {
    let measured = Measurements::of(history);
    let verdicts = checks
        .iter()
        .map(|check| {
            let judged = catch_unwind(AssertUnwindSafe(|| check.judge_measured(&measured)));
            let verdict = judged.unwrap_or_else(|panic| {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
                Verdict::Unknown(format!("the check itself panicked: {words}"))
            });
            (check.name().to_owned(), verdict)
        })
        .collect();
    Overall::from_verdicts(&measured, verdicts)
}

/// The same history with the verdicts of these checks in place of its own, and with this expectation. A run
/// that was never judged stays so: its history has no end that could be judged.
#[must_use]
pub fn rejudged(history: &History, checks: &[Box<dyn Check>], expect: &Expect, version: &str) -> History {
    let mut again = history.clone();
    again.events.retain(|event| !matches!(event.what, What::Judged { .. } | What::Rejudged { .. }));
    for event in &mut again.events {
        if let What::Run(info) = &mut event.what {
            info.expect = expect.clone();
        }
    }
    let overall = judge_all(&again, checks);
    let at = again.began(Phase::Judge).or(again.events.last().map(|event| event.at)).unwrap_or(0);
    let judged = overall.checks.into_iter().map(|(check, verdict)| What::Judged { check, verdict });
    let whats = [What::Rejudged { version: version.into() }].into_iter().chain(judged);
    again.events.extend(whats.map(|what| Event { at, what }));
    again
}

impl Overall {
    /// What the checks said when the history was judged. A run that was never judged is unknown.
    pub fn of(measured: &Measurements<'_>) -> Self {
        let verdicts = measured
            .reading
            .rare
            .iter()
            .filter_map(|event| match &event.what {
                What::Judged { check, verdict } => Some((check.clone(), verdict.clone())),
                _ => None,
            })
            .collect();
        let mut overall = Self::from_verdicts(measured, verdicts);
        if measured.course.phase(Phase::Judge).is_none() {
            let died = measured.course.phases.last().map_or("its first phase", |phase| phase.phase.name());
            overall.broken.get_or_insert(format!("the run ended in phase `{died}` and was never judged"));
            overall.verdict = Summary::Unknown;
            overall.as_expected = false;
        }
        overall
    }

    fn from_verdicts(measured: &Measurements<'_>, checks: Vec<(String, Verdict)>) -> Self {
        let broken = measured.course.broken().map(|phase| {
            format!("phase `{}` went wrong: {}", phase.phase.name(), phase.error.unwrap_or_default())
        });
        // A check may say that it is a failure; if none does, nobody has looked.
        let failed = checks.iter().any(|(_, verdict)| verdict.summary() == Summary::Failed);
        let broken = broken.or_else(|| not_recovered(measured).filter(|_| !failed));
        let expect = measured.reading.info.map(|info| &info.expect);
        Self {
            verdict: if broken.is_some() { Summary::Unknown } else { summary(&checks) },
            as_expected: broken.is_none() && expect.is_some_and(|expect| meets(expect, &checks)),
            checks,
            broken,
        }
    }
}

/// What did not work when the recover phase had lasted as long as it may.
fn not_recovered(measured: &Measurements<'_>) -> Option<String> {
    measured.reading.rare.iter().find_map(|event| match &event.what {
        What::NotRecovered { why } => Some(format!("it did not recover, and no check failed for it: {why}")),
        _ => None,
    })
}

fn summary(checks: &[(String, Verdict)]) -> Summary {
    let any = |wanted, of: &dyn Fn(&str) -> bool| {
        checks.iter().any(|(name, verdict)| verdict.summary() == wanted && of(name))
    };
    if any(Summary::Unknown, &|name| CONTROLS.contains(&name)) {
        Summary::Unknown
    } else if any(Summary::Failed, &|_| true) {
        Summary::Failed
    } else if any(Summary::Unknown, &|_| true) {
        Summary::Unknown
    } else {
        Summary::Passed
    }
}

/// Exactly the checks that must fail have failed, and every other one passed.
fn meets(expect: &Expect, checks: &[(String, Verdict)]) -> bool {
    let must_fail: &[String] = match expect {
        Expect::Pass => &[],
        Expect::Fail(names) => names,
    };
    must_fail.iter().all(|name| checks.iter().any(|(check, _)| check == name))
        && checks.iter().all(|(name, verdict)| {
            let wanted = if must_fail.contains(name) { Summary::Failed } else { Summary::Passed };
            verdict.summary() == wanted
        })
}
