//! Alerts come in time and stay, and monitors that lie are caught: `cargo test --test run alerting`.

mod lies;
mod pages;
mod rules;

use std::{net::Ipv4Addr, pin::Pin, process::ExitCode};

use alerting::{process, tools};
use notafter::{
    pki::{Authority, Credential, Identity, Validity},
    suite::Suite,
    testing::{self, ALERTING, Trial},
};

fn main() -> ExitCode {
    if let Some(code) = process::dispatch() {
        return code;
    }
    let missing = tools::missing();
    let trials = pages::trials().into_iter().chain(rules::trials()).chain(lies::trials());
    let trials =
        trials.map(|(name, body)| Trial::with(ALERTING, missing.clone(), format!("alerting/{name}"), body));
    testing::main_with(Suite::default(), trials.collect())
}

/// Why a claim does not hold.
type Held = Result<(), String>;
/// Claims, each with its name.
type Claims = Vec<(&'static str, fn() -> Pin<Box<dyn Future<Output = Held>>>)>;

/// A folder that goes with the test.
fn folder() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| error.to_string())
}

/// A server's certificate for an address of loopback.
fn issue(authority: &Authority, name: &str, validity: Validity) -> Result<Credential, String> {
    let identity = Identity { addresses: vec![Ipv4Addr::LOCALHOST.into()], ..Identity::service(name) };
    authority.issue(&identity, validity).map_err(|error| error.to_string())
}

fn authority() -> Result<Authority, String> {
    Authority::new("mesh").map_err(|error| error.to_string())
}

/// What must be so.
fn must(holds: bool, why: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(why()) }
}
