//! The reference system with one order defect each: what `notafter orders` must name, and nothing else.
//!
//! The incident lost its last 41 minutes to an order that nobody knew. Each variant has one reason for
//! such an order switched on in one service; `notafter orders startup/caches-failed-lookups` finds it.

use notafter::{
    order::Findings,
    suite::Suite,
    system::{Start, System},
};

/// A system, and what its starts must tell.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// What is switched on; its system is called `startup/` and this.
    pub name: &'static str,
    /// Makes the system.
    pub system: fn() -> System,
    /// What orders of it must tell.
    pub tells: Tells,
}

/// What orders of a system must tell.
#[derive(Clone, Copy, Debug)]
pub enum Tells {
    /// It starts in any order.
    AnyOrder,
    /// Its declared needs, exactly.
    DeclaredNeeds,
    /// Of these two, the second must not start before the first, and nothing else.
    Edge(&'static str, &'static str),
    /// These two wait for each other, and nothing else.
    Deadlock(&'static str, &'static str),
}

/// Every variant.
pub fn variants() -> Vec<Variant> {
    vec![
        Variant { name: "in-any-order", system: || named("in-any-order"), tells: Tells::AnyOrder },
        Variant {
            name: "needs-first",
            system: || named("needs-first").starting(Start::NeedsFirst),
            tells: Tells::DeclaredNeeds,
        },
        Variant {
            name: "exits-without-need",
            system: || {
                let mut system = named("exits-without-need");
                of(&mut system, "search").start = Start::NeedsFirst;
                system
            },
            tells: Tells::Edge("archive", "search"),
        },
        Variant {
            name: "caches-failed-lookups",
            system: || named("caches-failed-lookups").with("search", "caches_failed_lookups", true),
            tells: Tells::Edge("archive", "search"),
        },
        Variant {
            name: "waits-for-ever",
            system: || named("waits-for-ever").with("search", "waits_for_ever", true),
            tells: Tells::Edge("archive", "search"),
        },
        Variant {
            name: "reads-credential-once",
            system: || named("reads-credential-once").with("search", "reads_credential_once", true),
            tells: Tells::Edge("manager", "search"),
        },
        Variant {
            name: "registers-once",
            system: || named("registers-once").with("search", "registers_once", true),
            tells: Tells::Edge("manager", "search"),
        },
        Variant {
            name: "thundering-retry",
            system: || {
                let system = named("thundering-retry").with("search", "thundering_retry", true);
                system.with("manager", "most_connections", 100)
            },
            tells: Tells::Edge("manager", "search"),
        },
        Variant {
            name: "deadlock",
            system: || {
                let system = named("deadlock").with("search", "registers_after", "spotlight");
                system.with("spotlight", "registers_after", "search")
            },
            tells: Tells::Deadlock("search", "spotlight"),
        },
    ]
}

/// The systems, to be started in orders, and the programs that they are made of.
pub fn suite() -> Suite {
    let systems = variants().iter().map(|variant| variant.system).collect();
    Suite { programs: stack::programs(), systems, ..Suite::default() }
}

impl Variant {
    /// Whether these findings are what they must be.
    ///
    /// # Errors
    /// What they must be.
    pub fn judge(&self, findings: &Findings) -> Result<(), String> {
        let name = |one: usize| findings.names.get(one).map_or("?", String::as_str);
        let proven: Vec<(&str, &str)> =
            findings.precedences.proven.iter().map(|one| (name(one.first), name(one.then))).collect();
        let deadlocks: Vec<(&str, &str)> =
            findings.deadlocks.iter().map(|(a, b)| (name(*a), name(*b))).collect();
        let quiet = findings.flaky.is_empty()
            && findings.precedences.one_of.is_empty()
            && findings.not_identifiable().is_empty();
        let explained = findings.precedences.unexplained.is_empty();
        let as_expected = match self.tells {
            Tells::AnyOrder => explained && proven.is_empty() && deadlocks.is_empty(),
            Tells::DeclaredNeeds => explained && findings.is_what_is_declared(&(self.system)()),
            Tells::Edge(first, then) => explained && proven == [(first, then)] && deadlocks.is_empty(),
            Tells::Deadlock(a, b) => proven.is_empty() && deadlocks == [(a, b)],
        };
        if quiet && as_expected {
            return Ok(());
        }
        Err(format!("it must tell {:?}, that exactly", self.tells))
    }
}

fn named(variant: &str) -> System {
    System { name: format!("startup/{variant}"), ..stack::system() }
}

fn of<'s>(system: &'s mut System, service: &str) -> &'s mut notafter::system::Service {
    system.services.iter_mut().find(|one| one.name == service).expect("a service of the stack")
}
