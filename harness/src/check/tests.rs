//! Every check on hand-written histories: one that passes, one that fails, one that cannot tell.

use std::time::Duration;

use crate::history::{
    AlertRule, Outcome, Phase, ProcessChange, Question, Record, Refusal, Side, StepKind, Way, What,
    script::{EXPIRY, JUDGED, Script},
};

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[track_caller]
fn passes(check: &dyn Check, script: Script, words: &str) {
    said(Summary::Passed, check, script, words);
}

#[track_caller]
fn fails(check: &dyn Check, script: Script, words: &str) {
    said(Summary::Failed, check, script, words);
}

#[track_caller]
fn cannot_tell(check: &dyn Check, script: Script, words: &str) {
    said(Summary::Unknown, check, script, words);
}

#[track_caller]
fn said(wanted: Summary, check: &dyn Check, script: Script, words: &str) {
    let verdict = check.judge(&script.history());
    assert!(verdict.summary() == wanted && verdict.evidence().contains(words), "{}: {verdict}", check.name());
}

fn jumped(script: Script) -> Script {
    script.at(3_500, What::ClockJumped { by_ms: 60_000 })
}

fn unsteady(script: Script) -> Script {
    script.without(|what| matches!(what, What::PhaseEnded { phase: Phase::Steady, .. }))
}

#[test]
fn steady_holds_when_everything_worked_before_the_fault() {
    let process = ProcessChange::Spawned { pid: 1, restarts: 0 };
    let script = Script::outage().process(50, "archive", process).health(90, "archive", &[]);
    passes(&*steady(), script.clone(), "1 operation and 1 hop had succeeded, and 1 service was ready");
    passes(&*steady(), script.health(4_000, "archive", &["manager: expired"]), "had succeeded");
}

#[test]
fn steady_is_unknown_and_never_failed_without_its_control() {
    let check = steady();
    let script = Script::outage();
    cannot_tell(&*check, script.clone().fails("search", 0..1_500, "no"), "`search` had never succeeded");
    let refused = script.clone().refuses("search", "archive", 0..1_500, Refusal::WrongName);
    cannot_tell(&*check, refused, "search -> archive had never been served");
    let waiting = script.clone().health(90, "archive", &[]).health(900, "archive", &["manager: no answer"]);
    cannot_tell(&*check, waiting, "archive waited for manager: no answer");
    let silent = script.process(50, "auth", ProcessChange::Spawned { pid: 1, restarts: 0 });
    cannot_tell(&*check, silent, "auth had not said that it is ready");
    cannot_tell(&*check, Script::new(), "no operation and no hop");
    cannot_tell(&*check, Script::outage().dies(800), "before the steady phase did");
}

#[test]
fn a_fault_has_landed_when_it_alone_is_on_the_wire() {
    passes(&*landed(), Script::outage(), "1 credential on the wire and nothing else, at most 30 ms");
}

#[test]
fn a_fault_that_never_landed_is_never_judged() {
    let check = landed();
    let never = Script::outage().without(|what| matches!(what, What::Landed(_)));
    cannot_tell(&*check, never, "1 of 1 credential never showed on the wire everywhere: archive/mesh");
    cannot_tell(&*check, Script::new(), "no fault installed a credential");
    let early = Script::expiry().step(0, StepKind::Rotate, "rotate archive", 1_020..1_100);
    cannot_tell(&*check, early, "archive/mesh 10 ms too late");
}

#[test]
fn an_outage_is_judged_against_its_budget() {
    let check = outage_within(ms(2_210));
    passes(&*check, Script::outage(), "2.21 s ± 5 ms, 2.21 s allowed; failed: search 2.21 s");
    fails(&*outage_within(ms(2_209)), Script::outage(), "2.21 s ± 5 ms, 2.21 s allowed");
    fails(&*outage_within(ms(0)), Script::outage(), "none allowed");
    passes(&*outage_within(ms(0)), Script::expiry(), "none of 1200 tries".replace("1200", "1,200").as_str());
}

