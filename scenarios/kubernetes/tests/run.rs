//! Every scenario of this crate, and a control of the check that it brings and of the one that all have, as tests:
//! `cargo test --test run kubernetes`.

/// Each control takes a cluster of its own. `notafter zoo --on kubernetes` runs all of them.
const CONTROLS: [&str; 2] = ["control-of/kubernetes-api", "control-of/kubernetes-looks-well"];

fn main() -> std::process::ExitCode {
    let mut suite = kubernetes::suite();
    suite.templates.retain(|one| one.family() == "kubernetes" || CONTROLS.contains(&one.name.as_str()));
    notafter::testing::main(suite)
}
