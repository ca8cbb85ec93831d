//! Every scenario of this crate, and controls of the checks that it brings, as tests:
//! `cargo test --test run kubernetes`.

/// Each control takes a cluster of its own. `notafter zoo --on kubernetes` runs all of them.
const CONTROLS: [&str; 2] = ["control-of/kubernetes-looks-well", "control-of/kubernetes-authority"];

fn main() -> std::process::ExitCode {
    let mut suite = kubernetes::suite();
    suite.templates.retain(|one| one.family() == "kubernetes" || CONTROLS.contains(&one.name.as_str()));
    notafter::testing::main(suite)
}