#[test]
fn an_outage_counts_what_users_notice_since_the_steady_phase() {
    let none = outage_within(ms(0));
    let script = Script::new().operation("search").background("retention");
    passes(&*none, script.clone().fails("retention", 2_000..3_000, "down"), "none of");
    passes(&*none, script.clone().fails("search", 0..1_000, "still starting"), "none of");
    fails(&*none, script.clone().fails("search", 2_000..2_005, "down"), "5 ms ± 5 ms");
    fails(&*none, script.fails("search", 6_500..9_000, "down"), "500 ms ± 5 ms");
}

#[test]
fn an_outage_of_two_operations_is_their_union() {
    let script = Script::new()
        .operation("login")
        .operation("search")
        .fails("login", 2_000..3_000, "down")
        .fails("search", 2_500..3_500, "down");
    fails(&*outage_within(ms(1_499)), script.clone(), "1.5 s ± 5 ms");
    passes(&*outage_within(ms(1_500)), script, "login 1 s and search 1 s");
}

#[test]
fn an_outage_nobody_measured_is_unknown() {
    let check = outage_within(ms(5_000));
    cannot_tell(&*check, jumped(Script::outage()), "the wall clock jumped by 60000 ms");
    cannot_tell(&*check, unsteady(Script::outage()), "no user-facing operation was tried");
    cannot_tell(&*check, Script::new().background("retention"), "no user-facing operation was tried");
}

#[test]
fn whoever_says_that_it_is_not_ready_after_the_steady_phase_did_not_stay_so() {
    let check = stays_ready();
    let script = Script::expiry().health(90, "search", &["archive: not asked yet"]).health(95, "search", &[]);
    passes(&*check, script.clone(), "every service was ready all the time");
    let waits = script.clone().health(2_000, "search", &["archive: unknown issuer"]);
    fails(&*check, waits, "search was not ready, 2 s into the run: it waits for archive: unknown issuer");
    cannot_tell(&*check, Script::expiry(), "no service ever said");
    cannot_tell(&*check, unsteady(script), "the steady phase never ended");
}

#[test]
fn what_was_repaired_must_bear_those_who_come_back() {
    let check = stays_up();
    let ends = |asked| ProcessChange::Exited {
        code: Some(74),
        signal: None,
        asked,
        last_words: "more than 100 connections are open".into(),
    };
    let before = Script::outage().process(4_100, "archive", ends(false));
    passes(&*check, before.clone(), "no service ended by itself after the repair");
    passes(&*check, before.process(4_300, "archive", ends(true)), "no service ended by itself");
    let storm =
        Script::outage().process(4_250, "archive", ends(false)).process(4_500, "archive", ends(false));
    fails(&*check, storm, "2 ends unasked after the repair; first: archive, 50 ms after it: more than 100");
    cannot_tell(&*check, Script::expiry(), "nobody repaired anything");
}

/// Two days: the clock is moved at 1500, tells so at 1510, is put right at 4000 and tells that at 4010.
fn clock_off(ahead_ms: i64) -> Script {
    let set = |ahead_ms| What::ClockSet { service: "archive".into(), ahead_ms };
    let seen = |ahead_ms| What::ClockSeen { service: "archive".into(), ahead_ms };
    Script::new()
        .operation("search")
        .hop("search", "archive")
        .at(1_500, set(ahead_ms))
        .at(1_510, seen(ahead_ms))
        .step(0, StepKind::SetClock, "put the clock of archive right", 4_000..4_001)
        .at(4_000, set(0))
        .at(4_010, seen(0))
}

