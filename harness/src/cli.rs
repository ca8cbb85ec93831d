//! The command line as a library function: an executable that links scenario crates together is
//! `fn main() -> ExitCode { notafter::cli::main(suite) }`, with every command below.

mod ablate;
mod alerts;
mod blast;
mod breaking;
mod completions;
mod conditions;
mod doctor;
pub mod exit;
mod find;
mod heal;
mod history;
mod interrupt;
mod inventory;
mod kube;
mod launch;
mod list;
mod logs;
mod nightly;
mod orders;
pub(crate) mod output;
mod page;
mod profile;
mod progress;
pub(crate) mod quote;
mod remember;
mod report;
mod reproduce;
mod run;
mod runbook;
mod show;
mod sweep;
mod watch;
mod zoo;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::{
    error::{Context, Result},
    multicall,
    suite::Suite,
};

/// Breaks certificates on purpose in a cluster that really runs, and measures what stops and how long it takes
/// to come back.
#[derive(Parser)]
#[command(name = "notafter", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 every scenario gave the verdict that it must give, 1 one did not, 2 unknown,
3 a required runtime is missing, 64 usage, 70 a bug of notafter. Of an inventory, 1 says that
a finding is urgent.

Environment: NOTAFTER_STATE is the folder that keeps the evidence of runs; NO_COLOR and
CLICOLOR_FORCE switch colour off and on.";

#[derive(Subcommand)]
enum Command {
    /// Show the scenarios, where they run, and the verdict that each must give
    List(list::Args),
    /// Run scenarios and judge them
    Run(run::Args),
    /// Show what each mitigation of a family saves, alone and together
    Ablate(ablate::Args),
    /// Run scenarios again and again, and tell what got worse since the nights before
    Nightly(nightly::Args),
    /// Show the runs of the past, how their durations went, or two of them side by side
    History(history::Args),
    /// Let each certificate of a system end, and show which operations fail
    Blast(blast::Args),
    /// Run every defect against every check: the score of notafter itself
    Zoo(zoo::Args),
    /// Start a system in every order that matters, and say which services need which first
    Orders(orders::Args),
    /// Break a cluster and keep it up to look at
    Reproduce(reproduce::Args),
    /// Show what certificates there are, on disk and on the wire, and until when
    Inventory(inventory::Args),
    /// Watch certificates, and tell Prometheus until when they last
    Watch(watch::Args),
    /// Print the alerts that go with `watch`
    Alerts(alerts::Args),
    /// Print how a scenario is repaired by hand: what to type, and what to see then
    Runbook(runbook::Args),
    /// Find out what TLS servers do with certificates, by experiment
    Profile(profile::Args),
    /// Bring up a cluster of Kubernetes whose certificates are ours
    Kube(kube::Args),
    /// Break certificates of your own Kubernetes for a while, and put them back
    Break(breaking::Args),
    /// Put back what a run of `break` has changed, after it was killed
    Heal(heal::Args),
    /// Show the report of a run of the past
    Report(report::Args),
    /// Remove what dead runs left behind
    Sweep(sweep::Args),
    /// Show which runtimes work here, and what is missing for the others
    Doctor,
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print a system as data
    Show(show::Args),
}

/// The whole command line. It never returns in a service or a guardian.
#[expect(clippy::needless_pass_by_value, reason = "nobody has a use for it afterwards: the process ends")]
pub fn main(suite: Suite) -> ExitCode {
    multicall::dispatch(&suite.programs);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are answers, not errors.
            let asked = matches!(answer.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = answer.print();
            return ExitCode::from(if asked { exit::AS_EXPECTED } else { exit::USAGE });
        }
    };
    let went = catch_unwind(AssertUnwindSafe(|| execute(&suite, &cli.command)));
    ExitCode::from(match went {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            output::complain(&error);
            exit::of_error(&error)
        }
        Err(_) => {
            output::say("this is a bug of notafter; what it was about to do is above");
            exit::BUG
        }
    })
}

fn execute(suite: &Suite, command: &Command) -> Result<u8> {
    let runtime = tokio::runtime::Runtime::new().context(|| "cannot start".into())?;
    match command {
        Command::List(args) => list::run(suite, args),
        Command::Run(args) => runtime.block_on(run::run(suite, args)),
        Command::Ablate(args) => runtime.block_on(ablate::run(suite, args)),
        Command::Nightly(args) => runtime.block_on(nightly::run(suite, args)),
        Command::Blast(args) => runtime.block_on(blast::run(suite, args)),
        Command::Zoo(args) => runtime.block_on(zoo::run(suite, args)),
        Command::History(args) => history::run(args),
        Command::Orders(args) => runtime.block_on(orders::run(suite, args)),
        Command::Reproduce(args) => runtime.block_on(reproduce::run(suite, args)),
        Command::Runbook(args) => runbook::run(suite, args),
        Command::Report(args) => report::run(suite, args),
        Command::Inventory(args) => runtime.block_on(inventory::run(args)),
        Command::Watch(args) => {
            let ended = runtime.block_on(watch::run(args));
            // A look that hangs at a disk must not keep the process.
            runtime.shutdown_background();
            ended
        }
        Command::Alerts(args) => alerts::run(args),
        Command::Profile(args) => runtime.block_on(profile::run(suite, args)),
        Command::Kube(args) => runtime.block_on(kube::run(args)),
        Command::Break(args) => runtime.block_on(breaking::run(args)),
        Command::Heal(args) => runtime.block_on(heal::run(args)),
        Command::Sweep(args) => sweep::run(args),
        Command::Doctor => runtime.block_on(doctor::run()),
        Command::Completions(args) => completions::run(args, Cli::command()),
        Command::Show(args) => show::run(suite, args),
    }
}
