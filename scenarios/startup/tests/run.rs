//! Of every variant, orders must name its defect and nothing else: `cargo test --test run startup`.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use notafter::{
    history::What,
    order::{Choice, Limits, Outcome},
    runtime::Runtime,
    testing::{self, Trial},
};
use startup::{Tells, Variant};

/// One of each kind of finding. Containers take four times as long, and the services are the same.
const IN_CONTAINERS: [&str; 4] = ["in-any-order", "needs-first", "exits-without-need", "deadlock"];

fn main() -> ExitCode {
    let trials = startup::variants().into_iter().flat_map(|variant| {
        let in_containers = IN_CONTAINERS.contains(&variant.name).then_some(Runtime::Containers);
        let runtimes = [Runtime::Processes].into_iter().chain(in_containers);
        let before: Vec<_> = runtimes.map(|runtime| trial(variant, runtime, false)).collect();
        // A rotation is the same files in both.
        before.into_iter().chain([trial(variant, Runtime::Processes, true)])
    });
    testing::main_with(startup::suite(), trials.collect())
}

/// `rotated`: as refreshed deployments, after every authority and certificate was replaced.
fn trial(variant: Variant, runtime: Runtime, rotated: bool) -> Trial {
    // Whoever waits for ever is waited for as long; a debug build on two cores starts in one.
    let limits = Limits { within: Duration::from_secs(5), ..Limits::default() };
    let choice = Choice { ways: BTreeSet::new(), rotated, ..Choice::default() };
    testing::orders(runtime, (variant.system)(), choice, limits, move |outcome| {
        variant.judge(&outcome.findings)?;
        if rotated {
            was_rotated(outcome)?;
        }
        match (variant.tells, outcome.order_works) {
            (Tells::Deadlock(..), None) | (_, Some(true)) => Ok(()),
            (_, works) => Err(format!("whether the order that follows works: {works:?}")),
        }
    })
}

/// Of a credential that nobody but the harness replaces, two are seen on the wire.
fn was_rotated(outcome: &Outcome) -> Result<(), String> {
    for history in &outcome.histories {
        let leaves = history.events.iter().filter_map(|event| match &event.what {
            What::Using { service, mount, leaf } if service == "archive" && mount == "node" => Some(leaf),
            _ => None,
        });
        let serials: BTreeSet<&String> = leaves.map(|leaf| &leaf.serial).collect();
        if serials.len() != 2 {
            return Err(format!(
                "the archive's node credential was seen with the serials {serials:?}, not two"
            ));
        }
    }
    Ok(())
}
