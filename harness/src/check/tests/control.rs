//! The controls: steady, landed.

use super::*;

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
