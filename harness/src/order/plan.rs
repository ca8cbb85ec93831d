//! Which orders and ways to start are tried: data, so that each can be printed and tried again.

use std::{collections::BTreeSet, fmt, time::Duration};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{Order, Strength, covering, random};
use crate::{
    error::{Error, Result},
    history::Way,
    system::System,
};

/// How long a service is held back, and how long one is away.
const AWAY: Duration = Duration::from_millis(300);

/// What is to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which orders, one after another.
    pub strength: Strength,
    /// So many more, each as likely as any other.
    pub random: usize,
    /// The seed of what is drawn: the random orders, and which service takes which place in the others.
    pub seed: u64,
    /// These come first, in this order, always.
    pub first: Vec<String>,
    /// Of each of these groups all start together.
    pub together: Vec<Vec<String>>,
    /// Which ways besides one after another.
    pub ways: BTreeSet<Kind>,
    /// Whether all of it comes after a full rotation: every authority and certificate is replaced while
    /// everything runs, and what starts then are refreshed deployments, as in the last 41 minutes of the
    /// incident.
    pub rotated: bool,
    /// More plans than this are a mistake.
    pub limit: usize,
}

/// A kind of way to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Kind {
    /// All at once
    AtOnce,
    /// All at once but one, which comes later
    HeldBack,
    /// Everything is up; one or two are restarted, with old and with new credentials
    Restarted,
    /// A service goes, those that need it start, it returns
    Returning,
}

/// One order and way to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its number among all of a choice, from 1.
    pub number: u32,
    /// The services, those that start together in one step.
    pub steps: Vec<Vec<String>>,
    /// How they start.
    pub way: Way,
}

impl Default for Choice {
    /// Strength 3, all at once, each service held back; seed 0, at most 1,000 plans.
    fn default() -> Self {
        Self {
            strength: Strength::default(),
            random: 0,
            seed: 0,
            first: Vec::new(),
            together: Vec::new(),
            ways: BTreeSet::from([Kind::AtOnce, Kind::HeldBack]),
            rotated: false,
            limit: 1000,
        }
    }
}

impl Plan {
    /// Its services, in order.
    pub fn order(&self) -> Vec<String> {
        self.steps.concat()
    }

    /// What tries it again: the seed, and its number.
    pub fn id(&self, seed: u64) -> String {
        format!("{seed:x}:{}", self.number)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> = self.steps.iter().map(|step| step.join("+")).collect();
        match &self.way {
            Way::InTurn => write!(f, "in turn: {}", steps.join(", ")),
            Way::AtOnce => write!(f, "all at once"),
            Way::HeldBack { service, by_ms } => write!(f, "all at once, {service} {by_ms} ms later"),
            Way::Restarted { services, renewed } => {
                let with = if *renewed { "new" } else { "old" };
                write!(f, "all up, then restarted with {with} credentials: {}", services.join(" and "))
            }
            Way::Returning { service, after_ms } => {
                write!(f, "{service} goes, those that need it start, it returns after {after_ms} ms")
            }
        }
    }
}

/// Every plan of a choice, the order of the system's own list first.
///
/// # Errors
/// If the choice names a service that is not there, the declared needs form a cycle, the strength does
/// not fit the number of services, or there are more plans than the limit.
pub fn plans(system: &System, choice: &Choice) -> Result<Vec<Plan>> {
    acyclic(system)?;
    let units = units(system, choice)?;
    let first = choice.first.iter().map(|name| vec![name.clone()]);
    let given: Vec<Vec<String>> = first.chain(units.iter().cloned()).collect();
    let in_turn = |order: Order| {
        let steps = order.into_iter().map(|unit| units[unit].clone());
        (given[..choice.first.len()].iter().cloned().chain(steps).collect(), Way::InTurn)
    };
    let n = units.len();
    let mut orders = shuffled(covering(n, choice.strength)?, choice.seed);
    orders.extend(random(n, choice.random, choice.seed));
    let identity: Order = (0..n).collect();
    orders.retain(|order| *order != identity);
    orders.insert(0, identity);

    let mut all: Vec<(Vec<Vec<String>>, Way)> = orders.into_iter().map(in_turn).collect();
    let other = ways(system, choice);
    all.extend(other.map(|way| (given.clone(), way)));
    if all.len() > choice.limit {
        return Err(Error::usage(format!(
            "these are {} plans, and the limit is {}",
            all.len(),
            choice.limit
        ))
        .hint("take a smaller strength, or set --limit"));
    }
    Ok((1..).zip(all).map(|(number, (steps, way))| Plan { number, steps, way }).collect())
}

