//! The time axis of a chart: from instants to places, in whole hundredths of a percent.

use std::fmt;

use crate::history::Micros;

/// A place on the axis, or a width: hundredths of a percent of the axis. Written as CSS and SVG want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u32);

impl Place {
    /// The right end.
    pub const END: Self = Self(10_000);
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

/// A stretch of the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub begin: Place,
    /// Where it ends.
    pub end: Place,
}

impl Extent {
    /// How wide it is.
    pub fn width(self) -> Place {
        Place(self.end.0 - self.begin.0)
    }
}

/// The stretch of time that a chart shows.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Its left end.
    pub from: Micros,
    /// Its right end, later.
    pub until: Micros,
}

/// Nothing that is drawn is narrower: a millisecond must be seen in an hour.
const LEAST: u32 = 25;

impl Scale {
    /// From one instant to a later one.
    pub fn new(from: Micros, until: Micros) -> Self {
        Self { from, until: until.max(from + 1) }
    }

    /// Where an instant is. What lies outside is at the end that is nearer.
    pub fn place(self, at: Micros) -> Place {
        Place(self.scaled(at, 0))
    }

    /// Where a stretch of time is: never less of the axis than it takes.
    pub fn extent(self, begin: Micros, end: Micros) -> Extent {
        let (begin, end) = (self.scaled(begin, 0), self.scaled(end, 1));
        let missing = LEAST.saturating_sub(end.saturating_sub(begin));
        let begin = begin.saturating_sub(missing / 2).min(Place::END.0 - LEAST);
        Extent { begin: Place(begin), end: Place(end.max(begin + LEAST)) }
    }

    /// Whether any of a stretch of time is shown.
    pub fn shows(self, begin: Micros, end: Micros) -> bool {
        begin <= self.until && end >= self.from
    }

    /// At most `most` instants, evenly apart by a round time, as seen from `zero`; ascending.
    pub fn ticks(self, zero: Micros, most: u64) -> Vec<Micros> {
        let steps = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
        let length = self.until - self.from;
        let Some(step) = steps.take(50).find(|step| length / step < most) else { return Vec::new() };
        let first = match self.from.checked_sub(zero) {
            Some(after) => zero + after.next_multiple_of(step),
            None => zero - (zero - self.from) / step * step,
        };
        (first..=self.until).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect()
    }

    fn scaled(self, at: Micros, up: u64) -> u32 {
        let length = u128::from(self.until - self.from);
        let past = u128::from(at.clamp(self.from, self.until) - self.from) * u128::from(Place::END.0);
        // Up to the next place for an end, down for a begin: a stretch is never drawn too short.
        let place = if up == 1 { past.div_ceil(length) } else { past / length };
        u32::try_from(place).unwrap_or(Place::END.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_is_written_with_two_decimals() {
        assert_eq!(Scale::new(0, 3_000).place(1_000).to_string(), "33.33%");
        assert_eq!(Place::END.to_string(), "100.00%");
    }

    #[test]
    fn ticks_are_round_as_seen_from_zero() {
        assert_eq!(Scale::new(900, 4_100).ticks(1_250, 5), [1_250, 2_250, 3_250]);
        assert_eq!(Scale::new(0, 10).ticks(0, 7), [0, 2, 4, 6, 8, 10]);
    }

    proptest! {
        #[test]
        fn an_extent_holds_every_instant_of_its_stretch_and_stays_on_the_axis(
            (from, length) in (0..1_000_000_u64, 1..10_000_000_u64),
            (begin, took) in (0..12_000_000_u64, 0..5_000_000_u64),
            part in 0.0..=1.0_f64,
        ) {
            let scale = Scale::new(from, from + length);
            let extent = scale.extent(begin, begin + took);
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss,
                reason = "any instant within does")]
            let inside = scale.place(begin + (took as f64 * part) as u64);
            prop_assert!(extent.begin <= inside && inside <= extent.end, "{extent:?} {inside:?}");
            prop_assert!(extent.end <= Place::END && extent.width().0 >= LEAST, "{extent:?}");
        }

        #[test]
        fn there_are_few_ticks_and_all_are_shown(from in 0..5_000_000_u64, length in 1..5_000_000_000_u64, zero: u32) {
            let scale = Scale::new(from, from + length);
            let ticks = scale.ticks(zero.into(), 6);
            prop_assert!(ticks.len() <= 7, "{ticks:?}");
            prop_assert!(ticks.iter().all(|at| scale.shows(*at, *at)));
        }
    }
}
