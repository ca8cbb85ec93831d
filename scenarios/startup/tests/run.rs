//! Of every variant, orders must name its defect and nothing else: `cargo test --test run startup`.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use notafter::{
    order::{Choice, Limits},
    runtime::Runtime,
    testing::{self, Trial},
};
use startup::{Tells, Variant};

fn main() -> ExitCode {
    let trials = startup::variants().into_iter().flat_map(|variant| {
        let runtimes = Runtime::ALL.into_iter().filter(move |runtime| is_for(&variant, *runtime));
        runtimes.map(move |runtime| trial(variant, runtime))
    });
    testing::main_with(startup::suite(), trials.collect())
}

/// The same program has the same defect in a container; what may differ is how starts are seen.
fn is_for(variant: &Variant, runtime: Runtime) -> bool {
    runtime == Runtime::Processes || matches!(variant.tells, Tells::AnyOrder | Tells::DeclaredNeeds)
}

fn trial(variant: Variant, runtime: Runtime) -> Trial {
    let ways = BTreeSet::new();
    // Whoever waits for ever is waited for as long; a debug build on two cores starts in one.
    let limits = Limits { within: Duration::from_secs(5), ..Limits::default() };
    let choice = Choice { ways, ..Choice::default() };
    testing::orders(runtime, (variant.system)(), choice, limits, move |outcome| {
        variant.judge(&outcome.findings)?;
        match (variant.tells, outcome.order_works) {
            (Tells::Deadlock(..), None) | (_, Some(true)) => Ok(()),
            (_, works) => Err(format!("whether the order that follows works: {works:?}")),
        }
    })
}
