//! `notafter blast`: which operations fail when which certificate has expired.

use std::{fs, path::PathBuf};

use super::{
    conditions::Conditions,
    exit, find, interrupt,
    launch::{Follow, launch},
    output::{complain, print, style},
};
use crate::{
    blast,
    error::{Error, Result},
    history::History,
    report::{self, Blast, Effect},
    suite::Suite,
};

/// Of which system, and what is to come out.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// A system with users
    name: String,

    /// Only the certificates of these services and authorities
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,

    #[command(flatten)]
    conditions: Conditions,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Write the matrix as a page for a browser, too
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Exit codes: 0 no certificate brings something down or lets somebody in, 1 one does, 2 nobody can say.";

/// Lets each certificate end by itself, twice, and shows who misses what.
///
/// # Errors
/// If there is no such system or service, the runtime is missing, or a run could not begin.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let Args { conditions, name, .. } = args;
    let known = || suite.users.iter().map(|(name, _)| name.as_str());
    let users = suite.users.iter().find(|(known, _)| known == name);
    let users = users.ok_or_else(|| find::unknown("system with users", name, known()).hint_all())?.1();
    let own = suite.systems.iter().map(|system| system()).find(|system| system.name == *name);
    let own = own.ok_or_else(|| find::unknown("system", name, known()).hint_all())?;
    let system = conditions.manner.system(suite)?.unwrap_or(own);
    let authorities = system.authorities.iter().map(String::as_str);
    let holders = || system.own().map(|service| service.name.as_str()).chain(authorities.clone());
    if let Some(unknown) = args.only.iter().find(|wanted| !holders().any(|known| known == *wanted)) {
        return Err(find::unknown("service or authority", unknown, holders()).hint_all());
    }
    conditions.runtime.available().await?;
    let interrupt = interrupt::listen()?;

    let mut runs: Vec<(blast::Of, Vec<History>)> = Vec::new();
    let is_wanted =
        |of: &blast::Of| args.only.is_empty() || args.only.iter().any(|wanted| wanted == of.holder());
    for of in blast::all(&system).into_iter().filter(is_wanted) {
        let mut histories = Vec::new();
        for restarted in [false, true] {
            let scenario = blast::scenario(&system, &users, &of, restarted);
            let again = conditions.again(&["blast", name, "--only", of.holder()]);
            let finished = launch(&scenario, conditions, again, Follow::Closely, interrupt.clone()).await?;
            histories.push(finished.history);
            if *interrupt.borrow() {
                complain("interrupted: what is known so far");
                return tell(args, &system.name, &runs).map(|_| exit::UNKNOWN);
            }
        }
        runs.push((of, histories));
    }
    tell(args, &system.name, &runs)
}

fn tell(args: &Args, system: &str, runs: &[(blast::Of, Vec<History>)]) -> Result<u8> {
    let blasts: Vec<_> = runs
        .iter()
        .filter_map(|(of, histories)| {
            Some(Blast { of, running: histories.first()?, restarted: histories.get(1)? })
        })
        .collect();
    let radii = report::radii(&blasts);
    print(&if args.json {
        report::blast_json(system, args.conditions.runtime.name(), &radii) + "\n"
    } else {
        report::blast(&radii, style())
    })?;
    if let Some(path) = &args.page {
        let only = args.only.join(",");
        let verb = ["blast", &args.name, "--only", &only];
        let again = args.conditions.again(if only.is_empty() { &verb[..2] } else { &verb });
        let page = report::blast_page(system, args.conditions.runtime.name(), &radii, &again);
        fs::write(path, page).map_err(|error| {
            Error::usage(format!("cannot write {}", path.display()))
                .because(error)
                .hint("choose another place with --page FILE; --json prints the same")
        })?;
    }
    let effects = || radii.iter().flat_map(|radius| &radius.operations).map(|(_, effect)| *effect);
    let hurts = |effect| matches!(effect, Effect::Down | Effect::Sleeps);
    Ok(if effects().any(hurts) || radii.iter().any(|radius| radius.fails_open) {
        exit::NOT_AS_EXPECTED
    } else if effects().any(|effect| effect == Effect::Unknown) || radii.is_empty() {
        exit::UNKNOWN
    } else {
        exit::AS_EXPECTED
    })
}
