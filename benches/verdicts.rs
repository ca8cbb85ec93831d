//! The same small experiment again and again: expire one leaf, let the service reload it, probe.
//!
//! `cargo bench --bench verdicts -- [REPEATS]`, 100 by default. The nearest peer probes as soon as the
//! reload command has returned, and calls 7 of 26 such experiments a success with an expired
//! certificate in place. Here a verdict comes only after the fault has landed, so every one must be
//! right: one that is wrong fails the benchmark.

use std::process::ExitCode;

use notafter::{
    check::Summary,
    runner::{Plan, run},
    runtime::Runtime,
    suite::Settings,
};

fn main() -> ExitCode {
    let suite = stack::suite();
    notafter::multicall::dispatch(&suite.programs);
    let repeats: u64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(100);
    let template = suite.templates.iter().find(|template| template.name == "stack/one-leaf");
    let scenario = template.expect("stack/one-leaf").scenario(&Settings::default());
    let runs = tempfile::tempdir().expect("a folder for the runs");
    let tokio = tokio::runtime::Runtime::new().expect("runtime");
    let (_stop, interrupt) = tokio::sync::watch::channel(false);
    let (mut right, mut wrong, mut unknown) = (0_u64, 0_u64, 0_u64);
    for seed in 0..repeats {
        let plan = Plan { seed, ..Plan::new(Runtime::Processes, runs.path()) };
        let finished = tokio.block_on(run(&scenario, &plan, interrupt.clone())).expect("the run begins");
        match finished.overall.verdict {
            _ if finished.overall.as_expected => right += 1,
            Summary::Unknown => {
                unknown += 1;
                println!("unknown, seed {seed}: {:?}", finished.overall);
            }
            Summary::Passed | Summary::Failed => {
                wrong += 1;
                println!("wrong, seed {seed}: {:?}", finished.overall);
            }
        }
        // A thousand histories are not worth keeping.
        let _ = std::fs::remove_dir_all(finished.folder.path());
    }
    println!("{repeats} verdicts: {right} right, {wrong} wrong, {unknown} unknown");
    if wrong + unknown == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
