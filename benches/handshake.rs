//! Fresh mutual TLS 1.3 handshakes with one answer read back, both ends on one core: the prober
//! against a bare server, and Go's crypto/tls doing the same, in turn.
//!
//! `cargo bench --bench handshake`. P-256 certificates under one issuing CA, X25519, no resumption and no
//! tickets on either side.
//! Go comes from `ci/peers/handshake`; without a Go toolchain only our own figure is printed.

#[path = "../harness/tests/caller/server.rs"]
mod server;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use notafter::{
    history::{Outcome, Question},
    pki::{Authority, Identity, Validity},
    prober::{Caller, Wire},
};
use server::Server;

/// Rounds of both sides, and how long each takes.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let peer = build_peer();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(tokio.block_on(handshakes()));
        theirs.extend(peer.as_ref().map(run_peer));
    }
    let ours = median(&mut ours);
    println!("notafter's prober   {ours:>7.0} handshakes a second");
    if theirs.is_empty() {
        println!("Go crypto/tls       not measured: no Go toolchain found");
        return;
    }
    let theirs = median(&mut theirs);
    println!("Go crypto/tls       {theirs:>7.0} handshakes a second");
    println!("ratio               {:>7.2} (at least 1.3 is wanted)", ours / theirs);
}

/// Handshakes a second, client and server in one thread.
async fn handshakes() -> f64 {
    let mesh = Authority::new("bench").expect("authority");
    let issue = |name| mesh.issue(&Identity::service(name), Validity::lasting(ROUND * 100)).expect("issued");
    let address = Server::with_tickets(&issue("archive"), 0).await.address;
    let caller = Caller::with(&issue("search")).expect("caller");
    let begun = Instant::now();
    let mut done = 0_u32;
    while begun.elapsed() < ROUND {
        let outcome = caller.round_trip(address, "archive", Question::Fresh, &Wire::default()).await;
        assert_eq!(outcome, Outcome::Served(200));
        done += 1;
    }
    f64::from(done) / begun.elapsed().as_secs_f64()
}

fn build_peer() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().ok()?;
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(folder.path().join("handshake"))
        .arg(".")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/peers/handshake"))
        .status();
    built.is_ok_and(|status| status.success()).then_some(folder)
}

/// The peer prints its handshakes a second.
fn run_peer(folder: &tempfile::TempDir) -> f64 {
    let printed = Command::new(folder.path().join("handshake"))
        .env("GOMAXPROCS", "1")
        .arg(ROUND.as_secs().to_string())
        .output()
        .expect("the peer runs");
    String::from_utf8_lossy(&printed.stdout).trim().parse().expect("a number")
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
