//! Orders of a start.

use super::*;

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