#[test]
fn a_clock_that_was_moved_has_landed_when_its_service_tells_another_time() {
    let off = clock_off(-172_800_000);
    passes(&*landed(), off.clone(), "archive was 48 h behind, by what it says, 10 ms after it was moved");
    let silent = off.without(|what| matches!(what, What::ClockSeen { .. }));
    cannot_tell(&*landed(), silent, "archive did not tell another time before the repair");
}

#[test]
fn a_server_whose_clock_was_moved_refuses_everybody_and_nobody_else_does() {
    let check = refused(Refusal::Expired);
    let off = || clock_off(172_800_000);
    let by = |by| Outcome::Refused { by, reason: Refusal::Expired };
    let refuses = |script: Script, server| script.answers("search", server, 1_505..4_006, by(Side::Server));
    passes(&*check, refuses(off(), "archive"), "refused for `certificate expired`, none for another");
    fails(&*check, off(), "served that had to be refused");
    let elsewhere = refuses(refuses(off().hop("search", "manager"), "archive"), "manager");
    fails(&*check, elsewhere, "refused otherwise than for");
    let later = off().answers("search", "archive", 1_505..5_000, by(Side::Server));
    fails(&*check, later, "refused otherwise than for");
    let client = off().answers("search", "archive", 1_505..4_006, by(Side::Client));
    fails(&*check, client, "refused otherwise than for");
    let silent = refuses(off(), "archive").without(|what| matches!(what, What::ClockSeen { .. }));
    cannot_tell(&*check, silent, "no certificate of the fault reached its end");
}

#[test]
fn a_clock_is_noticed_from_the_moment_at_which_it_hurts() {
    let off = clock_off(172_800_000);
    passes(&*detected_within(ms(100)), off.clone().health(1_600, "search", &["archive"]), "after 90 ms");
    fails(&*detected_within(ms(100)), off, "nobody noticed for 2.49 s");
}

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
fn a_record_that_is_not_stored_is_lost() {
    let whole = Script::new().records(1_000..2_000);
    passes(&*nothing_lost(), whole.clone(), "100 records sent, all stored and found");
    fails(&*nothing_lost(), whole.clone().record(2_000, None), "1 of 101 sent are not stored, although they");
    let unfound = record(|record| record.found = false);
    fails(&*nothing_lost(), whole.at(6_900, unfound), "1 stored but found by no user");
    cannot_tell(&*nothing_lost(), Script::new(), "no final account");
}

#[test]
fn what_was_acknowledged_and_lost_is_told_apart() {
    let dropped = Script::new().at(6_900, record(|record| (record.acked, record.stored) = (None, None)));
    fails(&*nothing_lost(), dropped.clone(), "none of them had been acknowledged (#9)");
    fails(&*nothing_lost(), dropped.record(2_000, None), "1 of them although acknowledged (#0, #9)");
}

#[test]
fn a_record_stored_twice_is_a_duplicate() {
    let whole = Script::new().records(1_000..2_000);
    passes(&*nothing_duplicated(), whole.clone(), "100 records stored once each");
    fails(&*nothing_duplicated(), whole.at(6_900, record(|record| record.copies = 2)), "1 of 101 records");
    cannot_tell(&*nothing_duplicated(), Script::new(), "no final account");
}

fn record(change: impl Fn(&mut Record)) -> What {
    let mut record = Record { number: 9, sent: 1, acked: Some(2), stored: Some(3), copies: 1, found: true };
    change(&mut record);
    What::Record(record)
}

#[test]
fn what_expired_in_use_is_refused_as_expired() {
    let check = refused(Refusal::Expired);
    passes(
        &*check,
        Script::outage(),
        "442 handshakes refused for `certificate expired`, none for another reason",
    );
    fails(
        &*check,
        Script::expiry(),
        "served that had to be refused for `certificate expired`: search -> archive",
    );
    let gone = Script::expiry().unreachable("search", "archive", EXPIRY..9_000);
    fails(&*check, gone, "none of 980 fresh handshakes after the fault bit was refused");
}

