//! Every scenario of this crate, as tests: `cargo test --test run quorum`.

fn main() -> std::process::ExitCode {
    notafter::testing::main(quorum::suite())
}
