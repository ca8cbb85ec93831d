//! Every scenario of this crate, as a named test on each runtime, and the blast radius of three services:
//! `cargo test --test run mixed`.

use std::process::ExitCode;

use notafter::{
    blast::{self, Of},
    report::{self, Blast, Effect},
    runner::{self, Plan},
    runtime::Runtime,
    testing::{self, SERVERS, Trial},
};

/// Which operations go through whom.
const THROUGH: [(&str, &[&str]); 3] =
    [("postgres", &["count", "publish", "read"]), ("keeper", &["count", "publish"]), ("nats", &["publish"])];

fn main() -> ExitCode {
    notafter::multicall::dispatch(&mixed::suite().programs);
    let missing = mixed::suite().templates.first().and_then(|template| {
        template.scenario(&notafter::suite::Settings::default()).cannot_run(Runtime::Processes)
    });
    let blast = Trial::with(SERVERS, missing, "mixed/blast", the_end_of_a_service_fails_what_goes_through_it);
    testing::main_with(mixed::suite(), vec![blast])
}

/// At once, or with the next restart; and nothing else fails.
async fn the_end_of_a_service_fails_what_goes_through_it() -> Result<(), String> {
    let runs = std::env::temp_dir().join(format!("mixed-blast-{}", std::process::id()));
    for (service, expected) in THROUGH {
        let of = Of::Credential { service: service.into(), mount: "mesh".into() };
        let mut histories = Vec::new();
        for restarted in [false, true] {
            let scenario = blast::scenario(&mixed::system(), &mixed::users(), &of, restarted);
            let (_never, interrupt) = tokio::sync::watch::channel(false);
            let finished = runner::run(&scenario, &Plan::new(Runtime::Processes, &runs), interrupt).await;
            histories.push(finished.map_err(|error| error.to_string())?.history);
        }
        let blast = Blast { of: &of, running: &histories[0], restarted: &histories[1] };
        let radii = report::radii(&[blast]);
        let hurt = radii.iter().flat_map(|radius| &radius.operations);
        let hurt = hurt.filter(|(_, effect)| matches!(effect, Effect::Down | Effect::Sleeps));
        let hurt: Vec<&str> = hurt.map(|(name, _)| name.as_str()).collect();
        if hurt != expected || radii.iter().any(|radius| radius.fails_open) {
            let evidence = runs.display();
            return Err(format!(
                "{service}: {expected:?} go through it, {hurt:?} fail with it\n{}\nthe evidence is in {evidence}",
                report::blast(&radii, report::Style::default())
            ));
        }
    }
    std::fs::remove_dir_all(&runs).map_err(|error| error.to_string())
}
