//! Why a start failed: the fewest precedences that explain every failure and contradict no success.
//!
//! A service that came up without another one does not need it; one that failed lacked at least one
//! thing that was up whenever it came up. So what it may need is what was up at each of its successes,
//! and a failure in which exactly one of these was missing proves that one. The same with the signs
//! changed finds those who harm a start by being there already.

use std::collections::{BTreeMap, BTreeSet};

use super::{Order, closure, race};

/// One start of one service in one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which service, as a number below `n`.
    pub service: usize,
    /// In which order, as a number for the reader.
    pub order: usize,
    /// The others that were up: of a success those that may have been before it was, of a failure those
    /// that certainly were when it failed.
    pub up: BTreeSet<usize>,
    /// The others that were up at the moment of the start.
    pub up_at_start: BTreeSet<usize>,
    /// The others whose processes ran by the end of it, up or not.
    pub ran: BTreeSet<usize>,
    /// The others that the words of its failure name: what it says itself that it lacks.
    pub named: BTreeSet<usize>,
    /// What came of it.
    pub came: Came,
}

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// It became ready by itself.
    Up,
    /// It did not, in these words.
    Failed(String),
}

/// `then` must not start before `first`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precedence {
    /// Who has to be up.
    pub first: usize,
    /// Who has to wait for that.
    pub then: usize,
    /// Whose start fails otherwise: `then` lacks `first`, or `first` is harmed by `then`.
    pub fails: usize,
    /// How it fails.
    pub why: String,
    /// The order that proves it,
    pub order: usize,
    /// and how many failures do.
    pub proofs: usize,
    /// How many starts in the wrong order went well all the same: a race, which is lost most of the time.
    pub lucky: usize,
}

/// A failure that any one of several precedences explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOf {
    /// Whose start failed.
    pub service: usize,
    /// Of these it needs at least one.
    pub among: BTreeSet<usize>,
    /// How it failed.
    pub why: String,
    /// In which order.
    pub order: usize,
}

/// A failure that no precedence explains: the same start, or one with less, worked; or none ever did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// Whose start failed.
    pub service: usize,
    /// How it failed.
    pub why: String,
    /// In which order.
    pub order: usize,
    /// Whether it ever came up.
    pub ever_up: bool,
}

/// What starts tell about the order that they need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precedences {
    /// Certain: without it a failure has no explanation. Sorted by `then` and `first`; what follows from
    /// two others is left out.
    pub proven: Vec<Precedence>,
    /// Failures for which it is certain that there is a precedence, and not which.
    pub one_of: Vec<OneOf>,
    /// Pairs `(first, then)` of which these starts tell neither that it is so nor that it is not; and
    /// those where a race is the explanation, which is worth a question.
    pub open: Vec<(usize, usize)>,
    /// Pairs `(first, then)` where `then` may harm the start of `first`, which is worth a question.
    pub harms: Vec<(usize, usize)>,
    /// Failures that are no matter of order.
    pub unexplained: Vec<Unexplained>,
}

/// What these starts of `n` services tell.
pub fn explain(n: usize, starts: &[Start]) -> Precedences {
    let mut found = Precedences::default();
    let mut may_need = Vec::new();
    for service in 0..n {
        let own: Vec<&Start> = starts.iter().filter(|start| start.service == service).collect();
        let mut one = Precedences::default();
        let mut needed = explain_one(n, service, &own, &mut one);
        let contradicted = one.unexplained.iter().any(|failure| failure.ever_up);
        if contradicted {
            match race::suspects(n, service, &own).as_slice() {
                [] => {}
                [race] => {
                    one = Precedences { proven: vec![race.clone()], ..Precedences::default() };
                    needed.clear();
                }
                // Any of them; ask.
                several => several.iter().for_each(|race| found.ask(race)),
            }
        }
        // That something does harm, or is a race, is seldom so: ask, whatever these starts say.
        let odd = one.proven.iter().filter(|one| one.fails != one.then || one.lucky > 0);
        odd.for_each(|odd| found.ask(odd));
        may_need.push(needed);
        found.proven.extend(one.proven);
        found.one_of.extend(one.one_of);
        found.unexplained.extend(one.unexplained);
    }
    let closed = closure(n, found.proven.iter().map(|one| (one.first, one.then)));
    for (then, may_need) in may_need.iter().enumerate() {
        // What a proven need needs is up with it, always: no start can tell them apart, and none has to.
        let open = may_need.iter().filter(|first| !closed[then].contains(first));
        found.open.extend(open.map(|first| (*first, then)));
    }
    for questions in [&mut found.open, &mut found.harms] {
        questions.sort_unstable();
        questions.dedup();
    }
    found.proven.retain(|one| {
        let through = |between: &usize| *between != one.first && closed[*between].contains(&one.first);
        one.fails != one.then || !closed[one.then].iter().any(through)
    });
    found.proven.sort_by_key(|one| (one.then, one.first));
    found
}