/// The plan of this number.
///
/// # Errors
/// If there is none.
pub fn numbered(plans: &[Plan], number: u32) -> Result<&Plan> {
    plans.iter().find(|plan| plan.number == number).ok_or_else(|| {
        Error::usage(format!("there is no plan {number}; these are 1 to {}", plans.len()))
            .hint("the options must be those of the run that it comes from")
    })
}

/// The ways besides one after another.
fn ways<'a>(system: &'a System, choice: &'a Choice) -> impl Iterator<Item = Way> + 'a {
    let names: Vec<&String> = system.services.iter().map(|service| &service.name).collect();
    let ms = u64::try_from(AWAY.as_millis()).unwrap_or(u64::MAX);
    choice.ways.iter().flat_map(move |kind| match kind {
        Kind::AtOnce => vec![Way::AtOnce],
        Kind::HeldBack => {
            let held = |name: &&String| Way::HeldBack { service: (*name).clone(), by_ms: ms };
            names.iter().map(held).collect()
        }
        Kind::Restarted => {
            let one = names.iter().map(|name| vec![(*name).clone()]);
            let two = names
                .iter()
                .enumerate()
                .flat_map(|(place, a)| names[place + 1..].iter().map(|b| vec![(*a).clone(), (*b).clone()]));
            let both = one.chain(two).flat_map(|services| {
                [false, true].map(|renewed| Way::Restarted { services: services.clone(), renewed })
            });
            both.collect()
        }
        Kind::Returning => {
            let is_needed =
                |name: &&&String| system.services.iter().any(|one| one.needs.contains_key(**name));
            let returning = |name: &&String| Way::Returning { service: (*name).clone(), after_ms: ms };
            names.iter().filter(is_needed).map(returning).collect()
        }
    })
}