#[test]
fn a_refusal_for_another_reason_fails() {
    let check = refused(Refusal::Expired);
    let other = Script::outage().refuses("search", "archive", 4_100..4_210, Refusal::UnknownIssuer);
    fails(
        &*check,
        other,
        "refused otherwise than for `certificate expired`: search -> archive, 4.1 s into the run, by the client for `unknown issuer`",
    );
    let early = Script::outage().refuses("search", "archive", 900..4_210, Refusal::Expired);
    fails(
        &*check,
        early,
        "refused otherwise than for `certificate expired`: search -> archive, 1 s into the run",
    );
    // As Go does, which refuses a certificate as soon as its last second begins.
    let last_second = Script::outage().refuses("search", "archive", 1_100..4_210, Refusal::Expired);
    passes(&*check, last_second, "none for another reason");
    let bystander =
        Script::outage().hop("gateway", "auth").refuses("gateway", "auth", 4_000..4_005, Refusal::Expired);
    fails(&*check, bystander, "gateway -> auth");
}

#[test]
fn a_fault_that_was_averted_lets_nothing_be_refused() {
    let check = refused(Refusal::Expired);
    let averted = Script::new().hop("search", "archive").fault("archive").renews("archive", 1_500);
    let averted = averted.expires("archive", false);
    passes(&*check, averted.clone(), "no handshake was refused");
    fails(
        &*check,
        averted.refuses("search", "archive", 3_000..3_005, Refusal::Expired),
        "1 handshake refused",
    );
}

#[test]
fn refusals_are_unknown_when_nothing_bit_or_nobody_asked() {
    let check = refused(Refusal::Expired);
    cannot_tell(&*check, Script::new().hop("search", "archive").fault("archive"), "reached its end");
    cannot_tell(
        &*refused(Refusal::WrongName),
        Script::new().hop("a", "b"),
        "no credential of the fault landed",
    );
    let unasked = Script::outage().hop("search", "archive").dies(2_000);
    cannot_tell(&*check, unasked, "no fresh handshake was tried after the fault bit");
    cannot_tell(&*check, unsteady(Script::outage()), "steady phase never ended");
    cannot_tell(&*check, jumped(Script::outage()), "clock jumped");
}

#[test]
fn other_reasons_bite_from_the_landing() {
    let script = Script::new().hop("search", "archive").fault("archive");
    let named = script.refuses("search", "archive", 1_010..JUDGED, Refusal::WrongName);
    passes(&*refused(Refusal::WrongName), named.clone(), "refused for `wrong name`");
    fails(&*refused(Refusal::Revoked), named, "refused otherwise than for `certificate revoked`");
}

#[test]
fn nobody_is_served_without_a_valid_certificate() {
    let check = nothing_accepted_unauthenticated();
    let asked = Script::outage()
        .asks(500, Question::WithoutCertificate, None)
        .asks(2_500, Question::WithForeign, Some(403))
        .asks(2_600, Question::WithExpired, None);
    passes(&*check, asked.clone(), "3 intruders refused");
    let served = asked.clone().asks(2_700, Question::WithForeign, Some(200));
    fails(
        &*check,
        served,
        "1 request served without a valid certificate; first: search -> archive, a client with a certificate of a foreign authority, 2.7 s into the run, status 200",
    );
    let resumed = asked.clone().asks(2_800, Question::Resumed, Some(204));
    fails(&*check, resumed, "a resumed session");
    let open = asked.clone().asks(2_800, Question::Open, Some(200));
    passes(&*check, open, "3 intruders refused");
    cannot_tell(&*check, Script::outage(), "no intruder ever asked");
    cannot_tell(&*check, jumped(asked), "clock jumped");
}

