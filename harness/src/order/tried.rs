//! What came of each plan, read from a history.

use std::collections::{BTreeMap, BTreeSet};

use super::{Came, Start};
use crate::history::{Event, Health, History, Micros, ProcessChange, Stuck, Way, What};

/// One plan that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Number of the plan.
    pub number: u32,
    /// The services, those that started together in one step.
    pub steps: Vec<Vec<String>>,
    /// How they started.
    pub way: Way,
    /// When it began, microseconds since its run did.
    pub began: Micros,
    /// When it was known to have come up, or not to: with the stability window.
    pub ended: Micros,
    /// Which service did not come up and why; none if all did, and every hop was verified.
    pub stuck: Option<Stuck>,
    /// How long at least one service that had ended by itself waited to be started again, microseconds.
    pub waited: Micros,
    /// How it went for each service that was started.
    pub services: BTreeMap<String, Course>,
}

/// How one plan went for one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// When its process was started for the first time.
    pub spawned: Micros,
    /// The others that were ready at that moment.
    pub up: BTreeSet<String>,
    /// When it became ready, to stay so.
    pub ready: Option<Micros>,
    /// Each time that it ended by itself, in words.
    pub crashes: Vec<String>,
    /// When it did for the first time.
    pub first_crash: Option<Micros>,
    /// What it said last that it waits for.
    pub waits_for: Vec<String>,
}

impl Tried {
    /// Everything that was tried in a history, in its order. An attempt that never ended is left out.
    pub fn all(history: &History) -> Vec<Self> {
        let mut reader = Reader::default();
        history.events.iter().for_each(|event| reader.take(event));
        reader.done
    }

    /// From the start to the moment at which the last service was ready; none if one never was.
    pub fn took(&self) -> Option<Micros> {
        if self.stuck.is_some() {
            return None;
        }
        let last = self.services.values().map(|course| course.ready).max()??;
        Some(last.saturating_sub(self.began))
    }

    /// How often services ended by themselves.
    pub fn crashes(&self) -> usize {
        self.services.values().map(|course| course.crashes.len()).sum()
    }

    /// What each first start in this plan tells, for services that `number` knows. Only of plans in
    /// which one is started after the other: at once, nobody can say who was up first.
    ///
    /// Whoever waits for a need that is not ready tells nothing.
    pub fn starts(
        &self,
        number: impl Fn(&str) -> Option<usize>,
        needs: impl Fn(&str) -> Vec<String>,
    ) -> Vec<Start> {
        if self.way != Way::InTurn {
            return Vec::new();
        }
        let step = |name: &str| self.steps.iter().position(|step| step.iter().any(|one| one == name));
        let is_ready = |name: &String| self.services.get(name).is_some_and(|course| course.ready.is_some());
        let start = |(name, course): (&String, &Course)| {
            let at_start = course.up.clone();
            let ran = |until: Micros| {
                let others = self.services.iter().filter(|(other, _)| *other != name);
                others
                    .filter(|(_, course)| course.spawned < until)
                    .filter_map(|(other, _)| number(other))
                    .collect()
            };
            let (up, ran, came) = match (course.first_crash, course.ready) {
                (Some(at), _) => {
                    let words = course.crashes.first().cloned().unwrap_or_default();
                    (at_start, ran(at), Came::Failed(words))
                }
                // It may have needed whoever was started before it and came up meanwhile.
                (None, Some(ready)) => {
                    let earlier = self.services.iter().filter(|(other, course)| {
                        *other != name
                            && step(other) <= step(name)
                            && course.ready.is_some_and(|at| at <= ready)
                    });
                    let up = earlier.map(|(other, _)| other.clone()).chain(at_start).collect();
                    (up, ran(ready), Came::Up)
                }
                (None, None) if needs(name).iter().all(is_ready) => {
                    let words = match course.waits_for.as_slice() {
                        [] => "it never becomes ready".to_owned(),
                        waits => format!("it waits for {}", waits.join(", ")),
                    };
                    (at_start, ran(self.ended), Came::Failed(words))
                }
                (None, None) => return None,
            };
            let numbers = |names: &BTreeSet<String>| names.iter().filter_map(|other| number(other)).collect();
            let (up, up_at_start) = (numbers(&up), numbers(&course.up));
            let named = match &came {
                Came::Failed(why) => words_of(why).filter(|word| word != name).filter_map(&number).collect(),
                Came::Up => BTreeSet::new(),
            };
            let (service, order) = (number(name)?, self.number as usize);
            Some(Start { service, order, up, up_at_start, ran, named, came })
        };
        self.services.iter().filter_map(start).collect()
    }
}

