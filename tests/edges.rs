//! Runs at the edge: one that panics, one of a system in which there is nothing, and one that is over before the
//! turn of most intruders has come.

mod common;

use std::{collections::HashSet, path::Path, process::ExitCode};

use notafter::{
    context::Context,
    error::{Kind, Result},
    fault::{Fault, Injected},
    history::{Phase, Question, What},
    prober::Pace,
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
        Trial::new(
            "a_run_does_not_end_before_every_server_was_tried_by_every_intruder",
            intruders_try_every_server,
        ),
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

/// Somebody who lets in anybody must not be missed by a short run.
async fn intruders_try_every_server() -> Result<(), String> {
    let state = tempfile::tempdir().map_err(|error| error.to_string())?;
    let system = stack::system();
    // One question in five seconds for each hop, and one intruder meanwhile: in turns they would take minutes.
    let handshakes = u32::try_from(system.hops().len() / 5).map_err(|error| error.to_string())?;
    let scenario = Scenario {
        workload: stack::workload(),
        pace: Pace { handshakes, ..Pace::default() },
        ..Scenario::new("edge/short", system)
    };
    let finished = run(&scenario, state.path()).await?;
    assert!(finished.error.is_none(), "{:?}", finished.error);

    let probes = finished.history.events.iter().filter_map(|event| match &event.what {
        What::Probe(probe) => Some((probe.server.as_str(), probe.question)),
        _ => None,
    });
    let asked: HashSet<_> = probes.collect();
    let hops = scenario.system.hops();
    let servers: HashSet<&str> = hops.iter().map(|hop| hop.server.as_str()).collect();
    let questions = [Question::WithoutCertificate, Question::WithExpired, Question::WithForeign];
    let all = servers.iter().flat_map(|server| questions.map(|question| (*server, question)));
    let missing: Vec<_> = all.filter(|one| !asked.contains(one)).collect();
    assert!(missing.is_empty(), "nobody tried {missing:?}");
    Ok(())
}

async fn run(scenario: &Scenario, runs: &Path) -> Result<Finished, String> {
    let plan = Plan::new(Runtime::Processes, runs);
    let (_never, interrupt) = tokio::sync::watch::channel(false);
    runner::run(scenario, &plan, interrupt).await.map_err(|error| error.to_string())
}
