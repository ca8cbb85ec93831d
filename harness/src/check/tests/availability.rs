//! Outages, and who goes on.

use super::*;

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