/// Everything in a text that may be the name of a service.
pub fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '-')
}

#[derive(Default)]
struct Reader {
    ready: BTreeSet<String>,
    current: Option<Tried>,
    waiting: Waiting,
    done: Vec<Tried>,
}

/// Who waits to be started again, and for how long somebody has.
#[derive(Default)]
struct Waiting {
    services: BTreeSet<String>,
    since: Micros,
    total: Micros,
}

impl Waiting {
    fn begin(&mut self, at: Micros, service: &str) {
        if self.services.is_empty() {
            self.since = at;
        }
        self.services.insert(service.to_owned());
    }

    fn end(&mut self, at: Micros, service: &str) {
        if self.services.remove(service) && self.services.is_empty() {
            self.total += at.saturating_sub(self.since);
        }
    }

    /// All of it, until now.
    fn so_far(&self, at: Micros) -> Micros {
        self.total + if self.services.is_empty() { 0 } else { at.saturating_sub(self.since) }
    }
}

impl Reader {
    fn take(&mut self, event: &Event) {
        let at = event.at;
        match &event.what {
            What::OrderTried { attempt, order, groups, way } => {
                let mut rest = order.iter().cloned();
                let mut steps: Vec<Vec<String>> =
                    groups.iter().map(|size| rest.by_ref().take(*size).collect()).collect();
                steps.extend(rest.map(|one| vec![one]));
                self.waiting = Waiting::default();
                self.current = Some(Tried {
                    number: *attempt,
                    steps,
                    way: way.clone(),
                    began: at,
                    ended: at,
                    stuck: None,
                    waited: 0,
                    services: BTreeMap::new(),
                });
            }
            What::OrderEnded { stuck, .. } => {
                if let Some(mut tried) = self.current.take() {
                    (tried.ended, tried.stuck) = (at, stuck.clone());
                    tried.waited = self.waiting.so_far(at);
                    self.done.push(tried);
                }
            }
            What::Process { service, change } => self.process(at, service, change),
            What::Health(health) => self.health(at, health),
            _ => {}
        }
    }

    fn process(&mut self, at: Micros, service: &str, change: &ProcessChange) {
        let Self { ready, current, waiting, .. } = self;
        let services = current.as_mut().map(|tried| &mut tried.services);
        match change {
            ProcessChange::Spawned { .. } => {
                ready.remove(service);
                waiting.end(at, service);
                if let Some(services) = services {
                    let new = || Course { spawned: at, up: ready.clone(), ..Course::default() };
                    services.entry(service.to_owned()).or_insert_with(new);
                }
            }
            ProcessChange::Exited { .. } | ProcessChange::NotSpawned { .. } => {
                ready.remove(service);
                let Some(course) = services.and_then(|services| services.get_mut(service)) else { return };
                course.ready = None;
                let words = match change {
                    ProcessChange::Exited { asked: false, code, last_words, .. } => {
                        let how = code
                            .map_or("a signal ends it".into(), |code| format!("it exits with code {code}"));
                        format!("{how}, '{last_words}'")
                    }
                    ProcessChange::NotSpawned { error } => format!("it cannot be started: {error}"),
                    _ => return,
                };
                course.crashes.push(words);
                waiting.begin(at, service);
                course.first_crash.get_or_insert(at);
            }
            ProcessChange::BackingOff { .. } => {}
        }
    }

