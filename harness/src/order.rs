//! Orders to start things in: few that show every way in which an order can matter.
//!
//! Whether a service starts depends on what is up by then, not on what came just before it. If it takes
//! `t` services in the wrong order to break a start, any list of orders in which every `t` services
//! appear in every order of theirs, near or far from each other, shows it: a sequence covering array of
//! strength `t` (Kuhn et al., "Combinatorial methods for event sequence testing", NIST). For nine
//! services there are 362,880 orders, and 9 of them are enough for strength 3.

mod arrays;
mod bed;
mod findings;
mod fleet;
mod graph;
mod plan;
mod precedence;
mod race;
mod tried;

use std::{fmt, str::FromStr};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

pub use bed::{Bed, Limits};
pub use findings::{Findings, Flaky};
pub use fleet::{Outcome, Trials, Watcher, fitting};
pub use graph::{closure, sorted};
pub use plan::{Choice, Kind, Plan, numbered, plans};
pub use precedence::{Came, OneOf, Precedence, Precedences, Start, Unexplained, explain, question};
pub use tried::{Course, Tried};

use crate::error::{Error, Result};

/// One order: a permutation of `0..n`.
pub type Order = Vec<usize>;

/// Every order up to this many things; 7 have 5,040.
pub const EXHAUSTIVE: usize = 7;

/// Which orders are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strength {
    /// One order and its reverse: every two in both orders.
    Two,
    /// Every three in all 6 orders of theirs.
    #[default]
    Three,
    /// Every four in all 24 orders of theirs, for up to 12.
    Four,
    /// All orders, for up to [`EXHAUSTIVE`].
    Every,
}

/// Orders of `0..n` in which every few appear in all orders of theirs.
///
/// | strength | orders of 5, 9, 12, 20, 50 |
/// |---|---|
/// | 2 | 2 |
/// | 3 | 7, 9, 10, 11, 16 |
/// | 4 | 24, 44, 55, -, - |
///
/// The first order is `0..n` as it is.
///
/// # Errors
/// If `n` is below the strength, or above what the strength is there for.
pub fn covering(n: usize, strength: Strength) -> Result<Vec<Order>> {
    let least = match strength {
        Strength::Every => 1,
        Strength::Two => 2,
        Strength::Three => 3,
        Strength::Four => 4,
    };
    if n < least {
        return Err(Error::usage(format!("strength {strength} is above the number of services, {n}"))
            .hint(format!("use --strength {}", if n < 2 { "all".to_owned() } else { n.to_string() })));
    }
    match strength {
        Strength::Two => Ok(vec![(0..n).collect(), (0..n).rev().collect()]),
        Strength::Three => Ok(arrays::known(3, n).unwrap_or_else(|| arrays::tarui(n))),
        Strength::Four => arrays::known(4, n).ok_or_else(|| {
            Error::usage(format!(
                "strength 4 is there for up to {} services; these are {n}",
                arrays::MOST_OF_FOUR
            ))
            .hint("use --strength 3, which is there for any number, and --random COUNT for more")
        }),
        Strength::Every if n <= EXHAUSTIVE => Ok(arrays::every(n)),
        Strength::Every => {
            Err(Error::usage(format!("all orders are there for up to {EXHAUSTIVE} services; these are {n}"))
                .hint("use --strength 4 for up to 12, and --strength 3 for more"))
        }
    }
}

/// Orders of `0..n`, each as likely as any other. The same seed gives the same orders.
pub fn random(n: usize, count: usize, seed: u64) -> Vec<Order> {
    let mut random = StdRng::seed_from_u64(seed);
    let shuffled = |_| {
        let mut order: Order = (0..n).collect();
        order.shuffle(&mut random);
        order
    };
    (0..count).map(shuffled).collect()
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Two => "2",
            Self::Three => "3",
            Self::Four => "4",
            Self::Every => "all",
        })
    }
}

