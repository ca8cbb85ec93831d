//! The command line: every scenario crate, linked together.

fn main() -> std::process::ExitCode {
    let own = stack::suite().and(faults::suite()).and(startup::suite()).and(aware_2022::suite());
    notafter::cli::main(own.and(quorum::suite()).and(mixed::suite()).and(servers::suite()))
}
