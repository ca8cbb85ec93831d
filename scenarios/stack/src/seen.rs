//! Which numbers were seen, which are missing, and which still have to be acknowledged.

use serde::{Deserialize, Serialize};

/// Numbers seen, as a high-water mark with gaps under it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The highest number seen; 0 if none was.
    pub high: u64,
    /// Numbers under it that were not seen: each from the first to the last, both included.
    pub gaps: Vec<(u64, u64)>,
}

impl Seen {
    /// Whether this number was seen.
    pub fn has(&self, number: u64) -> bool {
        number <= self.high && !self.gaps.iter().any(|(from, to)| (*from..=*to).contains(&number))
    }

    /// Sees a number. Says whether a gap opened, shrank or closed.
    pub fn see(&mut self, number: u64) -> bool {
        if number > self.high {
            let opened = number > self.high + 1;
            if opened {
                self.gaps.push((self.high + 1, number - 1));
            }
            self.high = number;
            return opened;
        }
        let Some(at) = self.gaps.iter().position(|(from, to)| (*from..=*to).contains(&number)) else {
            return false;
        };
        let (from, to) = self.gaps.remove(at);
        let rest = [(from, number - 1), (number + 1, to)].into_iter().filter(|(from, to)| from <= to);
        self.gaps.splice(at..at, rest);
        true
    }

    /// What is missing between two numbers, both included.
    pub fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let cut = self.gaps.iter().map(|gap| (gap.0.max(from), gap.1.min(to)));
        cut.filter(|(from, to)| from <= to).collect()
    }
}

/// Ascending numbers as ranges, both ends included.
pub fn ranges(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_jump_opens_a_gap_and_the_missing_numbers_close_it() {
        let mut seen = Seen::default();
        assert!(seen.see(4));
        assert_eq!(seen.gaps, [(1, 3)]);
        assert!(seen.see(2));
        assert_eq!(seen.gaps, [(1, 1), (3, 3)]);
        assert_eq!(seen.missing(2, 9), [(3, 3)]);
        assert!(seen.see(1) && seen.see(3));
        assert_eq!(seen, Seen { high: 4, gaps: vec![] });
    }

    proptest! {
        /// It is the same as a set of numbers, in whatever order they come.
        #[test]
        fn it_remembers_exactly_what_it_saw(numbers in prop::collection::vec(1_u64..60, 0..80)) {
            let mut seen = Seen::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                seen.see(number);
                set.insert(number);
            }
            prop_assert_eq!(seen.high, set.last().copied().unwrap_or(0));
            for number in 1..61 {
                prop_assert_eq!(seen.has(number), set.contains(&number));
            }
            let missing: Vec<u64> = (1..=seen.high).filter(|number| !set.contains(number)).collect();
            prop_assert_eq!(seen.gaps, ranges(missing));
        }
    }
}
