//! What the plans that were tried tell together, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Came, OneOf, Order, Precedence, Precedences, Start, Tried, closure, explain, question, sorted,
    tried::words_of,
};
use crate::system::System;

/// Most times that the same is asked.
const OFTEN: usize = 2;

/// What the plans that were tried tell together. Services are numbers in the order of [`Self::names`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The services, as the system lists them.
    pub names: Vec<String>,
    /// What starts need.
    pub precedences: Precedences,
    /// Starts of the same service in the same order that went differently.
    pub flaky: Vec<Flaky>,
    /// Pairs that wait for each other, so that no order brings them up.
    pub deadlocks: Vec<(usize, usize)>,
    /// The order of the list with as little changed as the precedences ask for; none if they form a
    /// cycle, or something never comes up.
    pub order: Option<Order>,
    /// Who was up at some instants.
    snapshots: Vec<BTreeSet<usize>>,
}

/// A start that sometimes fails, in one and the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaky {
    /// Whose.
    pub service: usize,
    /// In which plan.
    pub plan: u32,
    /// How often it failed,
    pub failed: usize,
    /// of how many tries.
    pub of: usize,
    /// How.
    pub why: String,
}

impl Findings {
    /// What these tell of a system, in which these come first, always: whoever chose that knows why.
    pub fn of(system: &System, tried: &[Tried], first: &[String]) -> Self {
        let names: Vec<String> = system.services.iter().map(|service| service.name.clone()).collect();
        let number = |name: &str| names.iter().position(|one| one == name);
        let needs = |name: &str| {
            system.service(name).map(|service| service.needs.keys().cloned().collect()).unwrap_or_default()
        };
        let starts: Vec<Start> = tried.iter().flat_map(|one| one.starts(number, needs)).collect();
        let mut precedences = explain(names.len(), &starts);
        let flaky = flaky(&starts, &mut precedences);
        let snapshots = tried.iter().flat_map(|one| one.services.values());
        let snapshots = snapshots.map(|course| course.up.iter().filter_map(|name| number(name)).collect());
        let snapshots = snapshots.collect();
        let deadlocks = deadlocks(&names, tried, &precedences);
        let edges: Vec<(usize, usize)> = precedences.proven.iter().map(|one| (one.first, one.then)).collect();
        let rest = (0..names.len()).filter(|one| !first.contains(&names[*one]));
        let given: Order = first.iter().filter_map(|name| number(name)).chain(rest).collect();
        let broken = precedences.unexplained.iter().any(|one| !one.ever_up);
        let order = if broken { None } else { sorted(&given, &edges).ok() };
        Self { names, precedences, flaky, deadlocks, order, snapshots }
    }

    /// The plan numbers that prove something that nothing else proves, or that nothing explains: worth
    /// a second look.
    pub fn doubtful(&self) -> BTreeSet<u32> {
        let Precedences { proven, one_of, unexplained, .. } = &self.precedences;
        let alone = proven.iter().filter(|one| one.proofs < 2).map(|one| one.order);
        let odd = one_of.iter().map(|one| one.order);
        let odd = odd.chain(unexplained.iter().filter(|one| one.ever_up).map(|one| one.order));
        alone.chain(odd).filter_map(|order| u32::try_from(order).ok()).collect()
    }

    /// An order that settles what is open; see [`question`]. Nothing is asked more often than
    /// twice: a race is not settled by one answer.
    pub fn question(&self, asked: &BTreeMap<(usize, usize), usize>) -> Option<((usize, usize), Order)> {
        let mut left = self.precedences.clone();
        for questions in [&mut left.open, &mut left.harms] {
            questions.retain(|pair| asked.get(pair).is_none_or(|times| *times < OFTEN));
        }
        question(&left, self.order.as_ref()?)
    }

    /// Pairs of which nobody can say whether there is a precedence, though they were asked about: not
    /// those where a proven need is never up without the first of the pair.
    pub fn not_identifiable(&self) -> Vec<(usize, usize)> {
        let implied = |(first, then): &&(usize, usize)| {
            let mut needs =
                self.precedences.proven.iter().filter(|one| one.then == *then && one.fails == *then);
            needs.any(|need| self.snapshots.iter().all(|up| !up.contains(&need.first) || up.contains(first)))
        };
        let is_proven = |pair: &&(usize, usize)| {
            self.precedences.proven.iter().any(|one| (one.first, one.then) == **pair)
        };
        self.precedences.open.iter().filter(|pair| !implied(pair) && !is_proven(pair)).copied().collect()
    }