impl FromStr for Strength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2" => Ok(Self::Two),
            "3" => Ok(Self::Three),
            "4" => Ok(Self::Four),
            "all" => Ok(Self::Every),
            _ => Err("a strength is 2, 3, 4 or `all`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The judge, which knows nothing of how arrays are made: every sequence of `t` in any order that
    /// appears nowhere.
    fn missing(orders: &[Order], n: usize, t: usize) -> usize {
        fn collect(order: &[usize], t: usize, chosen: &mut Vec<usize>, seen: &mut HashSet<Vec<usize>>) {
            if chosen.len() == t {
                seen.insert(chosen.clone());
                return;
            }
            for (place, one) in order.iter().enumerate() {
                chosen.push(*one);
                collect(&order[place + 1..], t, chosen, seen);
                chosen.pop();
            }
        }
        let mut seen = HashSet::new();
        for order in orders {
            collect(order, t, &mut Vec::new(), &mut seen);
        }
        (0..t).map(|taken| n - taken).product::<usize>() - seen.len()
    }

    fn are_orders(orders: &[Order], n: usize) -> bool {
        orders.iter().all(|order| {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            sorted == (0..n).collect::<Vec<_>>()
        })
    }

    #[test]
    fn strength_3_covers_and_is_as_small_as_the_best_that_is_known() {
        for n in 3..=50 {
            let orders = covering(n, Strength::Three).expect("there");
            assert!(are_orders(&orders, n) && missing(&orders, n, 3) == 0, "{n}");
            let known = match n {
                3 | 4 => 6,
                5 => 7,
                6..=8 => 8,
                9..=10 => 9,
                11..=15 => 10,
                16..=20 => 11,
                21..=25 => 12,
                26..=30 => 13,
                31..=40 => 14,
                _ => 15,
            };
            assert!(orders.len() <= known, "{n}: {} orders, {known} are known to do", orders.len());
        }
    }

    #[test]
    fn strength_3_of_many_is_as_small_as_the_direct_construction() {
        for (n, most) in [(51, 16), (70, 16), (71, 18), (126, 18)] {
            let orders = covering(n, Strength::Three).expect("there");
            assert!(are_orders(&orders, n) && missing(&orders, n, 3) == 0, "{n}");
            assert!(orders.len() <= most, "{n}: {}", orders.len());
        }
    }

    #[test]
    fn strength_4_covers_and_is_as_small_as_the_best_that_is_known() {
        for (n, known) in [(4, 24), (5, 24), (6, 24), (7, 32), (8, 40), (9, 44), (10, 48), (11, 52), (12, 55)]
        {
            let orders = covering(n, Strength::Four).expect("there");
            assert!(are_orders(&orders, n) && missing(&orders, n, 4) == 0, "{n}");
            assert!(orders.len() <= known, "{n}: {} orders, {known} are known to do", orders.len());
        }
    }

    #[test]
    fn all_orders_are_all_and_each_once() {
        for n in 1..=EXHAUSTIVE {
            let orders = covering(n, Strength::Every).expect("there");
            assert_eq!(orders.len(), (1..=n).product::<usize>());
            assert_eq!(orders.iter().collect::<HashSet<_>>().len(), orders.len());
            assert!(are_orders(&orders, n));
        }
    }

    #[test]
    fn the_first_order_is_the_given_one() {
        for strength in [Strength::Two, Strength::Three, Strength::Four, Strength::Every] {
            assert_eq!(covering(6, strength).expect("there")[0], [0, 1, 2, 3, 4, 5], "{strength}");
        }
        assert_eq!(covering(80, Strength::Three).expect("there")[0], (0..80).collect::<Order>());
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        for (n, strength, words) in [
            (2, Strength::Three, "strength 3 is above the number of services, 2"),
            (3, Strength::Four, "strength 4 is above the number of services, 3"),
            (13, Strength::Four, "up to 12 services; these are 13"),
            (8, Strength::Every, "up to 7 services; these are 8"),
        ] {
            let error = covering(n, strength).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_orders(n in 1_usize..30, seed: u64) {
            let orders = random(n, 5, seed);
            prop_assert_eq!(&orders, &random(n, 5, seed));
            prop_assert!(are_orders(&orders, n));
        }

        #[test]
        fn a_strength_covers_all_that_are_weaker(n in 4_usize..=12) {
            prop_assert_eq!(missing(&covering(n, Strength::Four).expect("there"), n, 3), 0);
            prop_assert_eq!(missing(&covering(n, Strength::Three).expect("there"), n, 2), 0);
        }
    }
}
