//! Every variant on every runtime: `cargo test --test run aware-2022`.

fn main() -> std::process::ExitCode {
    notafter::testing::main(aware_2022::suite())
}
