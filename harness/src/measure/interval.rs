//! Intervals in which something failed, how exactly their edges are known, and their union.

use std::fmt;

use crate::{history::Micros, words};

/// A stretch in which something failed: from the begin of the first try that failed to the begin of
/// the first later try that succeeded.
///
/// Tries are samples, so the true edges lie a little earlier: the failure began after `after` and by
/// `begin`; it ended after `last_failure` and by `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Begin of the last try that succeeded before it.
    pub after: Micros,
    /// Begin of the first try that failed.
    pub begin: Micros,
    /// Begin of the last try that failed.
    pub last_failure: Micros,
    /// Begin of the first try that succeeded again; the end of what was watched if none did.
    pub end: Micros,
    /// Whether no try succeeded again.
    pub open: bool,
}

/// A duration with how exactly it is known; the true one is within `value +- resolution`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The duration, microseconds.
    pub value: Micros,
    /// By how much it may be off, microseconds.
    pub resolution: Micros,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ± {}", words::span(self.value), words::span(self.resolution))
    }
}

impl Interval {
    /// How long it was.
    pub fn length(&self) -> Micros {
        self.end - self.begin
    }
}

/// The failing intervals of one sequence of tries (begin, whether it succeeded), ascending by begin,
/// as far as they lie between `since` and `until`.
pub fn failing(tries: impl Iterator<Item = (Micros, bool)>, since: Micros, until: Micros) -> Vec<Interval> {
    let mut intervals = Vec::new();
    let mut current: Option<Interval> = None;
    let mut last_success: Option<Micros> = None;
    for (at, ok) in tries.take_while(|(at, _)| *at <= until) {
        match (&mut current, ok) {
            (Some(interval), true) => {
                interval.end = at.max(since);
                interval.open = false;
                intervals.extend(current.take());
            }
            (Some(interval), false) => interval.last_failure = at.max(since),
            (None, false) => {
                let begin = at.max(since);
                let after = last_success.unwrap_or(begin).min(begin);
                current = Some(Interval { after, begin, last_failure: begin, end: until, open: true });
            }
            (None, true) => {}
        }
        if ok {
            last_success = Some(at);
        }
    }
    intervals.extend(current);
    // What ended before anybody was counting is none of ours.
    intervals.retain(|interval| interval.open || interval.end > since || interval.begin > since);
    intervals
}

/// The union of intervals; two that are less than `bridge` apart count as one.
pub fn union(mut intervals: Vec<Interval>, bridge: Micros) -> Vec<Interval> {
    intervals.sort_by_key(|interval| (interval.begin, interval.end));
    let mut merged: Vec<Interval> = Vec::new();
    for next in intervals {
        match merged.last_mut() {
            Some(last) if next.begin <= last.end || next.begin - last.end < bridge => {
                last.after = last.after.min(next.after);
                last.last_failure = last.last_failure.max(next.last_failure);
                last.end = last.end.max(next.end);
                last.open |= next.open;
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// The sum of disjoint intervals. Every one may have begun as early as its `after`, which makes the
/// sum longer, or ended as early as its `last_failure`, which makes it shorter; the resolution is the
/// larger of the two.
pub fn total(intervals: &[Interval]) -> Measured {
    let sum = |part: fn(&Interval) -> Micros| intervals.iter().map(part).sum::<Micros>();
    let early = sum(|interval| interval.begin - interval.after);
    let late = sum(|interval| if interval.open { 0 } else { interval.end - interval.last_failure });
    Measured { value: sum(Interval::length), resolution: early.max(late) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tries(text: &str) -> impl Iterator<Item = (Micros, bool)> {
        text.chars().enumerate().map(|(index, c)| (index as Micros * 5, c == '+'))
    }

    #[test]
    fn an_interval_runs_from_the_first_failure_to_the_first_success() {
        let found = failing(tries("++--+"), 0, 100);
        assert_eq!(found, [Interval { after: 5, begin: 10, last_failure: 15, end: 20, open: false }]);
        assert_eq!(total(&found), Measured { value: 10, resolution: 5 });
    }

    #[test]
    fn what_never_succeeds_again_stays_open_until_the_end() {
        let found = failing(tries("+-"), 0, 100);
        assert_eq!(found, [Interval { after: 0, begin: 5, last_failure: 5, end: 100, open: true }]);
    }

    #[test]
    fn what_failed_before_the_count_is_cut_or_left_out() {
        assert_eq!(failing(tries("-+++"), 10, 100), []);
        let cut = failing(tries("---+"), 10, 100);
        assert_eq!(cut, [Interval { after: 10, begin: 10, last_failure: 10, end: 15, open: false }]);
    }

    #[test]
    fn intervals_closer_than_the_bridge_are_one() {
        let found = failing(tries("-+--++++-+"), 0, 100);
        assert_eq!(union(found.clone(), 0).len(), 3);
        assert_eq!(union(found.clone(), 6).len(), 2);
        assert_eq!(union(found, 60).len(), 1);
    }

    fn sequence() -> impl Strategy<Value = Vec<(Micros, bool)>> {
        prop::collection::vec((1..50_u64, any::<bool>()), 0..60).prop_map(|steps| {
            let mut at = 0;
            steps
                .into_iter()
                .map(|(gap, ok)| {
                    at += gap;
                    (at, ok)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_union_is_no_longer_than_its_parts_or_the_time_watched(a in sequence(), b in sequence()) {
            let (a, b) = (failing(a.into_iter(), 100, 2_000), failing(b.into_iter(), 100, 2_000));
            let parts = total(&a).value + total(&b).value;
            let longest = total(&a).value.max(total(&b).value);
            let both = union(a.into_iter().chain(b).collect(), 0);
            let sum = total(&both).value;
            prop_assert!(longest <= sum && sum <= parts && sum <= 1_900, "{longest} {sum} {parts}");
            prop_assert!(both.windows(2).all(|pair| pair[0].end < pair[1].begin));
            prop_assert!(both.iter().all(|i| i.after <= i.begin && i.begin <= i.last_failure && i.last_failure <= i.end));
        }

        #[test]
        fn one_more_failure_never_makes_an_outage_shorter(tries in sequence(), which in any::<prop::sample::Index>()) {
            prop_assume!(!tries.is_empty());
            let before = total(&failing(tries.iter().copied(), 0, 3_000)).value;
            let mut worse = tries;
            let index = which.index(worse.len());
            worse[index].1 = false;
            let after = total(&failing(worse.into_iter(), 0, 3_000)).value;
            prop_assert!(before <= after, "{before} {after}");
        }

        #[test]
        fn the_truth_is_within_the_resolution(edges in (200..900_u64, 1_000..1_900_u64), gap in 1..60_u64) {
            let (broke, healed) = edges;
            let tries = (0..3_000).step_by(usize::try_from(gap).unwrap()).map(|at| (at, at < broke || at >= healed));
            let found = total(&failing(tries, 100, 3_000));
            prop_assert!(found.value.abs_diff(healed - broke) <= found.resolution, "{found}");
        }
    }
}