    /// The name of a service.
    pub fn name(&self, service: usize) -> &str {
        self.names.get(service).map_or("?", String::as_str)
    }

    /// `auth must not start before archive: it exits with code 1, 'archive unreachable'`.
    pub fn sentence(&self, one: &Precedence) -> String {
        let Precedence { first, then, fails, why, proofs, lucky, .. } = one;
        let who = if fails == then { String::new() } else { format!("{} fails: ", self.name(*fails)) };
        let race = match lucky {
            0 => String::new(),
            lucky => format!(" (a race: lost {proofs} times of {})", proofs + lucky),
        };
        format!("{} must not start before {}: {who}{why}{race}", self.name(*then), self.name(*first))
    }

    /// `auth must not start before one of archive, manager, and which is not identifiable: ...`.
    pub fn alternative(&self, one: &OneOf) -> String {
        let among: Vec<&str> = one.among.iter().map(|first| self.name(*first)).collect();
        format!(
            "{} must not start before one of {}, and which is not identifiable: {}",
            self.name(one.service),
            among.join(", "),
            one.why
        )
    }

    /// Whether the proven precedences say the same as the declared needs.
    pub fn is_what_is_declared(&self, system: &System) -> bool {
        let n = self.names.len();
        let number = |name: &str| self.names.iter().position(|one| one == name);
        let declared =
            system.hops().into_iter().filter_map(|hop| Some((number(&hop.server)?, number(&hop.client)?)));
        let proven = self.precedences.proven.iter().map(|one| (one.first, one.then));
        closure(n, declared) == closure(n, proven)
    }
}

/// Failures that nothing explains, of a start that also went well in the very same order: flaky.
fn flaky(starts: &[Start], precedences: &mut Precedences) -> Vec<Flaky> {
    let mut flaky: Vec<Flaky> = Vec::new();
    precedences.unexplained.retain(|one| {
        let tries = || starts.iter().filter(|start| (start.service, start.order) == (one.service, one.order));
        let failed = tries().filter(|start| start.came != Came::Up).count();
        let of = tries().count();
        if failed == of {
            return true;
        }
        let plan = u32::try_from(one.order).unwrap_or(u32::MAX);
        if !flaky.iter().any(|known| (known.service, known.plan) == (one.service, plan)) {
            flaky.push(Flaky { service: one.service, plan, failed, of, why: one.why.clone() });
        }
        false
    });
    flaky
}

/// Two services that never came up, each of which waits for the other.
fn deadlocks(names: &[String], tried: &[Tried], precedences: &Precedences) -> Vec<(usize, usize)> {
    let never: BTreeSet<usize> =
        precedences.unexplained.iter().filter(|one| !one.ever_up).map(|one| one.service).collect();
    let waits = |one: usize, other: usize| {
        let mut courses = tried.iter().filter_map(|plan| plan.services.get(&names[one]));
        let names_it = |what: &String| words_of(what).any(|word| word == names[other]);
        courses.any(|course| course.waits_for.iter().any(names_it))
    };
    let pairs = never.iter().flat_map(|a| never.range(a + 1..).map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| waits(*a, *b) && waits(*b, *a)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_that_follows_begins_with_those_that_always_come_first() {
        let service = |name: &str| {
            format!(
                "[[services]]\nname = \"{name}\"\nprogram = \"a\"\nserves = \"w\"\nmounts.w.authority = \"mesh\"\n"
            )
        };
        let services: String = ["etcd", "api", "kubelet"].map(service).concat();
        let text = format!("name = \"one\"\nauthorities = [\"mesh\"]\n{services}");
        let system = System::from_toml(&text, "test").expect("a system");
        let order = |first: &[String]| Findings::of(&system, &[], first).order;
        assert_eq!(order(&["kubelet".into()]), Some(vec![2, 0, 1]));
        assert_eq!(order(&[]), Some(vec![0, 1, 2]));
    }
}
