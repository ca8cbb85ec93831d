//! Measurements of hand-written histories, and what holds for every history.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    check::{self, Check, judge_all},
    history::{
        AlertRule, Event, Phase, ProcessChange, Question, Refusal, StepKind,
        script::{EXPIRY, Script},
    },
};

fn with<T>(script: Script, look: impl FnOnce(&Measurements<'_>) -> T) -> T {
    look(&Measurements::of(&script.history()))
}

fn ms(millis: u64) -> Micros {
    millis * 1_000
}

#[test]
fn milestones_are_those_of_the_post_mortem() {
    let script = Script::outage()
        .alert(2_300, AlertRule::Symptom, "archive")
        .step(7, StepKind::Diagnose, "look for the cause", 2_300..2_500)
        .at(5_500, What::Drained);
    let expected = Milestones {
        expired: Some(ms(2_000)),
        first_failure: Some(ms(2_000)),
        notified: Some(ms(2_300)),
        cause_found: Some(ms(2_500)),
        repair_began: Some(ms(4_000)),
        repair_deployed: Some(ms(4_200)),
        propagated: Some(ms(4_210)),
        recovered: Some(ms(4_210)),
        drained: Some(ms(5_500)),
    };
    with(script, |measured| {
        assert_eq!(measured.milestones, expected);
        assert_eq!(measured.time_to_detect, Some(300_000));
        assert_eq!(measured.time_to_drain, Some(ms(1_290)));
        assert_eq!(measured.resolution(), Some(ms(5)));
    });
}

#[test]
fn a_step_that_went_wrong_has_found_nothing_and_deployed_nothing() {
    let failed = |script: Script, step: u32, kind: StepKind, span: std::ops::Range<u64>| {
        let error = Some("the disk is full".to_owned());
        script
            .at(span.start, What::StepBegan { step, title: "a try".into(), kind })
            .at(span.end, What::StepEnded { step, error })
    };
    let script = failed(Script::outage(), 7, StepKind::Diagnose, 2_300..2_500);
    let script = failed(script, 8, StepKind::Rotate, 4_300..4_400);
    with(script, |measured| {
        assert_eq!(measured.milestones.cause_found, None);
        assert_eq!(measured.milestones.repair_deployed, Some(ms(4_200)));
    });
}

#[test]
fn without_a_user_the_first_refusal_is_the_first_failure() {
    let script = Script::expiry().refuses("search", "archive", 2_100..2_500, Refusal::Expired);
    with(script, |measured| assert_eq!(measured.milestones.first_failure, Some(ms(2_100))));
}

#[test]
fn a_credential_bites_when_it_has_ended_and_landed() {
    let landed = |what: &What| matches!(what, What::Landed(_));
    with(Script::expiry(), |measured| assert_eq!(measured.bite(), Some(ms(EXPIRY))));
    with(Script::expiry().without(landed), |measured| assert_eq!(measured.bite(), Some(ms(EXPIRY))));
    let late = Script::expiry().without(|what| matches!(what, What::Expired { .. }));
    with(late.at(1_020, expired_at_once()), |measured| assert_eq!(measured.bite(), Some(ms(1_030))));
}

/// The end was seen to pass before the credential was stable on the wire.
fn expired_at_once() -> What {
    let leaf = crate::history::script::bad_leaf("archive");
    What::Expired { service: "archive".into(), mount: "mesh".into(), leaf, in_use: true, chain_ends: None }
}

#[test]
fn an_alert_before_the_end_is_a_lead() {
    let script = Script::outage().alert(1_200, AlertRule::Expiry, "archive");
    with(script, |measured| assert_eq!(measured.time_to_detect, Some(-800_000)));
    let red = Script::outage().health(90, "search", &[]).health(2_100, "search", &["archive: expired"]);
    with(red, |measured| assert_eq!(measured.time_to_detect, Some(100_000)));
    with(Script::outage(), |measured| assert_eq!(measured.time_to_detect, None));
}

#[test]
fn a_certificate_that_stays_on_the_wire_has_not_propagated() {
    let forgotten = Script::outage().hop("search", "auth").fault("auth").expires("auth", true);
    with(forgotten, |measured| assert_eq!(measured.milestones.propagated, None));
}

#[test]
fn what_came_last_before_the_recovery_did_it() {
    let by = |script: Script| with(script, |measured| measured.attribution.to_string());
    assert_eq!(by(Script::expiry()), "nothing failed");
    assert_eq!(by(Script::outage()), "step 1 of the runbook: rotate archive");
    let forever = Script::outage().fails("search", EXPIRY..9_000, "down");
    assert_eq!(by(forever), "it did not recover");
    let unhelped = Script::new().operation("search").fails("search", 2_000..2_100, "down");
    assert_eq!(by(unhelped.clone()), "nothing on record explains it");
    let renewed = unhelped.clone().renews("archive", 500).rotated("archive", 600..700).renews("auth", 800);
    assert_eq!(by(renewed), "nothing on record explains it");
    assert_eq!(by(Script::outage().dies(800)), "nothing was measured");
}

#[test]
fn a_renewal_is_the_systems_own_doing() {
    let renewal = Script::new()
        .operation("search")
        .fails("search", 2_000..2_100, "down")
        .at(500, using("archive", 0))
        .renews("archive", 2_090);
    let by = |script: Script| with(script, |measured| measured.attribution.to_string());
    assert_eq!(by(renewal.clone()), "the system itself: archive renewed its certificate `mesh`");
    let restarted = renewal.process(2_050, "archive", ProcessChange::Spawned { pid: 9, restarts: 1 });
    assert_eq!(by(restarted), "nothing on record explains it", "it got that at its start");
}

fn using(service: &str, generation: u32) -> What {
    let leaf = crate::history::script::leaf(service, generation);
    What::Using { service: service.into(), mount: "mesh".into(), leaf }
}

#[test]
fn a_restart_by_the_supervisor_is_the_systems_own_doing_outside_of_a_step() {
    let exited = ProcessChange::Exited { code: Some(1), signal: None, asked: false, last_words: "no".into() };
    let again = |script: Script, at| {
        script
            .process(at, "search", exited.clone())
            .process(at, "search", ProcessChange::BackingOff { for_ms: 5 })
            .process(at + 5, "search", ProcessChange::Spawned { pid: 9, restarts: 1 })
    };
    let by = |script: Script| with(script, |measured| measured.attribution.to_string());
    assert_eq!(by(again(Script::outage(), 4_202)), "the system itself: the supervisor started search again");
    assert_eq!(by(again(Script::outage(), 4_100)), "step 1 of the runbook: rotate archive");
}

#[test]
fn thought_between_two_orders_is_a_pause() {
    let script = Script::outage()
        .step(1, StepKind::Pace, "plan", 2_500..2_600)
        .step(2, StepKind::Restart, "try orders", 3_000..4_000)
        .order(1, 3_000..3_100, &["archive"], Some(("archive", "no")))
        .order(2, 3_400..3_900, &["archive"], None)
        .step(3, StepKind::Pace, "rest", 5_000..5_100);
    with(script, |measured| {
        assert_eq!(measured.course.paused(Micros::MAX), 500_000);
        assert_eq!(measured.course.paused(4_500_000), 400_000);
    });
}

#[test]
fn what_happens_after_the_judging_does_not_count() {
    let script = Script::expiry().at(7_100, What::PhaseBegan { phase: Phase::Heal });
    let script = script.fails("search", 7_000..8_000, "healing").alert(7_050, AlertRule::Symptom, "archive");
    // Begun before, but cut off by the healing.
    let (name, error) = ("search".to_owned(), Some("cut off".to_owned()));
    let cut = Operation { name, user_facing: true, took: 200_000, error };
    let script = script.at(6_999, What::Operation(cut));
    with(script.at(8_000, What::PhaseBegan { phase: Phase::TearDown }), |measured| {
        assert_eq!(measured.outage, Some(Measured { value: 0, resolution: 5_000 }));
        assert_eq!(measured.milestones.notified, None);
    });
}

#[test]
fn the_final_account_is_no_outage() {
    let script = Script::expiry().at(6_000, What::Drained).fails("search", 6_000..6_500, "too busy");
    with(script.clone(), |measured| assert_eq!(measured.outage.map(|outage| outage.value), Some(0)));
    let undrained = script.without(|what| *what == What::Drained);
    with(undrained, |measured| assert_eq!(measured.outage.map(|outage| outage.value), Some(ms(500))));
}

/// An outage with everything that checks look at.
static RICH: LazyLock<History> = LazyLock::new(|| {
    Script::outage()
        .background("retention")
        .hop("gateway", "auth")
        .health(90, "archive", &[])
        .health(2_000, "archive", &["itself: certificate expired"])
        .alert(1_200, AlertRule::Expiry, "archive")
        .asks(2_000, Question::WithForeign, None)
        .asks(2_000, Question::Open, Some(200))
        .asks(3_000, Question::Open, None)
        .order(1, 4_000..4_100, &["archive"], Some(("archive", "no")))
        .order(2, 4_100..4_200, &["archive"], None)
        .records(1_000..1_500)
        .record(2_000, None)
        .at(6_000, What::Drained)
        .history()
});

fn checks() -> Vec<Box<dyn Check>> {
    let ms = std::time::Duration::from_millis;
    vec![
        check::steady(),
        check::landed(),
        check::refused(Refusal::Expired),
        check::outage_within(ms(100)),
        check::recovers_within(ms(100)),
        check::drains_within(ms(100)),
        check::nothing_lost(),
        check::nothing_duplicated(),
        check::nothing_accepted_unauthenticated(),
        check::no_connection_outlives_expiry(ms(100)),
        check::alerted_before_expiry(ms(100)),
        check::starts_in_order(),
    ]
}

/// The same events; those of one instant in an order drawn from `keys`.
fn shuffled(history: &History, keys: &[u8]) -> History {
    let key = |index: usize| keys[index.wrapping_mul(31) % keys.len()];
    let mut events: Vec<(usize, Event)> = history.events.iter().cloned().enumerate().collect();
    events.sort_by_key(|(index, event)| (event.at, key(*index)));
    History { events: events.into_iter().map(|(_, event)| event).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_events_of_one_instant_changes_no_verdict(keys in prop::collection::vec(any::<u8>(), 1..40)) {
        let other = shuffled(&RICH, &keys);
        prop_assert_eq!(judge_all(&RICH, &checks()), judge_all(&other, &checks()));
        prop_assert_eq!(Measurements::of(&RICH).milestones, Measurements::of(&other).milestones);
    }

    #[test]
    fn measurements_fit_together(
        first in (1_000..6_000_u64, 5..900_u64),
        second in (1_000..6_000_u64, 5..900_u64),
        repair in (1_000..6_000_u64, 5..900_u64),
    ) {
        let script = Script::expiry()
            .operation("login")
            .fails("login", first.0..first.0 + first.1, "down")
            .fails("search", second.0..second.0 + second.1, "down")
            .step(0, StepKind::Rotate, "rotate", repair.0..repair.0 + repair.1);
        let history = script.history();
        let measured = Measurements::of(&history);
        let outage = measured.outage.unwrap();
        let longest = measured.operations.iter().map(|op| op.total.value).max().unwrap();
        let sum: u64 = measured.operations.iter().map(|op| op.total.value).sum();
        prop_assert!(longest <= outage.value && outage.value <= sum);
        prop_assert!(outage.value <= measured.reading.until - measured.reading.since.unwrap());
        let failures = &measured.recovery.failures;
        prop_assert!(failures.windows(2).all(|pair| pair[1].begin - pair[0].end >= 500_000));
        if let Some(recovered) = measured.recovery.recovered {
            let quiet = recovered..recovered + 500_000;
            let broken = measured.reading.operations.iter().flat_map(|stream| stream.outcomes(Micros::MAX));
            prop_assert!(broken.filter(|(at, _)| quiet.contains(at)).all(|(_, ok)| ok));
            prop_assert!(measured.milestones.first_failure.unwrap() < recovered);
            let taken = measured.recovery.time_to_recover.unwrap().value;
            prop_assert_eq!(taken, recovered.saturating_sub((repair.0 + repair.1) * 1_000));
        }
    }

    #[test]
    fn a_longer_failure_is_never_a_shorter_outage(from in 1_000..5_000_u64, length in 5..900_u64, more in 0..900_u64) {
        let outage = |until| {
            let script = Script::new().operation("search").fails("search", from..until, "down");
            with(script, |measured| measured.outage.unwrap().value)
        };
        prop_assert!(outage(from + length) <= outage(from + length + more));
    }
}