/// What starts as one: a group that starts together, or a service alone. Without those that come first.
fn units(system: &System, choice: &Choice) -> Result<Vec<Vec<String>>> {
    let mut named = choice.first.iter().chain(choice.together.iter().flatten());
    let names = || system.services.iter().map(|service| service.name.as_str());
    if let Some(unknown) = named.clone().find(|name| system.service(name).is_none()) {
        return Err(Error::usage(format!("system `{}` has no service `{unknown}`", system.name))
            .hint(format!("it has: {}", names().collect::<Vec<_>>().join(", "))));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = named.find(|name| !seen.insert(*name)) {
        return Err(Error::usage(format!("`{twice}` is named twice"))
            .hint("a service is in one group, or comes first, and that once"));
    }
    let mut units: Vec<Vec<String>> = Vec::new();
    for name in names().filter(|name| !choice.first.iter().any(|first| first == name)) {
        match choice.together.iter().find(|group| group.iter().any(|one| one == name)) {
            Some(group) if group.first().is_some_and(|first| first == name) => units.push(group.clone()),
            Some(_) => {}
            None => units.push(vec![name.to_owned()]),
        }
    }
    Ok(units)
}

/// Gives the services other places in the orders: with another seed an array tries other orders.
fn shuffled(orders: Vec<Order>, seed: u64) -> Vec<Order> {
    if seed == 0 {
        return orders;
    }
    let mut names: Order = (0..orders.first().map_or(0, Vec::len)).collect();
    names.shuffle(&mut StdRng::seed_from_u64(seed));
    orders.into_iter().map(|order| order.into_iter().map(|one| names[one]).collect()).collect()
}

/// No order can keep to needs that form a cycle.
fn acyclic(system: &System) -> Result<()> {
    let place = |name: &str| system.services.iter().position(|service| service.name == name);
    let edges: Vec<(usize, usize)> =
        system.hops().iter().filter_map(|hop| Some((place(&hop.server)?, place(&hop.client)?))).collect();
    let given: Vec<usize> = (0..system.services.len()).collect();
    super::sorted(&given, &edges).map(drop).map_err(|stuck| {
        let before = super::closure(given.len(), edges.iter().copied());
        let cycle = stuck.into_iter().filter(|one| before[*one].contains(one));
        let names: Vec<&str> = cycle.map(|one| system.services[one].name.as_str()).collect();
        Error::usage(format!(
            "the declared needs of system `{}` form a cycle among {}",
            system.name,
            names.join(", ")
        ))
        .hint("of two services that need each other, neither can start after the other")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> System {
        let service = |name: &str, needs: &str| {
            format!(
                "[[services]]\nname = \"{name}\"\nprogram = \"p\"\nserves = \"w\"\nneeds = {needs}\n\
                 mounts.w.authority = \"mesh\"\n"
            )
        };
        let text = [
            "name = \"three\"\nauthorities = [\"mesh\"]\n".to_owned(),
            service("a", "{}"),
            service("b", "{ a = \"w\" }"),
            service("c", "{ b = \"w\" }"),
            service("d", "{}"),
        ];
        System::from_toml(&text.concat(), "test").expect("a system")
    }

    fn refused(choice: &Choice) -> String {
        plans(&system(), choice).expect_err("refused").to_string()
    }

    #[test]
    fn the_order_of_the_list_is_the_first() {
        let plans = plans(&system(), &Choice { seed: 7, ..Choice::default() }).expect("plans");
        assert_eq!(plans[0].order(), ["a", "b", "c", "d"]);
        assert_eq!(plans[0].id(0x7f3a), "7f3a:1");
    }

    #[test]
    fn the_same_seed_gives_the_same_plans_and_another_seed_others() {
        let with = |seed| plans(&system(), &Choice { seed, random: 3, ..Choice::default() }).expect("plans");
        assert_eq!(with(3), with(3));
        assert_ne!(with(3), with(4));
    }

    #[test]
    fn what_comes_first_does_and_groups_start_together() {
        let choice = Choice {
            strength: Strength::Two,
            first: vec!["d".into()],
            together: vec![vec!["c".into(), "a".into()]],
            ways: BTreeSet::new(),
            ..Choice::default()
        };
        let shown: Vec<String> =
            plans(&system(), &choice).expect("plans").iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["in turn: d, b, c+a", "in turn: d, c+a, b"]);
    }

    #[test]
    fn every_way_reads_well() {
        let ways = BTreeSet::from([Kind::AtOnce, Kind::HeldBack, Kind::Restarted, Kind::Returning]);
        let choice = Choice { strength: Strength::Two, ways, ..Choice::default() };
        let plans = plans(&system(), &choice).expect("plans");
        // Two orders, one at once, four held back, (4 + 6) restarted twice, two that are needed.
        assert_eq!(plans.len(), 2 + 1 + 4 + 20 + 2);
        let shown: Vec<String> = [1, 2, 3, 7, 8, 28].map(|place: usize| plans[place].to_string()).to_vec();
        insta::assert_snapshot!(shown.join("\n"), @r"
        in turn: d, c, b, a
        all at once
        all at once, a 300 ms later
        all up, then restarted with old credentials: a
        all up, then restarted with new credentials: a
        b goes, those that need it start, it returns after 300 ms
        ");
    }

    #[test]
    fn a_choice_that_makes_no_sense_says_which() {
        let named = |name: &str| vec![name.to_owned()];
        assert!(refused(&Choice { first: named("e"), ..Choice::default() }).contains("has no service `e`"));
        let twice = Choice { first: named("a"), together: vec![named("a")], ..Choice::default() };
        assert!(refused(&twice).contains("`a` is named twice"));
        assert!(refused(&Choice { limit: 3, ..Choice::default() }).contains("the limit is 3"));
        let first = vec!["a".into(), "b".into()];
        assert!(refused(&Choice { first, ..Choice::default() }).contains("strength 3 is above"));
    }

    #[test]
    fn needs_that_form_a_cycle_are_named() {
        let mut system = system();
        system.services[0].needs.insert("c".into(), "w".into());
        let error = plans(&system, &Choice::default()).expect_err("a cycle").to_string();
        assert!(error.contains("form a cycle among a, b, c"), "{error}");
    }
}
