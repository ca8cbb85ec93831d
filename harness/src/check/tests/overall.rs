//! The verdict of a whole run.

use super::*;

struct Panics;

impl Check for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn judge(&self, _: &History) -> Verdict {
        panic!("out of {}", "range");
    }
}

#[test]
fn a_check_that_panics_is_unknown() {
    let overall = judge_all(&Script::outage().history(), &[Box::new(Panics), landed()]);
    assert_eq!(overall.verdict, Summary::Unknown);
    assert_eq!(overall.checks[0].1, Verdict::Unknown("the check itself panicked: out of range".into()));
    assert!(!overall.as_expected);
}

fn judged(expect: Expect, script: Script, checks: &[Box<dyn Check>]) -> Overall {
    let mut script = script;
    script.info.expect = expect;
    judge_all(&script.history(), checks)
}

#[test]
fn a_scenario_gives_what_it_must_only_if_exactly_those_checks_fail() {
    let checks = || [landed(), outage_within(ms(0)), nothing_lost()];
    let script = || Script::outage().records(1_000..2_000);
    let expect = |names: &[&str]| Expect::Fail(names.iter().map(|&name| name.to_owned()).collect());
    let given = |expect, script| {
        let overall = judged(expect, script, &checks());
        (overall.verdict, overall.as_expected)
    };
    assert_eq!(given(expect(&["outage-within"]), script()), (Summary::Failed, true));
    assert_eq!(given(Expect::Pass, script()), (Summary::Failed, false));
    assert_eq!(given(expect(&["outage-within", "nothing-lost"]), script()), (Summary::Failed, false));
    assert_eq!(given(expect(&["outage-within", "drains-within"]), script()), (Summary::Failed, false));
    let unaccounted = given(expect(&["outage-within"]), Script::outage());
    assert_eq!(unaccounted, (Summary::Failed, false), "an unknown check is never as expected");
    let well = Script::expiry().records(1_000..2_000);
    assert_eq!(given(Expect::Pass, well), (Summary::Passed, true));
}

#[test]
fn without_its_controls_a_run_is_unknown_whatever_fails() {
    let never = Script::outage().without(|what| matches!(what, What::Landed(_)));
    let overall = judged(Expect::Pass, never, &[landed(), outage_within(ms(0))]);
    assert_eq!((overall.verdict, overall.as_expected), (Summary::Unknown, false));
}

#[test]
fn a_phase_that_went_wrong_makes_the_run_unknown_and_is_named() {
    let broken = Script::expiry().breaks(Phase::Repair, "archive: no space left");
    let overall = judged(Expect::Pass, broken, &[landed(), outage_within(ms(0))]);
    assert_eq!((overall.verdict, overall.as_expected), (Summary::Unknown, false));
    assert_eq!(overall.broken.as_deref(), Some("phase `repair` went wrong: archive: no space left"));
}

#[test]
fn a_run_that_was_never_judged_is_unknown() {
    let history = Script::expiry().dies(3_500).history();
    let overall = Overall::of(&Measurements::of(&history));
    assert_eq!((overall.verdict, overall.as_expected), (Summary::Unknown, false));
    assert_eq!(overall.broken.as_deref(), Some("the run ended in phase `repair` and was never judged"));
}
