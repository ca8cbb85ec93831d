//! A server that others wrote, as they are: its worker is in a session of its own, in another folder, and shows no
//! environment.

use std::fs;

use notafter::{
    multicall::Program,
    profile::{Protocol, Server},
    runtime::Runtime,
    scenario::Scenario,
    system::System,
};

use crate::bench;

pub const PROGRAM: Program =
    Program { name: "hydra", main: |config| notafter::foreign::main(&SERVER, &config), foreign: true };

const SERVER: Server = Server {
    name: "hydra",
    image: None,
    program: "sh",
    apart: None,
    package: None,
    version: &[],
    environment: &[],
    files: &[("hydra.sh", SCRIPT)],
    prepare: &[],
    command: &["{home}/hydra.sh"],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: None,
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Tls,
    ways: &[],
};

/// Its worker is told apart by a word in its arguments.
const SCRIPT: &str = "\
cd /
env -i setsid sh -c 'while :; do sleep 60; done' {settings.worker} &
wait
";

/// What is missing for it; none if nothing is.
pub fn lacks(runtime: Runtime) -> Option<String> {
    Scenario { servers: vec![SERVER], ..Scenario::new("hydra", bench::system()) }.cannot_run(runtime)
}

/// One of them, and the word that its workers have.
pub fn system(run: &str) -> (System, String) {
    let worker = format!("worker-of-{run}");
    let mut service = bench::service("hydra", "hydra");
    service.settings.insert("worker".into(), worker.clone().into());
    (System { services: vec![service], ..bench::system() }, worker)
}

/// Ids of the workers, as the host sees them, whichever runtime they are in.
pub fn workers(word: &str) -> Vec<u32> {
    let ending = format!("\0{word}\0");
    let is_one = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(ending.as_bytes()))
    };
    bench::processes().filter(is_one).collect()
}
