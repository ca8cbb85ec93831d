//! What is asked of a control plane beyond what is asked of every system: what fails beside what does not.

mod pause;

use std::collections::BTreeMap;

use notafter::{
    check::{Check, Verdict},
    history::{Event, History, Micros, Operation, Phase, What},
};

pub use pause::these_pause_within;

/// See [`only_these_fail`].
struct OnlyTheseFail {
    fail: Vec<&'static str>,
    either: Vec<&'static str>,
}

/// Once all of these operations fail, and up to the repair, they go on to fail and every other one works: a cluster
/// that looks well and does nothing is told from one that is down. Of those in `either` nobody can say: they fail or
/// not, as luck has it.
pub fn only_these_fail(fail: &[&'static str], either: &[&'static str]) -> Box<dyn Check> {
    Box::new(OnlyTheseFail { fail: fail.to_vec(), either: either.to_vec() })
}

/// See [`these_go_on`].
struct TheseGoOn(Vec<&'static str>);

/// These operations work from the fault to the end, whatever becomes of the others.
pub fn these_go_on(names: &[&'static str]) -> Box<dyn Check> {
    Box::new(TheseGoOn(names.to_vec()))
}

impl Check for TheseGoOn {
    fn name(&self) -> &'static str {
        "these-go-on"
    }

    fn judge(&self, history: &History) -> Verdict {
        let Some(from) = history.began(Phase::Inject) else {
            return Verdict::Unknown("nothing was injected".into());
        };
        let until = history.began(Phase::Judge).unwrap_or(Micros::MAX);
        let all =
            Tally::of(tries(history, from, until).filter(|(_, one)| self.0.contains(&one.name.as_str())));
        if let Some(missing) = self.0.iter().find(|name| !all.contains_key(**name)) {
            return Verdict::Unknown(format!("nobody tried {missing} after the fault"));
        }
        all.values()
            .find_map(Tally::fails)
            .map_or_else(|| Verdict::Passed(Tally::work(&all)), Verdict::Failed)
    }
}

impl Check for OnlyTheseFail {
    fn name(&self) -> &'static str {
        "only-these-fail"
    }

    fn judge(&self, history: &History) -> Verdict {
        self.look(history).unwrap_or_else(|early| early)
    }
}

impl OnlyTheseFail {
    fn look(&self, history: &History) -> Result<Verdict, Verdict> {
        let repair = repair(history).ok_or_else(|| Verdict::Unknown("the repair never began".into()))?;
        let mut all_fail = 0;
        for name in &self.fail {
            all_fail = all_fail.max(fails_since(history, name, repair)?);
        }
        let is_other = |name: &str| !self.fail.contains(&name) && !self.either.contains(&name);
        let others =
            Tally::of(tries(history, all_fail, repair).filter(|(_, operation)| is_other(&operation.name)));
        if others.is_empty() {
            return Err(Verdict::Unknown("nobody tried anything else while these failed".into()));
        }
        let fails = others.values().find_map(Tally::fails);
        let evidence =
            || format!("{} failed up to the repair, while {}", self.fail.join(", "), Tally::work(&others));
        Ok(fails.map_or_else(|| Verdict::Passed(evidence()), Verdict::Failed))
    }
}

/// What came of all tries of one operation.
#[derive(Default)]
struct Tally<'h> {
    name: &'h str,
    tried: usize,
    failed: usize,
    /// What the last failure said.
    last: &'h str,
}

impl<'h> Tally<'h> {
    fn of(tries: impl Iterator<Item = (Micros, &'h Operation)>) -> BTreeMap<&'h str, Self> {
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        for (_, operation) in tries {
            let tally = all.entry(&operation.name).or_default();
            tally.name = &operation.name;
            tally.tried += 1;
            if let Some(error) = &operation.error {
                tally.failed += 1;
                tally.last = error;
            }
        }
        all
    }

    /// How it fails; none if most tries succeeded: one that is late on a busy machine is told again and again until
    /// the next is done.
    fn fails(&self) -> Option<String> {
        let Self { name, tried, failed, last } = self;
        (2 * failed > *tried).then(|| format!("{name} fails in {failed} of {tried} tries: {last}"))
    }

    fn work(all: &BTreeMap<&str, Self>) -> String {
        let names: Vec<_> = all.keys().copied().collect();
        let (tried, failed) = all.values().fold((0, 0), |(t, f), it| (t + it.tried, f + it.failed));
        format!("{} of {tried} tries of {} succeeded", tried - failed, names.join(", "))
    }
}

/// From when on an operation failed until the repair.
fn fails_since(history: &History, name: &str, repair: Micros) -> Result<Micros, Verdict> {
    let (mut since, mut tried) = (None, false);
    for (at, operation) in tries(history, 0, repair).filter(|(_, one)| one.name == name) {
        tried = true;
        since = operation.error.as_ref().and(since.or(Some(at)));
    }
    since.ok_or_else(|| {
        if tried {
            Verdict::Failed(format!("{name} did not fail when the repair began"))
        } else {
            Verdict::Unknown(format!("nobody tried {name} before the repair"))
        }
    })
}

fn repair(history: &History) -> Option<Micros> {
    let began = |event: &Event| matches!(event.what, What::StepBegan { .. }).then_some(event.at);
    history.events.iter().find_map(began)
}

/// What was tried and answered between the two, in the order of its beginning.
fn tries(history: &History, from: Micros, until: Micros) -> impl Iterator<Item = (Micros, &Operation)> {
    let mut all: Vec<_> = history
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Operation(operation) => Some((event.at, operation)),
            _ => None,
        })
        .filter(|(at, operation)| *at >= from && at + operation.took <= until)
        .collect();
    all.sort_by_key(|(at, _)| *at);
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use notafter::{check::Summary, history::StepKind};

