//! Scenarios as named tests for `cargo test`: one for each scenario and runtime, with filters, listing
//! and whatever else a test executable takes.
//!
//! A scenario crate has a test target without libtest's harness, and this is all of it:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     notafter::testing::main(notafter::suite::Suite::default())
//! }
//! ```
//!
//! A runtime that is missing is ignored with the reason, unless `NOTAFTER_REQUIRE` lists it
//! (`NOTAFTER_REQUIRE=containers`). `NOTAFTER_TEST_JOBS` is how many runs there are at once, by
//! default one for every two cores, or two where their systems are small: a run that has to wait for a core
//! measures that wait.

mod trial;

use std::{process::ExitCode, thread};

use libtest_mimic::Arguments;

use crate::{
    check::{Verdict, judge_starts},
    cli::{exit, output, quote},
    error::{Error, Result},
    multicall,
    order::{Choice, Limits, Outcome, Strength, Trials, fitting},
    report,
    run::{RunFolder, state_folder},
    runner::{self, Plan},
    runtime::{Runtime, kubernetes},
    scenario::Scenario,
    suite::{Settings, Suite, Template},
    system::System,
};

pub use trial::Trial;

/// The environment variable that lists what must be there: the runtimes, [`BROWSER`], [`ALERTING`] and
/// [`SERVERS`], whose absence is a failure.
pub const REQUIRE: &str = "NOTAFTER_REQUIRE";
/// What the tests of pages need beside a runtime.
pub const BROWSER: &str = "browser";
/// What the tests of alerts need beside a runtime: Prometheus, Alertmanager and blackbox exporter.
pub const ALERTING: &str = "alerting";
/// The servers that others wrote, whose profiles are expected.
pub const SERVERS: &str = "servers";
/// What the tests of an API server alone need, too: the programs that `ci/setup kubernetes` builds.
pub const KUBERNETES: &str = "kubernetes";
/// What may be needed beside runtimes.
const BESIDES: [&str; 3] = [BROWSER, ALERTING, SERVERS];
/// The environment variable that says how many runs there are at once.
pub const JOBS: &str = "NOTAFTER_TEST_JOBS";

/// Trials wait for their turn, they do not need a core each.
const THREADS: usize = 16;

/// Every scenario of the suite on every runtime, as tests. It never returns in a service or a guardian.
pub fn main(suite: Suite) -> ExitCode {
    main_with(suite, Vec::new())
}

/// The same, with more tests of a crate's own.
#[expect(clippy::needless_pass_by_value, reason = "nobody has a use for it afterwards: the process ends")]
pub fn main_with(suite: Suite, more: Vec<Trial>) -> ExitCode {
    multicall::dispatch(&suite.programs);
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    match trial::bench(jobs(), required()) {
        Ok(bench) => {
            let trials = scenarios(&suite).chain(more).map(|trial| trial.on(&bench)).collect();
            libtest_mimic::run(&arguments, trials).exit_code()
        }
        Err(error) => {
            output::complain(&error);
            ExitCode::from(exit::of_error(&error))
        }
    }
}

/// Runs a scenario once, with the default settings. Its evidence is kept only if this fails.
///
/// # Errors
/// The report of the run, if it did not give the verdict that it must give, and where the evidence is.
pub async fn must_hold(scenario: &Scenario, runtime: Runtime) -> Result<(), String> {
    let test = format!("{}::{}", scenario.name, runtime.name());
    let plan = Plan {
        seed: Settings::default().seed,
        rerun: quote::command(["cargo", "test", "--test", "run", "--", "--exact", &test]),
        ..Plan::new(runtime, state_folder().join("runs"))
    };
    // Ctrl-C ends a test executable at once; the guardians remove the cluster.
    let (_never, interrupt) = tokio::sync::watch::channel(false);
    let finished = runner::run(scenario, &plan, interrupt).await.map_err(|error| error.to_string())?;
    let folder = finished.folder.path();
    if exit::of_run(&finished) == exit::AS_EXPECTED {
        return std::fs::remove_dir_all(folder)
            .map_err(|error| format!("cannot remove {}: {error}", folder.display()));
    }
    let error = finished.error.map(|error| format!("{error}\n\n")).unwrap_or_default();
    let report = report::render(&finished.history, report::Style::default());
    Err(format!("{error}{report}\nthe evidence is in {}", folder.display()))
}

