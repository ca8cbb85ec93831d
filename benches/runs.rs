//! Whole runs on processes against what they may cost: start, landing, resolution, an empty scenario.
//!
//! `cargo bench --bench runs -- [REPEATS]`, 10 by default. Every figure is read from the history of a
//! real run, so it is what a user gets, and is printed beside its limit as a ratio.

use std::{path::Path, time::Duration};

use notafter::{
    history::{History, Phase, Purpose, What},
    measure::Measurements,
    runner::{Finished, Plan, run},
    runtime::Runtime,
    scenario::Scenario,
    suite::{Settings, Suite},
    system::{Span, System},
};

fn main() {
    let suite = stack::suite().and(aware_2022::suite());
    notafter::multicall::dispatch(&suite.programs);
    let repeats = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(10);
    let runs = tempfile::tempdir().expect("a folder for the runs");
    let tokio = tokio::runtime::Runtime::new().expect("runtime");
    let mut figures = Figures::default();
    for _ in 0..repeats {
        let finished = tokio.block_on(once(&started(), runs.path()));
        figures.start.extend(lasted(&finished.history, Phase::Start));
        let begun = std::time::Instant::now();
        tokio.block_on(once(&empty(), runs.path()));
        figures.empty.push(millis(begun.elapsed()));
        let finished = tokio.block_on(once(&one_leaf(&suite), runs.path()));
        assert!(finished.overall.as_expected, "{:?}", finished.overall);
        figures.landing.extend(landings(&finished.history));
        figures.resolution.extend(resolution(&finished.history));
    }
    print("nine services up, every hop verified", &mut figures.start, 200.0);
    print("an empty scenario, from call to end", &mut figures.empty, 50.0);
    print("a fault on the wire after its install", &mut figures.landing, 20.0);
    print("the recovery from it is known to", &mut figures.resolution, 5.0);
}

/// Milliseconds.
#[derive(Default)]
struct Figures {
    start: Vec<f64>,
    empty: Vec<f64>,
    landing: Vec<f64>,
    resolution: Vec<f64>,
}

fn print(what: &str, figures: &mut [f64], limit: f64) {
    figures.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (figures.first(), figures.last()) else { return };
    let median = figures[figures.len() / 2];
    println!(
        "{what:<40} {median:>7.1} ms (from {least:.1} to {most:.1}), {:.2} of the {limit} ms allowed",
        median / limit
    );
}

async fn once(scenario: &Scenario, runs: &Path) -> Finished {
    let (_stop, interrupt) = tokio::sync::watch::channel(false);
    let plan = Plan::new(Runtime::Processes, runs);
    run(scenario, &plan, interrupt).await.expect("the run begins")
}

/// The reference system, started and left alone.
fn started() -> Scenario {
    Scenario {
        workload: stack::nobody(),
        stability: Span(Duration::from_millis(1)),
        ..Scenario::new("bench/start", stack::system())
    }
}

/// The smallest run that breaks something.
fn one_leaf(suite: &Suite) -> Scenario {
    let template = suite.templates.iter().find(|template| template.name == "stack/one-leaf");
    template.expect("stack/one-leaf").scenario(&Settings::default())
}

/// No services, no faults, nothing to wait for.
fn empty() -> Scenario {
    let none = Span(Duration::ZERO);
    let workload = stack::nobody();
    Scenario { workload, observe: none, stability: none, ..Scenario::new("bench/empty", nothing()) }
}

fn nothing() -> System {
    System { name: "nothing".into(), authorities: vec!["mesh".into()], services: Vec::new() }
}

fn lasted(history: &History, phase: Phase) -> Option<f64> {
    let micros = history.ended(phase)? - history.began(phase)?;
    Some(millis(Duration::from_micros(micros)))
}

/// From the install of each credential by a fault to the first handshake that showed it.
fn landings(history: &History) -> Vec<f64> {
    let mut installed = Vec::new();
    let mut landings = Vec::new();
    for event in &history.events {
        match &event.what {
            What::Installed { leaf, why: Purpose::Fault, .. } => installed.push((leaf.clone(), event.at)),
            What::Landed(landed) => {
                let at = installed.iter().find(|(leaf, _)| *leaf == landed.leaf).map(|(_, at)| *at);
                landings.extend(at.map(|at| millis(Duration::from_micros(landed.first_new - at))));
            }
            _ => {}
        }
    }
    landings
}

/// Between the last failure and the first success of the recovery.
fn resolution(history: &History) -> Option<f64> {
    Measurements::of(history).resolution().map(|micros| millis(Duration::from_micros(micros)))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
