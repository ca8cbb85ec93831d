//! Runs at the edge: one that panics, and one of a system in which there is nothing.

mod common;

use std::{path::Path, process::ExitCode};

use notafter::{
    context::Context,
    error::{Kind, Result},
    fault::{Fault, Injected},
    history::Phase,
    runner::{self, Finished, Plan},
    runtime::Runtime,
    scenario::Scenario,
    suite::Suite,
    system::System,
    testing::{self, Trial},
};

fn main() -> ExitCode {
    let trials = vec![
        Trial::new("a_panic_is_a_bug_and_leaves_nothing_behind", a_panic_leaves_nothing_behind),
        Trial::new("a_system_without_services_is_run_to_its_end", nothing_is_run_to_its_end),
    ];
    let programs = Suite { programs: stack::programs(), ..Suite::default() };
    testing::main_with(programs, trials)
}

/// A fault with a defect of its own.
struct Panics;

impl Fault for Panics {
    fn describe(&self) -> String {
        "a fault that panics".into()
    }

    async fn inject(&self, _: &Context) -> Result<Vec<Injected>> {
        panic!("the words of the panic")
    }
}

async fn a_panic_leaves_nothing_behind() -> Result<(), String> {
    let state = tempfile::tempdir().map_err(|error| error.to_string())?;
    let scenario = Scenario {
        workload: stack::workload(),
        faults: vec![Box::new(Panics)],
        ..Scenario::new("panic/in-a-fault", stack::system())
    };
    let finished = run(&scenario, state.path()).await?;

    let error = finished.error.ok_or("no error")?;
    assert_eq!(error.kind(), Kind::Bug, "{error}");
    assert_eq!(error.to_string(), "phase inject: this is a bug of notafter: the words of the panic");
    assert_eq!(finished.history.ended(Phase::Landed), None);
    let id = finished.folder.id();
    for variable in ["NOTAFTER_RUN", "NOTAFTER_GUARDIAN"] {
        assert_eq!(common::processes(variable, id), [0; 0], "{variable}");
    }
    assert!(!finished.folder.has_secrets());
    Ok(())
}

/// Nobody can be asked there, and nobody can intrude.
async fn nothing_is_run_to_its_end() -> Result<(), String> {
    let state = tempfile::tempdir().map_err(|error| error.to_string())?;
    let system = System { name: "nothing".into(), authorities: vec!["mesh".into()], services: Vec::new() };
    let scenario = Scenario { workload: stack::nobody(), ..Scenario::new("edge/nothing", system) };
    let finished = run(&scenario, state.path()).await?;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert!(finished.history.ended(Phase::TearDown).is_some());
    Ok(())
}

async fn run(scenario: &Scenario, runs: &Path) -> Result<Finished, String> {
    let plan = Plan::new(Runtime::Processes, runs);
    let (_never, interrupt) = tokio::sync::watch::channel(false);
    runner::run(scenario, &plan, interrupt).await.map_err(|error| error.to_string())
}