#[test]
fn a_certificate_has_ended_after_its_last_second_and_what_clocks_may_differ() {
    let check = nothing_accepted_unauthenticated();
    let asked = Script::expiry().asks(500, Question::WithoutCertificate, None);
    let answers = |from| asked.clone().refuses("search", "archive", from..9_000, Refusal::Expired);
    passes(&*check, answers(EXPIRY + 105), "1 intruder refused");
    fails(&*check, answers(EXPIRY + 110), "1 request served without a valid certificate");
}

#[test]
fn an_open_connection_ends_with_its_certificate() {
    let check = no_connection_outlives_expiry(ms(100));
    let within =
        Script::outage().asks(1_500, Question::Open, Some(200)).asks(2_050, Question::Open, Some(200));
    cannot_tell(&*check, within.clone(), "no open connection was asked more than 100 ms after");
    passes(&*check, within.clone().asks(2_200, Question::Open, None), "none of 1 request later than 100 ms");
    fails(&*check, within.clone().asks(2_500, Question::Open, Some(200)), "served up to 500 ms after");
    cannot_tell(&*check, jumped(within.asks(2_500, Question::Open, Some(200))), "clock jumped");
}

#[test]
fn a_resumed_session_is_worth_no_more_than_the_certificates_it_began_with() {
    let check = no_session_outlives_expiry(ms(100));
    let before = Script::outage().asks(1_500, Question::Resumed, Some(200));
    cannot_tell(&*check, before.clone(), "no resumed session was asked more than 100 ms after");
    passes(&*check, before.clone().asks(2_200, Question::Resumed, Some(403)), "none of 1 request later");
    fails(
        &*check,
        before.asks(2_500, Question::Resumed, Some(200)),
        "on resumed sessions served up to 500 ms",
    );
}

#[test]
fn an_alert_comes_with_its_lead() {
    let check = alerted_before_expiry(ms(500));
    let warned = |at| Script::outage().alert(at, AlertRule::Expiry, "archive");
    passes(&*check, warned(1_500), "alerts for all of 1 certificate, at least 500 ms before the end");
    fails(&*check, warned(1_501), "archive/mesh only 499 ms before");
    fails(&*check, warned(2_300), "archive/mesh 300 ms after");
    fails(&*check, Script::outage(), "archive/mesh never");
    fails(&*check, Script::outage().alert(1_500, AlertRule::Symptom, "archive"), "archive/mesh never");
    let two = warned(1_500).fault("auth").expires("auth", true);
    fails(&*check, two, "1 of 2 certificates without an alert 500 ms before the end: auth/mesh never");
    cannot_tell(&*check, Script::new().fault("archive"), "no certificate of the fault reached its end");
    cannot_tell(&*check, jumped(warned(1_500)), "clock jumped");
}

#[test]
fn a_renewal_in_time_is_no_alert() {
    let renewed = Script::new().fault("archive").renews("archive", 1_400).expires("archive", false);
    let check = alerted_before_expiry(ms(500));
    fails(&*check, renewed.clone(), "archive/mesh never");
    passes(&*check, renewed.alert(1_300, AlertRule::Expiry, "archive"), "700 ms before the end");
}

#[test]
fn the_first_order_that_is_tried_comes_up() {
    let check = starts_in_order();
    let order = &["manager", "archive"];
    let script = Script::outage();
    passes(
        &*check,
        script.clone().order(1, 4_300..4_500, order, None),
        "2 services came up in the first order, in 200 ms",
    );
    let stuck = script.clone().order(1, 4_300..4_500, order, Some(("archive", "manager: no answer")));
    fails(&*check, stuck.clone(), "stuck at archive: manager: no answer; 1 order tried, none came up");
    let second = stuck.order(2, 4_500..4_900, order, None);
    fails(&*check, second, "2 orders tried, number 2 came up, 200 ms lost on the others");
    cannot_tell(&*check, script.clone(), "no order was ever tried");
    let order = vec!["archive".into()];
    let unended =
        script.at(4_300, What::OrderTried { attempt: 1, order, groups: Vec::new(), way: Way::InTurn });
    cannot_tell(&*check, unended, "never ended");
    let averted = Script::new().fault("archive").renews("archive", 1_400).expires("archive", false);
    passes(&*check, averted, "nothing had to be started");
}

