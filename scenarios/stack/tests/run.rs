//! Every scenario of the reference system on every runtime: `cargo test --test run stack`.

fn main() -> std::process::ExitCode {
    notafter::testing::main(stack::suite())
}
