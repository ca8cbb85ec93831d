//! The command line: every scenario crate, linked together.

fn main() -> std::process::ExitCode {
    notafter::cli::main(stack::suite().and(faults::suite()).and(startup::suite()).and(aware_2022::suite()))
}
