//! When something failed, as few enough segments to draw: no failure is ever left out.

use crate::{
    history::Micros,
    measure::{Interval, Try},
};

use super::scale::{Extent, Scale};

/// Most segments in a lane.
const MOST: usize = 48;

/// A drawn stretch in which tries failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is drawn.
    pub extent: Extent,
    /// Begin of the first try that failed in it.
    pub first: Micros,
    /// Begin of the last try that failed in it.
    pub last: Micros,
    /// When it was over.
    pub end: Micros,
    /// How many intervals of failure it holds; more than one where they are too near to tell apart.
    pub intervals: usize,
    /// How many tries were begun from the first failure to the last.
    pub tried: usize,
    /// How many of them failed.
    pub failed: usize,
}

/// The segments of intervals of failure, and of the tries that they are from; both ascending by begin.
///
/// Every failed try lies under a segment. Where there are too many of them those that are nearest to each
/// other become one: the drawing may show a failure too wide, and never too narrow.
pub fn failures<T>(failing: Vec<Interval>, tries: &[Try<'_, T>], scale: Scale) -> Vec<Segment> {
    let mut segments: Vec<Segment> = failing
        .into_iter()
        .map(|interval| Segment {
            extent: scale.extent(interval.begin, interval.end),
            first: interval.begin,
            last: interval.last_failure,
            end: interval.end,
            intervals: 1,
            tried: 0,
            failed: 0,
        })
        .collect();
    let mut bridge = 0;
    loop {
        segments = merged(segments, bridge);
        if segments.len() <= MOST {
            break;
        }
        bridge = bridge * 2 + 1;
    }
    for segment in &mut segments {
        let from = tries.partition_point(|attempt| attempt.at < segment.first);
        let to = tries.partition_point(|attempt| attempt.at <= segment.last);
        segment.tried = to - from;
        segment.failed = tries[from..to].iter().filter(|attempt| !attempt.ok).count();
    }
    segments
}

/// The first failed try of a segment, for its words.
pub fn first_of<'t, 'h, T>(tries: &'t [Try<'h, T>], segment: &Segment) -> Option<&'t Try<'h, T>> {
    let from = tries.partition_point(|attempt| attempt.at < segment.first);
    tries[from..].iter().find(|attempt| !attempt.ok)
}

/// Segments that are at most `bridge` hundredths of a percent apart, as one.
fn merged(segments: Vec<Segment>, bridge: u32) -> Vec<Segment> {
    let mut merged: Vec<Segment> = Vec::new();
    for next in segments {
        match merged.last_mut() {
            Some(last) if next.extent.begin.0 <= last.extent.end.0 + bridge => {
                last.extent.end = last.extent.end.max(next.extent.end);
                last.last = last.last.max(next.last);
                last.end = last.end.max(next.end);
                last.intervals += next.intervals;
            }
            _ => merged.push(next),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{history::Operation, measure::failing};

    fn operation() -> Operation {
        Operation { name: "search".into(), user_facing: true, took: 0, error: None }
    }

    fn tries<'h>(of: &'h Operation, steps: &[(u64, bool)]) -> Vec<Try<'h, Operation>> {
        let mut at = 0;
        let attempt = |(gap, ok): &(u64, bool)| {
            at += gap;
            Try { at, answered: at, ok: *ok, leaves: [0; 2], of }
        };
        steps.iter().map(attempt).collect()
    }

    fn drawn(tries: &[Try<'_, Operation>], scale: Scale) -> Vec<Segment> {
        let outcomes = tries.iter().map(|attempt| (attempt.at, attempt.ok));
        failures(failing(outcomes, 0, scale.until), tries, scale)
    }

    #[test]
    fn a_failure_that_is_too_short_for_the_axis_is_drawn() {
        let of = operation();
        let tries = tries(&of, &[(0, true), (1_000_000_000, false), (1, true), (2_000_000_000, true)]);
        let segments = drawn(&tries, Scale::new(0, 3_000_000_001));
        assert_eq!(segments.len(), 1);
        assert_eq!((segments[0].failed, segments[0].tried), (1, 1));
        assert!(segments[0].extent.width().0 > 0);
    }

    #[test]
    fn failures_that_are_too_near_are_one_and_are_counted() {
        let of = operation();
        let flapping: Vec<_> = (0..100_000_u64).map(|index| (10, index.is_multiple_of(2))).collect();
        let tries = tries(&of, &flapping);
        let segments = drawn(&tries, Scale::new(0, 1_000_000));
        assert!(segments.len() <= MOST, "{}", segments.len());
        assert_eq!(segments.iter().map(|segment| segment.failed).sum::<usize>(), 50_000);
    }

    proptest! {
        #[test]
        fn no_failed_try_is_ever_invisible(
            steps in prop::collection::vec((0..5_000_u64, prop::bool::weighted(0.7)), 1..600),
            from in 0..1_000_u64,
        ) {
            let of = operation();
            let tries = tries(&of, &steps);
            let until = tries.last().map_or(1, |attempt| attempt.at + 10);
            let scale = Scale::new(from.min(until), until);
            let segments = drawn(&tries, scale);
            prop_assert!(segments.len() <= MOST);
            for attempt in tries.iter().filter(|attempt| !attempt.ok) {
                let place = scale.place(attempt.at);
                let under = |segment: &Segment| segment.extent.begin <= place && place <= segment.extent.end;
                prop_assert!(segments.iter().any(under), "{} is under none of {segments:?}", attempt.at);
            }
            let failed = tries.iter().filter(|attempt| !attempt.ok).count();
            prop_assert_eq!(segments.iter().map(|segment| segment.failed).sum::<usize>(), failed);
            prop_assert!(segments.windows(2).all(|pair| pair[0].extent.end < pair[1].extent.begin));
        }
    }
}