impl Precedences {
    /// Notes that this is worth a question.
    fn ask(&mut self, one: &Precedence) {
        let questions = if one.fails == one.then { &mut self.open } else { &mut self.harms };
        questions.push((one.first, one.then));
    }
}

/// Explains the failures of one service; gives what it may need if it fails at all.
fn explain_one(n: usize, service: usize, own: &[&Start], found: &mut Precedences) -> BTreeSet<usize> {
    let failures = || {
        own.iter().filter_map(|start| match &start.came {
            Came::Failed(why) => Some((*start, why)),
            Came::Up => None,
        })
    };
    if failures().next().is_none() {
        return BTreeSet::new();
    }
    let others: BTreeSet<usize> = (0..n).filter(|other| *other != service).collect();
    let successes: Vec<&BTreeSet<usize>> =
        own.iter().filter(|start| start.came == Came::Up).map(|start| &start.up).collect();
    if successes.is_empty() {
        found.unexplained.extend(failures().map(|(start, why)| Unexplained {
            service,
            why: why.clone(),
            order: start.order,
            ever_up: false,
        }));
        return BTreeSet::new();
    }
    let needed: BTreeSet<usize> =
        others.iter().copied().filter(|one| successes.iter().all(|up| up.contains(one))).collect();
    let ran: BTreeSet<usize> =
        own.iter().filter(|start| start.came == Came::Up).flat_map(|start| &start.ran).copied().collect();
    let harmful: BTreeSet<usize> = others.difference(&ran).copied().collect();

    let mut proven: BTreeMap<(usize, usize), Precedence> = BTreeMap::new();
    let mut several: Vec<OneOf> = Vec::new();
    for (start, why) in failures() {
        let lacking: BTreeSet<usize> = needed.difference(&start.up).copied().collect();
        let harmed: BTreeSet<usize> = harmful.intersection(&start.ran).copied().collect();
        let (order, why) = (start.order, why.clone());
        // That something is needed is the simpler explanation, and the common one.
        let single = match (one_of(&lacking), one_of(&harmed)) {
            (Some(first), _) => Some((first, service)),
            (None, Some(then)) if lacking.is_empty() => Some((service, then)),
            _ => None,
        };
        if let Some((first, then)) = single {
            let fails = service;
            let new = Precedence { first, then, fails, why, order, proofs: 0, lucky: 0 };
            proven.entry((first, then)).or_insert(new).proofs += 1;
        } else if !lacking.is_empty() {
            several.push(OneOf { service, among: lacking, why, order });
        } else {
            found.unexplained.push(Unexplained { service, why, order, ever_up: true });
        }
    }
    // Not what a certain one explains already, and of several that contain each other the smallest.
    let hit = |one: &OneOf| one.among.iter().any(|first| proven.contains_key(&(*first, service)));
    several.retain(|one| !hit(one));
    several.sort_by_key(|one| one.among.len());
    for one in several {
        if !found.one_of.iter().any(|known| known.service == service && known.among.is_subset(&one.among)) {
            found.one_of.push(one);
        }
    }
    found.proven.extend(proven.into_values());
    needed
}

/// The order that settles something open: the pair `(first, then)`, and an order in which everything of
/// `good` is as it was but these two. None if nothing is open.
///
/// If `then` may need `first`, that comes just after it. If `then` may harm `first`, it comes just before.
/// `good` is an order in which everything came up. Whatever may need `first` and comes after it in
/// `good` is settled before: then the answer is clear, whether it is yes or no.
pub fn question(found: &Precedences, good: &[usize]) -> Option<((usize, usize), Order)> {
    let place = |one: usize| good.iter().position(|other| *other == one).unwrap_or(usize::MAX);
    let in_order = |(first, then): &&(usize, usize)| place(*first) < place(*then);
    let need = found.open.iter().filter(in_order);
    if let Some(pair) = need.min_by_key(|(first, then)| (place(*then), usize::MAX - place(*first))) {
        return Some((*pair, moved(good, pair.0, pair.1, 1)?));
    }
    let pair = found.harms.iter().find(in_order)?;
    Some((*pair, moved(good, pair.1, pair.0, 0)?))
}

/// The order with one of it moved to another, so many places behind.
fn moved(order: &[usize], one: usize, other: usize, behind: usize) -> Option<Order> {
    let mut order: Order = order.iter().copied().filter(|service| *service != one).collect();
    let place = order.iter().position(|service| *service == other)?;
    order.insert(place + behind, one);
    Some(order)
}

