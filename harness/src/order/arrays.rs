//! Sequence covering arrays: those that were found by search, and the direct construction.

use super::Order;

/// Strength 4 is there for up to so many.
pub(super) const MOST_OF_FOUR: usize = 12;

/// Found by `examples/search_orders.rs`. A block an array: its strength, then an order a line, a letter
/// an event. Leaving events out of an array leaves one of the same strength.
const FOUND: &str = include_str!("arrays.txt");
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The smallest known array for `n`; none if there is none.
pub(super) fn known(strength: usize, n: usize) -> Option<Vec<Order>> {
    if n == strength {
        return Some(every(n));
    }
    let of_strength = |block: &&str| block.lines().next() == Some(&strength.to_string());
    let rows = |block: &'static str| block.lines().skip(1);
    let large_enough = |block: &&'static str| rows(block).next().is_some_and(|row| row.len() >= n);
    let blocks = FOUND.split("\n\n").map(str::trim).filter(of_strength).filter(large_enough);
    let smallest = blocks.min_by_key(|block| rows(block).count())?;
    let event = |letter| LETTERS.find(letter).filter(|event| *event < n);
    Some(begin_with_given(rows(smallest).map(|row| row.chars().filter_map(event).collect()).collect()))
}

/// Tarui, "On the minimum number of completely 3-scrambling permutations" (2008). With `m` such that
/// there are at least `n` subsets of `m / 2` out of `m`, each event has a subset of its own. For each
/// of the `m`: the events whose subset lacks it, then the others; once with both parts ascending, once
/// with both descending. Strength 3 in `2 m` orders.
pub(super) fn tarui(n: usize) -> Vec<Order> {
    let enough = |m: &usize| subsets(*m, m / 2).take(n).count() == n;
    // A set of 63 has more subsets than memory has room for services.
    let m = (1..63).find(enough).unwrap_or(63);
    let own: Vec<u64> = subsets(m, m / 2).take(n).collect();
    let mut orders = Vec::new();
    for bit in 0..m {
        let has = |event: &usize| own[*event] >> bit & 1 == 1;
        let (with, without): (Order, Order) = (0..n).partition(has);
        orders.push(without.iter().chain(&with).copied().collect());
        orders.push(without.iter().rev().chain(with.iter().rev()).copied().collect());
    }
    begin_with_given(orders)
}

/// All orders, in the order of the dictionary.
pub(super) fn every(n: usize) -> Vec<Order> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let with_first = |first| {
        let rest = move |order: Order| {
            let others = order.into_iter().map(move |other| if other < first { other } else { other + 1 });
            std::iter::once(first).chain(others).collect()
        };
        every(n - 1).into_iter().map(rest)
    };
    (0..n).flat_map(with_first).collect()
}

/// The subsets with `size` out of `m`, as bits, ascending.
fn subsets(m: usize, size: usize) -> impl Iterator<Item = u64> {
    (0_u64..1 << m).filter(move |bits| bits.count_ones() as usize == size)
}

/// Gives the events other names, so that the first order is `0..n`: it stays an array.
fn begin_with_given(orders: Vec<Order>) -> Vec<Order> {
    let mut name = vec![0; orders[0].len()];
    for (place, event) in orders[0].iter().enumerate() {
        name[*event] = place;
    }
    orders.into_iter().map(|order| order.into_iter().map(|event| name[event]).collect()).collect()
}
