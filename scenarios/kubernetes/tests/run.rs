//! Every scenario of this crate, as tests: `cargo test --test run kubernetes`.

fn main() -> std::process::ExitCode {
    notafter::testing::main(kubernetes::suite())
}
