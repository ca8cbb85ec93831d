//! Every fault and its control on every runtime: `cargo test --test run fault`.

fn main() -> std::process::ExitCode {
    notafter::testing::main(faults::suite())
}
