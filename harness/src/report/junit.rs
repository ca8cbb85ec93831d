//! Runs as `JUnit` XML: a suite a run, a case a check and one for the scenario itself.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::{
    check::{Expect, Overall, Summary, Verdict},
    history::History,
    measure::Measurements,
};

use super::{facts, prose};

/// Runs as `JUnit` XML.
///
/// The case named like the scenario passes if the run gave the verdict that it must give. A check that
/// failed as it must is a success there with its evidence in the output, and one that could not tell is
/// an error.
///
/// # Errors
/// If the XML cannot be written.
pub fn junit<'h>(histories: impl IntoIterator<Item = &'h History>) -> Result<String, SerializeError> {
    let mut report = Report::new("notafter");
    report.add_test_suites(histories.into_iter().map(suite));
    report.to_string()
}

fn suite(history: &History) -> TestSuite {
    let measured = Measurements::of(history);
    let overall = Overall::of(&measured);
    let info = measured.reading.info;
    let (scenario, runtime) = info.map_or(("a run that died at once", "unknown"), |info| {
        (info.scenario.as_str(), info.runtime.as_str())
    });
    let mut suite = TestSuite::new(format!("{scenario} on {runtime}"));
    suite.set_time(Duration::from_micros(measured.reading.until));
    if let Some(info) = info {
        let seed = info.seed.to_string();
        let properties =
            [("run", &info.id), ("seed", &seed), ("rerun", &info.rerun), ("version", &info.version)];
        suite.add_properties(properties.map(|(name, value)| Property::new(name, value)));
    }
    if let Some(version) = facts::rejudged_by(&measured) {
        suite.add_property(Property::new("rejudged-by", version));
    }
    suite.add_property(Property::new("verdict", overall.verdict.word()));
    let must_fail = match info.map(|info| &info.expect) {
        Some(Expect::Fail(names)) => names.as_slice(),
        _ => &[],
    };
    suite.add_test_case(whole(scenario, &measured, &overall));
    for (name, verdict) in &overall.checks {
        suite.add_test_case(case(scenario, name, verdict, must_fail.contains(name)));
    }
    suite
}

/// The case of the scenario itself.
fn whole(scenario: &str, measured: &Measurements<'_>, overall: &Overall) -> TestCase {
    let status = match (prose::unexpected(measured, overall), overall.verdict) {
        (None, _) => TestCaseStatus::success(),
        (Some(why), Summary::Unknown) => non_success(NonSuccessKind::Error, why),
        (Some(why), _) => non_success(NonSuccessKind::Failure, why),
    };
    let mut case = TestCase::new(scenario, status);
    case.set_classname(scenario)
        .set_time(Duration::from_micros(measured.reading.until))
        .set_system_out(prose::summary(measured));
    case
}

fn case(scenario: &str, name: &str, verdict: &Verdict, must_fail: bool) -> TestCase {
    let evidence = verdict.evidence();
    let status = match (verdict.summary(), must_fail) {
        (Summary::Passed, false) | (Summary::Failed, true) => TestCaseStatus::success(),
        (Summary::Passed, true) => {
            non_success(NonSuccessKind::Failure, format!("passed, but must fail: {evidence}"))
        }
        (Summary::Failed, false) => non_success(NonSuccessKind::Failure, evidence.to_owned()),
        (Summary::Unknown, _) => non_success(NonSuccessKind::Error, evidence.to_owned()),
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(scenario).set_system_out(verdict.to_string());
    case.add_property(Property::new("verdict", verdict.summary().word()));
    case.add_property(Property::new("must", if must_fail { "fail" } else { "pass" }));
    case
}

fn non_success(kind: NonSuccessKind, why: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(why);
    status
}
