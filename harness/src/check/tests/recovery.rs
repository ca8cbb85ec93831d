//! Detection, recovery and drain.

use super::*;

#[test]
fn recovery_is_judged_from_the_last_repair_step() {
    let check = recovers_within(ms(10));
    passes(
        &*check,
        Script::outage(),
        "10 ms ± 5 ms, 10 ms allowed; what did it: step 1 of the runbook: rotate",
    );
    fails(&*recovers_within(ms(9)), Script::outage(), "10 ms ± 5 ms");
    passes(&*check, Script::expiry(), "nothing failed");
    let before_the_end = Script::outage().step(1, StepKind::Restart, "restart search", 4_300..4_400);
    passes(&*recovers_within(ms(0)), before_the_end, "0 ms ± 5 ms");
}

#[test]
fn a_relapse_moves_the_recovery() {
    let script = Script::outage().fails("search", 5_000..5_100, "again");
    fails(&*recovers_within(ms(10)), script, "900 ms ± 5 ms");
    let hiccup = Script::outage().fails("search", 4_400..4_405, "again");
    fails(&*recovers_within(ms(10)), hiccup, "205 ms ± 5 ms");
    let later = Script::outage().fails("search", 6_200..6_300, "again");
    passes(&*recovers_within(ms(10)), later, "it failed again 1.99 s later");
}

#[test]
fn recovery_needs_every_hop_and_background_operation() {
    let hop = Script::outage().refuses("search", "archive", 4_000..4_230, Refusal::Expired);
    fails(&*recovers_within(ms(10)), hop, "30 ms ± 5 ms");
    let background = Script::outage().background("retention").fails("retention", 2_000..4_240, "down");
    fails(&*recovers_within(ms(10)), background, "40 ms ± 5 ms");
}

#[test]
fn recovery_is_unknown_when_watching_ended_too_early() {
    let lasting = Script::outage().fails("search", EXPIRY..9_000, "down");
    fails(&*recovers_within(ms(1_000)), lasting.clone(), "had not recovered 2.8 s after the repair");
    cannot_tell(&*recovers_within(ms(2_500)), lasting, "had not recovered when watching ended, 2.8 s after");
    // The last failure is less than a window before the end.
    let short = Script::outage().fails("search", EXPIRY..6_600, "down");
    cannot_tell(&*recovers_within(ms(2_500)), short, "had not recovered when watching ended");
    cannot_tell(&*recovers_within(ms(10)), jumped(Script::outage()), "clock jumped");
    cannot_tell(&*recovers_within(ms(10)), unsteady(Script::outage()), "steady phase never ended");
    cannot_tell(&*recovers_within(ms(10)), Script::new(), "ever tried");
}

#[test]
fn a_drain_is_judged_from_the_recovery() {
    let drained = Script::outage().at(6_210, What::Drained);
    passes(&*drains_within(ms(2_000)), drained.clone(), "2 s after the recovery, 2 s allowed");
    fails(&*drains_within(ms(1_999)), drained.clone(), "2 s after the recovery");
    fails(&*drains_within(ms(9_999)), Script::outage(), "never whole");
    passes(&*drains_within(ms(0)), Script::expiry().at(6_210, What::Drained), "nothing failed");
    cannot_tell(&*drains_within(ms(0)), Script::outage().dies(5_500), "before the drain phase");
    cannot_tell(&*drains_within(ms(0)), drained.fails("search", 2_000..9_000, "down"), "never recovered");
    cannot_tell(&*drains_within(ms(0)), jumped(Script::outage()), "clock jumped");
}

#[test]
fn a_fault_is_detected_by_whoever_turns_red_before_the_repair() {
    let red = |ms| Script::outage().health(ms, "archive", &["own credential: certificate expired"]);
    passes(&*detected_within(ms(50)), red(2_030), "noticed after 30 ms, 50 ms allowed");
    fails(&*detected_within(ms(20)), red(2_030), "noticed after 30 ms only, 20 ms allowed");
    // The repair itself makes services red.
    fails(&*detected_within(ms(500)), red(4_100), "nobody noticed for 2 s, until the repair began");
    cannot_tell(&*detected_within(ms(3_000)), red(4_100), "nobody had noticed when the repair began");
    cannot_tell(&*detected_within(ms(50)), Script::new(), "no credential of the fault began to hurt");
    cannot_tell(&*detected_within(ms(50)), jumped(red(2_030)), "the wall clock jumped");
}

#[test]
fn a_run_that_did_not_recover_is_never_a_pass_but_may_be_a_failure() {
    let lost = Script::expiry().at(5_900, What::NotRecovered { why: "search -> archive: refused".into() });
    let overall = judge_all(&lost.clone().history(), &[steady(), landed()]);
    assert_eq!((overall.verdict, overall.as_expected), (Summary::Unknown, false));
    assert!(overall.broken.is_some_and(|words| words.contains("it did not recover")));
    let failing = lost.unreachable("search", "archive", 2_000..2_100);
    let overall = judge_all(&failing.history(), &[steady(), landed(), keeps_serving()]);
    assert_eq!((overall.verdict, overall.broken), (Summary::Failed, None));
}
