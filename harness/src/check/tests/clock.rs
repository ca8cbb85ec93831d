//! Clocks that a fault moved.

use super::*;

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