fn one_of(set: &BTreeSet<usize>) -> Option<usize> {
    if set.len() == 1 { set.first().copied() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::order::{Strength, covering, sorted};

    fn start(service: usize, order: usize, up: &[usize], failed: Option<&str>) -> Start {
        let came = failed.map_or(Came::Up, |words| Came::Failed(words.into()));
        let up: BTreeSet<usize> = up.iter().copied().collect();
        let named = BTreeSet::new();
        Start { service, order, ran: up.clone(), up_at_start: up.clone(), up, named, came }
    }

    fn pairs(found: &Precedences) -> Vec<(usize, usize)> {
        found.proven.iter().map(|one| (one.first, one.then)).collect()
    }

    #[test]
    fn who_never_fails_needs_nothing() {
        let found = explain(3, &[start(1, 0, &[0], None), start(1, 1, &[], None)]);
        assert_eq!(found, Precedences::default());
    }

    #[test]
    fn a_failure_that_lacked_one_thing_proves_it() {
        let starts = [start(2, 0, &[0, 1], None), start(2, 1, &[0], Some("1 unreachable"))];
        let found = explain(3, &starts);
        assert_eq!(pairs(&found), [(1, 2)]);
        assert_eq!((found.proven[0].why.as_str(), found.proven[0].order), ("1 unreachable", 1));
        assert_eq!(found.open, [(0, 2)], "it never started without 0");
    }

    #[test]
    fn a_failure_that_lacked_two_things_tells_only_that_it_is_one_of_them() {
        let starts = [start(2, 0, &[0, 1], None), start(2, 1, &[], Some("no"))];
        let found = explain(3, &starts);
        assert_eq!(pairs(&found), []);
        assert_eq!(found.one_of[0].among, BTreeSet::from([0, 1]));
        assert_eq!(found.open, [(0, 2), (1, 2)]);
    }

    #[test]
    fn what_a_need_needs_is_no_precedence_of_its_own() {
        let starts = [
            start(1, 0, &[0], None),
            start(1, 1, &[], Some("no 0")),
            start(2, 0, &[0, 1], None),
            start(2, 2, &[0], Some("no 1")),
        ];
        let found = explain(3, &starts);
        assert_eq!(pairs(&found), [(0, 1), (1, 2)]);
        assert_eq!(found.open, [], "1 is never up without 0");
    }

    #[test]
    fn who_is_harmed_by_another_has_to_start_before_it() {
        let starts = [
            start(0, 0, &[], None),
            start(0, 1, &[1], None),
            start(0, 2, &[1, 2], Some("overloaded")),
            start(0, 3, &[2], Some("overloaded")),
        ];
        let found = explain(3, &starts);
        assert_eq!(pairs(&found), [(0, 2)]);
        assert_eq!(found.proven[0].fails, 0);
    }

    #[test]
    fn a_failure_with_more_than_a_success_had_is_no_matter_of_order() {
        let starts =
            [start(1, 0, &[], None), start(1, 0, &[0], None), start(1, 1, &[0], Some("out of memory"))];
        let found = explain(2, &starts);
        assert_eq!(pairs(&found), []);
        assert!(found.unexplained[0].ever_up);
    }

    #[test]
    fn who_never_comes_up_is_broken_and_not_early() {
        let found = explain(2, &[start(1, 0, &[0], Some("bad settings")), start(1, 1, &[], Some("too"))]);
        assert_eq!(pairs(&found), []);
        assert!(found.unexplained.iter().all(|one| !one.ever_up));
    }

    /// Needs of each of up to 12 services, without a cycle: whoever is later in a random order may need
    /// whoever is earlier.
    fn graphs() -> impl Strategy<Value = Vec<BTreeSet<usize>>> {
        (3_usize..=12, 0.0..0.7_f64)
            .prop_flat_map(|(n, density)| {
                let order = Just((0..n).collect::<Vec<_>>()).prop_shuffle();
                (order, proptest::collection::vec(proptest::bool::weighted(density), n * n))
            })
            .prop_map(|(order, edges)| {
                let n = order.len();
                let mut needs = vec![BTreeSet::new(); n];
                for (place, then) in order.iter().enumerate() {
                    needs[*then] =
                        order[..place].iter().copied().filter(|first| edges[then * n + first]).collect();
                }
                needs
            })
    }

    /// Starts one after another; whoever lacks a need fails, and its supervisor tries again later.
    fn simulate(needs: &[BTreeSet<usize>], orders: &[Order], starts: &mut Vec<Start>) {
        for order in orders {
            let number = starts.len();
            let mut up = BTreeSet::new();
            for (place, service) in order.iter().enumerate() {
                let came = if needs[*service].is_subset(&up) { Came::Up } else { Came::Failed("no".into()) };
                let ran = order[..place].iter().copied().collect();
                let up_at_start = up.clone();
                starts.push(Start {
                    service: *service,
                    order: number,
                    up: up.clone(),
                    up_at_start,
                    ran,
                    named: BTreeSet::new(),
                    came,
                });
                while let Some(next) =
                    order[..=place].iter().find(|one| !up.contains(*one) && needs[**one].is_subset(&up))
                {
                    up.insert(*next);
                }
            }
        }
    }

    /// Everything that a service can need, so that all of its starts went as they went.
    fn consistent(n: usize, service: usize, starts: &[Start]) -> Vec<BTreeSet<usize>> {
        let own: Vec<&Start> = starts.iter().filter(|start| start.service == service).collect();
        let sets = (0_u32..1 << n).filter(|bits| bits >> service & 1 == 0);
        let sets = sets.map(|bits| (0..n).filter(|one| bits >> one & 1 == 1).collect::<BTreeSet<_>>());
        sets.filter(|needs| own.iter().all(|start| needs.is_subset(&start.up) == (start.came == Came::Up)))
            .collect()
    }

    fn edges(needs: &[BTreeSet<usize>]) -> impl Iterator<Item = (usize, usize)> {
        needs.iter().enumerate().flat_map(|(then, needs)| needs.iter().map(move |first| (*first, then)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// The true precedences exactly, or what is open is said; and never one that is not true.
        #[test]
        fn strength_3_finds_the_true_precedences_or_says_what_is_open(needs in graphs()) {
            let n = needs.len();
            let mut starts = Vec::new();
            simulate(&needs, &covering(n, Strength::Three).expect("there"), &mut starts);
            let found = explain(n, &starts);
            let truth = closure(n, edges(&needs));
            let said = closure(n, pairs(&found).into_iter());
            for service in 0..n {
                prop_assert!(said[service].is_subset(&truth[service]));
                let never = found.unexplained.iter().any(|one| one.service == service);
                prop_assert!(!never || !starts.iter().any(|one| one.service == service && one.came == Came::Up));
            }
            if found.open.is_empty() && found.unexplained.is_empty() {
                prop_assert!(found.one_of.is_empty());
                prop_assert_eq!(&said, &truth);
            }
            for one in &found.one_of {
                prop_assert!(one.among.iter().any(|first| truth[one.service].contains(first)));
            }
        }

        /// What is proven is in every set of needs that fits, and what is open in some and not in others.
        #[test]
        fn what_is_said_is_what_follows(needs in graphs()) {
            let n = needs.len().min(8);
            let needs: Vec<BTreeSet<usize>> =
                needs[..n].iter().map(|own| own.iter().copied().filter(|one| *one < n).collect()).collect();
            let mut starts = Vec::new();
            simulate(&needs, &covering(n, Strength::Three).expect("there"), &mut starts);
            let found = explain(n, &starts);
            for service in (0..n).filter(|one| !found.unexplained.iter().any(|other| other.service == *one)) {
                let fits = consistent(n, service, &starts);
                prop_assert!(fits.contains(&needs[service]));
                for one in found.proven.iter().filter(|one| one.then == service) {
                    prop_assert!(fits.iter().all(|needs| needs.contains(&one.first)));
                }
                for (first, _) in found.open.iter().filter(|(_, then)| *then == service) {
                    prop_assert!(fits.iter().any(|needs| needs.contains(first)));
                    prop_assert!(fits.iter().any(|needs| !needs.contains(first)));
                }
            }
        }

        /// Asked one by one, everything is settled, and each question settles what it asks.
        #[test]
        fn questions_settle_everything(needs in graphs()) {
            let n = needs.len();
            let all: Vec<usize> = (0..n).collect();
            let good = sorted(&all, &edges(&needs).collect::<Vec<_>>()).expect("no cycle");
            let mut starts = Vec::new();
            simulate(&needs, &covering(n, Strength::Three).expect("there"), &mut starts);
            simulate(&needs, std::slice::from_ref(&good), &mut starts);
            while let Some((asked, order)) = question(&explain(n, &starts), &good) {
                simulate(&needs, &[order], &mut starts);
                prop_assert!(!explain(n, &starts).open.contains(&asked));
            }
            let found = explain(n, &starts);
            prop_assert!(found.open.is_empty() && found.one_of.is_empty() && found.unexplained.is_empty());
            prop_assert_eq!(closure(n, pairs(&found).into_iter()), closure(n, edges(&needs)));
        }
    }
}