    use super::*;

    fn tried(at: Micros, name: &str, error: Option<&str>) -> Event {
        let error = error.map(ToOwned::to_owned);
        let operation = Operation { name: name.into(), user_facing: true, took: 5, error };
        Event { at, what: What::Operation(operation) }
    }

    pub fn works(at: Micros, name: &str) -> Event {
        tried(at, name, None)
    }

    pub fn fails(at: Micros, name: &str) -> Event {
        tried(at, name, Some("no"))
    }

    /// The repair begins at 100.
    fn judged(mut events: Vec<Event>) -> Verdict {
        let began = What::StepBegan { step: 0, title: "rotate".into(), kind: StepKind::Rotate };
        events.push(Event { at: 100, what: began });
        only_these_fail(&["deploy"], &["nodes"]).judge(&History { events })
    }

    fn summary(events: Vec<Event>) -> Summary {
        judged(events).summary()
    }

    #[test]
    fn a_cluster_that_looks_well_and_does_nothing_is_what_was_asked_for() {
        let well = vec![works(10, "deploy"), fails(20, "deploy"), works(30, "api"), fails(40, "deploy")];
        let seen = judged(well);
        assert_eq!(seen.summary(), Summary::Passed);
        assert_eq!(seen.evidence(), "deploy failed up to the repair, while 1 of 1 tries of api succeeded");
    }

    #[test]
    fn what_fails_beside_it_is_named_with_its_reason() {
        let seen = judged(vec![fails(20, "deploy"), works(30, "api"), fails(40, "logs")]);
        assert_eq!((seen.summary(), seen.evidence()), (Summary::Failed, "logs fails in 1 of 1 tries: no"));
    }

    #[test]
    fn who_is_late_for_once_goes_on() {
        let late = vec![fails(20, "deploy"), works(30, "api"), fails(40, "api"), works(50, "api")];
        assert_eq!(summary(late), Summary::Passed);
    }

    #[test]
    fn what_fails_before_all_do_is_the_fault_on_its_way() {
        assert_eq!(summary(vec![fails(10, "api"), fails(20, "deploy"), works(30, "api")]), Summary::Passed);
    }

    #[test]
    fn of_what_fails_as_luck_has_it_nothing_is_asked() {
        assert_eq!(summary(vec![fails(20, "deploy"), works(30, "api"), fails(40, "nodes")]), Summary::Passed);
        assert_eq!(summary(vec![fails(20, "deploy"), fails(40, "nodes")]), Summary::Unknown);
    }

    #[test]
    fn what_works_again_by_itself_did_not_fail() {
        let seen = judged(vec![fails(20, "deploy"), works(30, "api"), works(40, "deploy")]);
        let words = "deploy did not fail when the repair began";
        assert_eq!((seen.summary(), seen.evidence()), (Summary::Failed, words));
    }

    #[test]
    fn what_the_repair_mends_counts_neither_way() {
        // Begun before the repair and answered after it.
        assert_eq!(
            summary(vec![fails(20, "deploy"), works(30, "api"), works(98, "deploy")]),
            Summary::Passed
        );
        assert_eq!(summary(vec![fails(20, "deploy"), works(30, "api"), fails(120, "api")]), Summary::Passed);
    }

    #[test]
    fn what_goes_on_never_fails_after_the_fault() {
        let judged = |events: Vec<Event>| {
            let injected = Event { at: 50, what: What::PhaseBegan { phase: Phase::Inject } };
            let history = History { events: [injected].into_iter().chain(events).collect() };
            these_go_on(&["api", "traffic"]).judge(&history)
        };
        let well = vec![fails(40, "api"), works(60, "api"), works(60, "traffic"), fails(70, "deploy")];
        let seen = judged(well.clone());
        assert_eq!(seen.summary(), Summary::Passed);
        assert_eq!(seen.evidence(), "2 of 2 tries of api, traffic succeeded");
        assert_eq!(judged([well.clone(), vec![fails(80, "traffic")]].concat()).summary(), Summary::Passed);
        let seen = judged([well, vec![fails(80, "traffic"), fails(90, "traffic")]].concat());
        let words = "traffic fails in 2 of 3 tries: no";
        assert_eq!((seen.summary(), seen.evidence()), (Summary::Failed, words));
        let seen = judged(vec![works(60, "api")]);
        assert_eq!(
            (seen.summary(), seen.evidence()),
            (Summary::Unknown, "nobody tried traffic after the fault")
        );
        assert_eq!(these_go_on(&["api"]).judge(&History { events: Vec::new() }).summary(), Summary::Unknown);
    }

    #[test]
    fn without_a_try_or_a_repair_nobody_can_say() {
        assert_eq!(summary(vec![works(30, "api")]), Summary::Unknown);
        assert_eq!(summary(vec![fails(20, "deploy")]), Summary::Unknown);
        let events = vec![fails(20, "deploy"), works(30, "api")];
        let verdict = only_these_fail(&["deploy"], &[]).judge(&History { events });
        assert_eq!(verdict.summary(), Summary::Unknown);
    }
}
