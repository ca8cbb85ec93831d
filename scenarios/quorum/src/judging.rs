//! What is asked of a quorum beyond what is asked of every system.

use notafter::{
    check::{Check, Verdict},
    history::{Event, History, Micros, Operation, ProcessChange, What},
};

/// A check that is a function of the history.
struct Rule {
    name: &'static str,
    judge: fn(&History) -> Verdict,
}

impl Check for Rule {
    fn name(&self) -> &str {
        self.name
    }

    fn judge(&self, history: &History) -> Verdict {
        (self.judge)(history)
    }
}

/// From the moment at which the last member was cut off, by a restart, up to the repair, no write was
/// acknowledged: what a system must do that has no quorum.
pub fn writes_stop() -> Box<dyn Check> {
    Box::new(Rule { name: "writes-stop", judge: judge_writes })
}

/// From the repair on, the leader that there is stays: nobody who comes back calls for another election.
pub fn leader_stays() -> Box<dyn Check> {
    Box::new(Rule { name: "leader-stays", judge: judge_leader })
}

fn judge_writes(history: &History) -> Verdict {
    let Some(repair) = repair(history) else { return Verdict::Unknown("the repair never began".into()) };
    let ended = history.events.iter().take_while(|event| event.at <= repair).filter_map(|event| {
        let exited = matches!(&event.what, What::Process { change: ProcessChange::Exited { .. }, .. });
        exited.then_some(event.at)
    });
    let Some(cut) = ended.max() else {
        return Verdict::Unknown("no member was restarted before the repair".into());
    };
    let tries: Vec<_> = tries(history, "write").filter(|(at, _)| (cut..repair).contains(at)).collect();
    // One that waited for the repair was acknowledged after it.
    let taken =
        |(at, operation): &&(Micros, &Operation)| operation.error.is_none() && at + operation.took <= repair;
    let taken = tries.iter().filter(taken).count();
    match (taken, tries.len()) {
        (_, 0) => Verdict::Unknown("no write was tried between the cut and the repair".into()),
        (0, tried) => Verdict::Passed(format!("none of {tried} writes was acknowledged")),
        (taken, tried) => Verdict::Failed(format!("{taken} of {tried} writes were acknowledged")),
    }
}

fn judge_leader(history: &History) -> Verdict {
    let Some(repair) = repair(history) else { return Verdict::Unknown("the repair never began".into()) };
    let tries: Vec<_> = tries(history, "leader").filter(|(at, _)| *at >= repair).collect();
    let left = tries.iter().find_map(|(_, operation)| operation.error.as_deref());
    match left {
        Some(words) => Verdict::Failed(format!("the leader did not stay: {words}")),
        None if tries.is_empty() => Verdict::Unknown("nobody watched the leader after the repair".into()),
        None => Verdict::Passed(format!("the leader stayed, as {} looks saw", tries.len())),
    }
}

fn repair(history: &History) -> Option<Micros> {
    let began = |event: &Event| matches!(event.what, What::StepBegan { .. }).then_some(event.at);
    history.events.iter().find_map(began)
}

fn tries<'h>(history: &'h History, name: &'h str) -> impl Iterator<Item = (Micros, &'h Operation)> {
    history.events.iter().filter_map(move |event| match &event.what {
        What::Operation(operation) if operation.name == name => Some((event.at, operation)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use notafter::{check::Summary, history::StepKind};

    use super::*;

    fn history(whats: Vec<(Micros, What)>) -> History {
        let events = whats.into_iter().map(|(at, what)| Event { at, what }).collect();
        History { events }
    }

    fn tried(name: &str, error: Option<&str>) -> What {
        let error = error.map(ToOwned::to_owned);
        What::Operation(Operation { name: name.into(), user_facing: true, took: 5, error })
    }

    fn repaired() -> What {
        What::StepBegan { step: 0, title: "rotate".into(), kind: StepKind::Rotate }
    }

    fn cut() -> What {
        let change =
            ProcessChange::Exited { code: Some(0), signal: None, asked: true, last_words: String::new() };
        What::Process { service: "one".into(), change }
    }

    fn summary(check: &dyn Check, whats: Vec<(Micros, What)>) -> Summary {
        check.judge(&history(whats)).summary()
    }

    #[test]
    fn writes_stop_between_the_cut_and_the_repair_and_at_no_other_time() {
        let check = writes_stop();
        let of = |error| {
            vec![(10, tried("write", None)), (20, cut()), (30, tried("write", error)), (40, repaired())]
        };
        assert_eq!(summary(&*check, of(Some("no leader"))), Summary::Passed);
        assert_eq!(summary(&*check, of(None)), Summary::Failed);
        // Each takes 5: this one was answered after the repair.
        let waited = vec![(20, cut()), (36, tried("write", None)), (40, repaired())];
        assert_eq!(summary(&*check, waited), Summary::Passed);
    }

    #[test]
    fn without_a_cut_a_try_or_a_repair_nobody_knows_whether_writes_stop() {
        let check = writes_stop();
        assert_eq!(summary(&*check, vec![(20, cut()), (30, tried("write", None))]), Summary::Unknown);
        assert_eq!(summary(&*check, vec![(30, tried("write", None)), (40, repaired())]), Summary::Unknown);
        assert_eq!(summary(&*check, vec![(20, cut()), (40, repaired())]), Summary::Unknown);
    }

    #[test]
    fn a_leader_that_goes_before_the_repair_is_no_finding_and_after_it_is() {
        let check = leader_stays();
        let of =
            |error| vec![(10, tried("leader", Some("gone"))), (20, repaired()), (30, tried("leader", error))];
        assert_eq!(summary(&*check, of(None)), Summary::Passed);
        assert_eq!(summary(&*check, of(Some("term 2 was followed by term 9"))), Summary::Failed);
        assert_eq!(summary(&*check, vec![(20, repaired())]), Summary::Unknown);
    }
}
