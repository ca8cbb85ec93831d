//! Precedences as a graph: an order that keeps to them, and what follows from them.

use std::collections::BTreeSet;

use super::Order;

/// An order that keeps to all precedences and otherwise to `given`.
///
/// # Errors
/// The services of a cycle, if there is one: no order keeps to them.
pub fn sorted(given: &[usize], precedences: &[(usize, usize)]) -> Result<Order, Vec<usize>> {
    let mut left: Vec<usize> = given.to_vec();
    let mut order = Order::new();
    while !left.is_empty() {
        let waits = |one: &usize| precedences.iter().any(|(first, then)| then == one && left.contains(first));
        let Some(next) = left.iter().position(|one| !waits(one)) else { return Err(left) };
        order.push(left.remove(next));
    }
    Ok(order)
}

/// For each service everything that has to be up before it, directly or not.
pub fn closure(n: usize, precedences: impl Iterator<Item = (usize, usize)>) -> Vec<BTreeSet<usize>> {
    let mut before = vec![BTreeSet::new(); n];
    for (first, then) in precedences {
        before[then].insert(first);
    }
    loop {
        let grown: Vec<BTreeSet<usize>> = before
            .iter()
            .map(|own| own.iter().flat_map(|one| &before[*one]).chain(own).copied().collect())
            .collect();
        if grown == before {
            return before;
        }
        before = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_sorted_with_the_given_one_in_mind() {
        assert_eq!(sorted(&[3, 2, 1, 0], &[(0, 2)]), Ok(vec![3, 1, 0, 2]));
        assert_eq!(sorted(&[0, 1, 2], &[(0, 1), (1, 0)]), Err(vec![0, 1]));
    }
}
