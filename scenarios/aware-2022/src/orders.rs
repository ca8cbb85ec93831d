//! Orders that people try and that do not work.

use notafter::system::System;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

/// More shuffles than this without one that fails, and there is none: few systems have no needs.
const SHUFFLES: usize = 1000;

/// `count` different orders of these services in which one starts before something that it needs;
/// fewer if there are no more. The same seed gives the same orders.
pub fn wrong(system: &System, services: &[String], count: usize, seed: u64) -> Vec<Vec<String>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut order = services.to_vec();
    for _ in 0..SHUFFLES {
        if found.len() == count {
            break;
        }
        order.shuffle(&mut random);
        if !works(system, &order) && !found.contains(&order) {
            found.push(order.clone());
        }
    }
    found
}

/// Whether every service comes after all that it needs of the others.
fn works(system: &System, order: &[String]) -> bool {
    let place = |name: &str| order.iter().position(|other| other == name);
    order.iter().filter_map(|name| system.service(name)).all(|service| {
        service.needs.keys().all(|need| place(need).is_none_or(|need| Some(need) < place(&service.name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<String> {
        stack::system().own().map(|service| service.name.clone()).collect()
    }

    #[test]
    fn the_order_of_the_list_works() {
        assert!(works(&stack::system(), &own()));
    }

    #[test]
    fn every_wrong_order_starts_something_before_its_need() {
        let orders = wrong(&stack::system(), &own(), 5, 7);
        assert_eq!(orders.len(), 5);
        assert!(orders.iter().all(|order| !works(&stack::system(), order)));
    }

    #[test]
    fn the_same_seed_gives_the_same_orders() {
        let orders = |seed| wrong(&stack::system(), &own(), 3, seed);
        assert_eq!(orders(11), orders(11));
        assert_ne!(orders(11), orders(12));
    }

    #[test]
    fn a_system_without_needs_has_no_wrong_order() {
        let mut system = stack::system();
        system.services.iter_mut().for_each(|service| service.needs.clear());
        assert!(wrong(&system, &own(), 3, 0).is_empty());
    }
}
