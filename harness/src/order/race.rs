//! Precedences of which a start sometimes gets away without: where the same order fails and works.
//!
//! What was not there at a start that went well says little, it may have come in time. But whoever has
//! what it needs, or is left alone, must not fail.

use super::{Came, Precedence, Start};

/// So many starts that went well with a service there say that it is enough.
const ENOUGH: usize = 2;

/// A race that is won more often than this times as often as it is lost is no explanation, unless every
/// failure names it.
const LUCK: usize = 2;

/// The service that was missing at the start of every failure, or ran by the end of each. Of several
/// those that every failure names, and of these the one in spite of which the fewest starts went well;
/// all of them, if several are equal.
pub fn suspects(n: usize, service: usize, own: &[&Start]) -> Vec<Precedence> {
    let (well, failed): (Vec<&Start>, Vec<&Start>) = own.iter().partition(|start| start.came == Came::Up);
    let Some(Start { came: Came::Failed(why), order, .. }) = failed.first() else { return Vec::new() };
    let lacked = |start: &Start, one: usize| !start.up_at_start.contains(&one);
    let harmed = |start: &Start, one: usize| start.ran.contains(&one);
    let named = |one: usize| failed.iter().all(|start| start.named.contains(&one));
    let guilty = |is_wrong: &dyn Fn(&Start, usize) -> bool| -> Vec<(usize, usize)> {
        let always = (0..n).filter(|one| *one != service && failed.iter().all(|start| is_wrong(start, *one)));
        let lucky = |one: usize| well.iter().filter(|start| is_wrong(start, one)).count();
        let counted = always.map(|one| (lucky(one), one));
        counted
            .filter(|(lucky, one)| {
                well.len() - lucky >= ENOUGH && (*lucky <= LUCK * failed.len() || named(*one))
            })
            .collect()
    };
    let (mut needs, mut harms) = (guilty(&lacked), guilty(&harmed));
    // What comes up together is told apart by chance; what the service itself says is no chance.
    if needs.iter().any(|(_, one)| named(*one)) {
        needs.retain(|(_, one)| named(*one));
        harms.clear();
    }
    let least = needs.iter().chain(&harms).map(|(lucky, _)| *lucky).min();
    for suspects in [&mut needs, &mut harms] {
        suspects.retain(|(lucky, _)| Some(*lucky) == least);
    }
    // That something is needed is the simpler explanation, and the common one.
    let best: Vec<(usize, usize, usize)> = if needs.is_empty() {
        harms.into_iter().map(|(lucky, one)| (lucky, service, one)).collect()
    } else {
        needs.into_iter().map(|(lucky, one)| (lucky, one, service)).collect()
    };
    let race = |(lucky, first, then)| {
        let (fails, why, order, proofs) = (service, why.clone(), *order, failed.len());
        Precedence { first, then, fails, why, order, proofs, lucky }
    };
    best.into_iter().map(race).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A start of 9 beside 0 to 3: who was up when it began, who ran, and whom its failure names, if it
    /// is one.
    fn start(up: &[usize], ran: &[usize], failed: Option<&[usize]>) -> Start {
        let set = |of: &[usize]| of.iter().copied().collect::<BTreeSet<_>>();
        Start {
            service: 9,
            order: 1,
            up: set(up),
            up_at_start: set(up),
            ran: set(ran),
            named: set(failed.unwrap_or_default()),
            came: failed.map_or(Came::Up, |_| Came::Failed("no".into())),
        }
    }

    fn found(starts: &[Start]) -> Vec<(usize, usize, usize)> {
        let own: Vec<&Start> = starts.iter().collect();
        suspects(4, 9, &own).into_iter().map(|one| (one.first, one.then, one.lucky)).collect()
    }

    #[test]
    fn who_was_missing_at_every_failure_is_needed_though_it_came_in_time_once() {
        let starts = [
            start(&[0, 1], &[], None),
            start(&[0, 1], &[], None),
            start(&[1], &[], None),
            start(&[1], &[], Some(&[])),
            start(&[], &[], Some(&[])),
        ];
        assert_eq!(found(&starts), [(0, 9, 1)]);
    }

    #[test]
    fn whom_every_failure_names_is_needed_though_another_was_missing_less_often() {
        let well = || start(&[0, 1], &[], None);
        let lucky = || start(&[1], &[], None);
        let starts = |named: &[usize]| {
            vec![well(), well(), lucky(), start(&[], &[], Some(named)), start(&[], &[], Some(&[0, 1]))]
        };
        assert_eq!(found(&starts(&[])), [(1, 9, 0)], "by luck alone");
        assert_eq!(found(&starts(&[0])), [(0, 9, 1)]);
        assert_eq!(found(&starts(&[0, 1])), [(1, 9, 0)], "both are named");
    }

    #[test]
    fn two_that_were_always_missing_together_are_both_suspects() {
        let starts = [start(&[0, 1], &[], None), start(&[0, 1], &[], None), start(&[], &[], Some(&[]))];
        assert_eq!(found(&starts), [(0, 9, 0), (1, 9, 0)]);
    }

    #[test]
    fn who_ran_at_every_failure_does_harm_if_nobody_was_missing() {
        let starts = [
            start(&[], &[0], None),
            start(&[0, 1, 2, 3], &[0], None),
            start(&[0, 1, 2, 3], &[0, 2], Some(&[])),
            start(&[0, 1, 2, 3], &[0, 2], None),
        ];
        assert_eq!(found(&starts), [(9, 2, 1)]);
    }

    #[test]
    fn what_mostly_goes_well_is_no_race() {
        let mut starts = vec![start(&[0, 1, 2, 3], &[], None); 2];
        starts.extend(vec![start(&[1, 2, 3], &[], None); 3]);
        let failed = |named| start(&[1, 2, 3], &[], Some(named));
        assert_eq!(found(&[starts.clone(), vec![failed(&[])]].concat()), []);
        assert_eq!(found(&[starts, vec![failed(&[0])]].concat()), [(0, 9, 3)], "the failure names it");
    }
}
