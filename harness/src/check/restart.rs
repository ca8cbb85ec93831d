//! Whether a restart makes it worse.

use crate::{
    history::{Micros, ProcessChange, What},
    measure::{Measurements, Reading},
    words,
};

use super::{Check, Early, failed, passed, rule, timed, unknown};

/// What was served this long before the end of a process was served before it: in its last moments it listens
/// no more.
const BEFORE: Micros = 500_000;

/// Every hop that was served just before its server was restarted under the fault is served again before
/// the repair begins. What works until the next restart only is a sleeper: at Fly.io, October 2024, services
/// with long-expired keys ran until then.
pub fn survives_restart() -> Box<dyn Check> {
    rule("survives-restart", judge)
}

fn judge(measured: &Measurements<'_>) -> Early {
    timed(measured)?;
    let reading = &measured.reading;
    let since = reading.since.ok_or_else(|| unknown("the steady phase never ended"))?;
    let until = measured.milestones.repair_began.unwrap_or(reading.until);
    let (mut compared, mut worse) = (0, Vec::new());
    for (server, at) in restarts(reading, since, until) {
        for hop in reading.hops.iter().filter(|hop| hop.server == server) {
            let before = since.max(at.saturating_sub(BEFORE))..=at;
            let served = hop.tries.iter().any(|attempt| attempt.ok && before.contains(&attempt.at));
            let after = hop.tries.iter().rfind(|attempt| attempt.at > at && attempt.answered <= until);
            let Some(after) = after.filter(|_| served) else { continue };
            compared += 1;
            if !after.ok {
                worse.push(format!("{} -> {server}: {}", hop.name, after.of.outcome));
            }
        }
    }
    let hops = words::counted(compared, "hop");
    match (compared, worse.is_empty()) {
        (0, _) => Err(unknown("no service that was served was restarted before the repair")),
        (_, true) => Ok(passed(format!("all of {hops} served after the restart as before"))),
        (_, false) => Ok(failed(format!(
            "{} of {hops} served before the restart and not after: {}",
            worse.len(),
            words::list(&worse, 4)
        ))),
    }
}

/// The services that somebody restarted in this span, each with its first end.
fn restarts<'h>(reading: &Reading<'h>, since: Micros, until: Micros) -> Vec<(&'h str, Micros)> {
    let mut ended: Vec<(&str, Micros)> = Vec::new();
    for event in reading.rare.iter().filter(|event| (since..=until).contains(&event.at)) {
        if let What::Process { service, change: ProcessChange::Exited { asked: true, .. } } = &event.what
            && !ended.iter().any(|(known, _)| known == service)
        {
            ended.push((service, event.at));
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Summary,
        history::script::{EXPIRY, Script},
    };

    fn ended(asked: bool) -> What {
        let change = ProcessChange::Exited { code: Some(0), signal: None, asked, last_words: String::new() };
        What::Process { service: "archive".into(), change }
    }

    fn judged(script: Script) -> Summary {
        let history = script.history();
        survives_restart().judge(&history).summary()
    }

    #[test]
    fn a_restart_may_interrupt_but_must_not_end_what_was_served() {
        let restarted = Script::outage().at(EXPIRY - 500, ended(true));
        let away = |until| restarted.clone().unreachable("search", "archive", EXPIRY - 500..until);
        assert_eq!(
            judged(away(EXPIRY - 300).without(|what| matches!(what, What::Expired { .. }))),
            Summary::Failed
        );
        let sound = Script::expiry().at(EXPIRY - 500, ended(true));
        let sound = sound.unreachable("search", "archive", EXPIRY - 500..EXPIRY - 300);
        assert_eq!(judged(sound), Summary::Passed);
    }

    #[test]
    fn without_a_restart_that_somebody_asked_for_nobody_can_say() {
        assert_eq!(judged(Script::expiry()), Summary::Unknown);
        assert_eq!(judged(Script::expiry().at(1_500, ended(false))), Summary::Unknown);
    }
}