    fn health(&mut self, at: Micros, health: &Health) {
        let Health { service, ready, waits_for, .. } = health;
        if *ready {
            self.ready.insert(service.clone());
        } else {
            self.ready.remove(service);
        }
        let course = self.current.as_mut().and_then(|tried| tried.services.get_mut(service));
        let Some(course) = course else { return };
        course.ready = if *ready { course.ready.or(Some(at)) } else { None };
        if !waits_for.is_empty() {
            course.waits_for.clone_from(waits_for);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of one order; time passes by itself.
    struct Written(History);

    impl Written {
        fn order(services: &[&str]) -> Self {
            let order = services.iter().map(|one| (*one).to_owned()).collect();
            let way = Way::InTurn;
            Self(History::default()).then(What::OrderTried { attempt: 7, order, groups: Vec::new(), way })
        }

        fn then(mut self, what: What) -> Self {
            let at = 10 * (self.0.events.len() as Micros + 1);
            self.0.events.push(Event { at, what });
            self
        }

        fn process(self, service: &str, change: ProcessChange) -> Self {
            self.then(What::Process { service: service.into(), change })
        }

        fn spawned(self, service: &str) -> Self {
            self.process(service, ProcessChange::Spawned { pid: 1, restarts: 0 })
        }

        fn crashed(self, service: &str, words: &str) -> Self {
            let last_words = words.into();
            self.process(
                service,
                ProcessChange::Exited { code: Some(1), signal: None, asked: false, last_words },
            )
        }

        fn health(self, service: &str, waits_for: &[&str]) -> Self {
            let waits_for: Vec<String> = waits_for.iter().map(|one| (*one).to_owned()).collect();
            let ready = waits_for.is_empty();
            self.then(What::Health(Health { service: service.into(), live: true, ready, waits_for }))
        }

        fn ended(self, stuck: Option<&str>) -> Tried {
            let stuck = stuck.map(|service| Stuck { service: service.into(), why: "no".into() });
            let history = self.then(What::OrderEnded { attempt: 7, stuck }).0;
            Tried::all(&history).pop().expect("one order")
        }
    }

    fn starts(tried: &Tried) -> Vec<(usize, Vec<usize>, Came)> {
        let number = |name: &str| ["a", "b", "c"].iter().position(|one| *one == name);
        // `c` needs `b`, `b` needs `a`.
        let needs = |name: &str| match name {
            "c" => vec!["b".to_owned()],
            "b" => vec!["a".to_owned()],
            _ => Vec::new(),
        };
        let starts = tried.starts(number, needs).into_iter();
        starts.map(|one| (one.service, one.up.into_iter().collect(), one.came)).collect()
    }

    #[test]
    fn who_was_up_at_the_first_start_is_known() {
        let tried = Written::order(&["a", "b"])
            .spawned("a")
            .health("a", &[])
            .spawned("b")
            .health("b", &[])
            .ended(None);
        assert_eq!(tried.services["b"].up, BTreeSet::from(["a".to_owned()]));
        assert_eq!(starts(&tried), [(0, vec![], Came::Up), (1, vec![0], Came::Up)]);
        assert_eq!(tried.took(), Some(40));
    }

    #[test]
    fn a_crash_counts_though_its_supervisor_brings_it_up_later() {
        let tried = Written::order(&["b", "a"])
            .spawned("b")
            .crashed("b", "a unreachable")
            .spawned("a")
            .health("a", &[])
            .spawned("b")
            .health("b", &[])
            .ended(None);
        assert_eq!(tried.crashes(), 1);
        assert_eq!((tried.took(), tried.waited), (Some(60), 30));
        let failed = Came::Failed("it exits with code 1, 'a unreachable'".into());
        assert_eq!(starts(&tried), [(0, vec![], Came::Up), (1, vec![], failed)]);
    }

    #[test]
    fn two_who_wait_at_the_same_time_count_once_and_who_is_never_started_again_to_the_end() {
        let tried = Written::order(&["b", "c", "a"])
            .spawned("b")
            .spawned("c")
            .crashed("b", "a unreachable")
            .crashed("c", "a unreachable")
            .spawned("b")
            .spawned("c")
            .crashed("c", "a unreachable")
            .ended(Some("c"));
        // From 40 to 70, and from 80 to 90.
        assert_eq!(tried.waited, 40);
    }

    #[test]
    fn who_comes_up_when_an_earlier_one_does_may_have_needed_it() {
        let tried = Written::order(&["a", "b"])
            .spawned("a")
            .health("a", &["x"])
            .spawned("b")
            .health("b", &["a"])
            .health("a", &[])
            .health("b", &[])
            .ended(None);
        assert_eq!(starts(&tried)[1], (1, vec![0], Came::Up));
    }

    #[test]
    fn who_waits_for_ever_though_its_needs_are_up_has_failed_and_who_waits_for_it_tells_nothing() {
        let tried = Written::order(&["b", "a", "c"])
            .spawned("b")
            .health("b", &["a: not registered"])
            .spawned("a")
            .health("a", &[])
            .spawned("c")
            .health("c", &["b: not registered"])
            .ended(Some("b"));
        let failed = Came::Failed("it waits for a: not registered".into());
        assert_eq!(starts(&tried), [(0, vec![], Came::Up), (1, vec![], failed)]);
        assert_eq!(tried.took(), None);
    }

    #[test]
    fn at_once_nobody_can_say_who_was_first() {
        let mut tried = Written::order(&["a"]).spawned("a").health("a", &[]).ended(None);
        tried.way = Way::AtOnce;
        assert_eq!(starts(&tried), []);
    }
}