#[test]
fn every_order_comes_up_in_time_and_without_a_crash() {
    let check = starts_in_any_order(ms(500));
    let up = |ms, script: Script| {
        script.process(ms, "archive", ProcessChange::Spawned { pid: 1, restarts: 0 }).health(
            ms + 100,
            "archive",
            &[],
        )
    };
    let tried = Script::new().order(1, 1_000..1_400, &["archive"], None);
    let once = up(1_010, tried);
    passes(&*check, once.clone(), "all of 1 start converged without a crash, in 110 ms at most (number 1)");
    cannot_tell(&*check, Script::new(), "no order was tried");
    let stuck = once.clone().order(2, 2_000..2_900, &["archive"], Some(("archive", "manager: no answer")));
    fails(&*check, stuck, "1 of 2 starts did not converge; number 2: archive did not come up, manager");
    let crash = ProcessChange::Exited {
        code: Some(1),
        signal: None,
        asked: false,
        last_words: "manager unreachable".into(),
    };
    let crashed = up(2_010, once.clone().order(2, 2_000..2_900, &["archive"], None));
    let crashed = up(2_300, crashed.process(2_200, "archive", crash));
    fails(
        &*check,
        crashed,
        "1 of them only because a supervisor starts again what crashes: 1 crash, 1 of arc",
    );
    let late = up(2_450, once.order(2, 2_000..2_900, &["archive"], None));
    fails(&*check, late, "1 of 2 starts took longer than 500 ms: 550 ms at most (number 2)");
}

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

#[test]
fn a_status_that_is_no_success_is_a_failure_of_the_hop() {
    let sick = Script::new().hop("search", "archive").answers(
        "search",
        "archive",
        2_000..2_500,
        Outcome::Served(503),
    );
    fails(&*recovers_within(ms(0)), sick, "500 ms ± 5 ms");
}

#[test]
fn a_system_keeps_serving_when_no_handshake_fails_and_nobody_crashes() {
    let check = keeps_serving();
    passes(&*check, Script::expiry(), "none of 1,200 handshakes failed");
    // What comes before the fault is another check's matter.
    passes(&*check, Script::expiry().refuses("search", "archive", 0..900, Refusal::Expired), "none of");
    let words = "1 of 1,200 handshakes failed; first: search -> archive, 2 s into the run: ";
    fails(&*check, Script::expiry().unreachable("search", "archive", 2_000..2_001), words);
    let crash =
        ProcessChange::Exited { code: Some(1), signal: None, asked: false, last_words: "no key".into() };
    fails(&*check, Script::expiry().process(2_000, "archive", crash), "archive ended unasked");
    let asked = ProcessChange::Exited { code: Some(0), signal: None, asked: true, last_words: String::new() };
    passes(&*check, Script::expiry().process(2_000, "archive", asked), "none of");
    cannot_tell(&*check, Script::new(), "no fresh handshake was tried");
    cannot_tell(&*check, unsteady(Script::expiry()), "the steady phase never ended");
    cannot_tell(&*check, jumped(Script::expiry()), "the wall clock jumped");
}

#[test]
fn a_certificate_is_replaced_in_time_when_it_is_off_the_wire_before_its_end() {
    let check = replaced_before_expiry();
    let script = || Script::new().operation("search").hop("search", "archive").fault("archive");
    passes(&*check, script().expires("archive", false), "all of 1 certificate replaced on the wire");
    fails(
        &*check,
        script().expires("archive", true),
        "1 of 1 certificate still in use at the end: archive/mesh",
    );
    cannot_tell(&*check, script(), "no certificate of the fault reached its end");
    cannot_tell(&*check, jumped(Script::expiry()), "the wall clock jumped");
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