/// That a system starts in any order: one test a runtime, called `{system}/orders::{runtime}`.
///
/// ```no_run
/// use notafter::{order::Strength, suite::Suite, system::System, testing};
///
/// fn main() -> std::process::ExitCode {
///     // What `notafter show SYSTEM --as toml` prints, edited; its programs are those of your suite.
///     let text = std::fs::read_to_string("tests/system.toml").expect("a file");
///     let system = System::from_toml(&text, "tests/system.toml").expect("a system");
///     testing::main_with(Suite::default(), testing::starts_in_any_order(&system, Strength::Three))
/// }
/// ```
pub fn starts_in_any_order(system: &System, strength: Strength) -> Vec<Trial> {
    let judge = |outcome: &Outcome| match judge_starts(&outcome.tried, Limits::default().within) {
        Verdict::Passed(_) => Ok(()),
        verdict => Err(verdict.to_string()),
    };
    let choice = Choice { strength, ..Choice::default() };
    let test = |runtime| orders(runtime, system.clone(), choice.clone(), Limits::default(), judge);
    let able = |runtime: &Runtime| runtime.cannot_run(system).is_none() && is_tested(*runtime, system);
    Runtime::ALL.into_iter().filter(able).map(test).collect()
}

/// What orders of a system tell in a runtime, for a judge of one's own. The name of the test is
/// `{system}/orders::{runtime}`, or `{system}/orders-after-rotation::{runtime}`.
pub fn orders(
    runtime: Runtime,
    system: System,
    choice: Choice,
    limits: Limits,
    judge: impl FnOnce(&Outcome) -> Result<(), String> + Send + 'static,
) -> Trial {
    let rotated = if choice.rotated { "-after-rotation" } else { "" };
    let name = format!("{}/orders{rotated}", system.name);
    Trial::on_runtime(runtime, name.clone(), async move || {
        let test = format!("{name}::{}", runtime.name());
        let rerun = quote::command(["cargo", "test", "--test", "run", "--", "--exact", &test]);
        let (seed, rotated) = (choice.seed, choice.rotated);
        let (runs, side_by_side) = (state_folder().join("runs"), fitting(runtime));
        let trials = Trials { runtime, choice, limits, side_by_side, rerun, ..Trials::of(system, runs) };
        // Ctrl-C ends a test executable at once; the guardians remove the clusters.
        let (_never, interrupt) = tokio::sync::watch::channel(false);
        let outcome = trials.run(interrupt).await.map_err(|error| error.to_string())?;
        let judged = match &outcome.error {
            Some(error) => Err(error.to_string()),
            None => judge(&outcome),
        };
        let folders = outcome.folders.iter().map(RunFolder::path);
        match judged {
            Ok(()) => {
                let mut folders = folders;
                folders.try_for_each(std::fs::remove_dir_all).map_err(|error| error.to_string())
            }
            Err(why) => {
                let folders: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
                let report = report::Orders {
                    outcome: &outcome,
                    verdict: &judge_starts(&outcome.tried, limits.within),
                    system: &trials.system.name,
                    runtime: runtime.name(),
                    seed,
                    rotated,
                    rerun: &trials.rerun,
                };
                let report = report.render(report::Style::default());
                Err(format!("{why}\n\n{report}\nthe evidence is in {}", folders.join(", ")))
            }
        }
    })
}

fn scenarios(suite: &Suite) -> impl Iterator<Item = Trial> {
    let templates = suite.templates.iter().cloned();
    templates.flat_map(|template| {
        let system = (template.system)();
        let runtimes = Runtime::ALL.into_iter().filter(move |runtime| is_tested(*runtime, &system));
        runtimes.map(move |runtime| of_template(runtime, template.clone()))
    })
}

/// Whether all scenarios on this system are tested there. What runs as pods takes a cluster of Kubernetes for
/// each: a crate says for which it is worth it, with [`of_template`].
fn is_tested(runtime: Runtime, system: &System) -> bool {
    runtime != Runtime::Kubernetes || kubernetes::is_control_plane(system)
}

/// A test that a scenario, with the settings that are usual there, gives the verdict that it must give in a runtime.
pub fn of_template(runtime: Runtime, template: Template) -> Trial {
    let system = (template.system)();
    // A control plane waits for its own clocks most of the time.
    let services = if kubernetes::is_control_plane(&system) { 1 } else { system.services.len() };
    Trial::of(runtime, template.name.clone(), move || template.scenario(&Settings::on(runtime)))
        .starting(services)
}

/// How many runs there are at once.
fn jobs() -> Result<u32> {
    let Ok(text) = std::env::var(JOBS) else {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        return Ok(u32::try_from(cores / 2).unwrap_or(1).max(1));
    };
    let jobs = text.parse().ok().filter(|jobs| *jobs > 0);
    jobs.ok_or_else(|| Error::usage(format!("{JOBS} is `{text}`; it must be a whole number from 1 on")))
}

/// Whether the absence of this, a runtime by its name or one of the others, is a failure here.
pub fn requires(what: &str) -> bool {
    listed().iter().any(|name| name == what)
}

/// Runtimes whose absence is a failure.
fn required() -> Result<Vec<Runtime>> {
    let parse =
        |name: &String| name.parse().map_err(|error: String| Error::usage(format!("{REQUIRE}: {error}")));
    listed().iter().filter(|name| !BESIDES.contains(&name.as_str())).map(parse).collect()
}

fn listed() -> Vec<String> {
    let text = std::env::var(REQUIRE).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
