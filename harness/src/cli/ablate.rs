//! `notafter ablate`: what each mitigation saves, alone and together.

use super::{
    conditions::Conditions,
    exit, find, interrupt,
    launch::{Follow, launch},
    output::{complain, print, style},
    remember::Db,
};
use crate::{
    check::Summary,
    error::{Error, Result},
    history::History,
    report,
    suite::{Ablation, Suite},
};

/// Whose mitigations, and what is to come out.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A family of scenarios with mitigations
    family: String,

    #[command(flatten)]
    conditions: Conditions,

    #[command(flatten)]
    db: Db,

    /// Print one JSON object a run, each in a line of its own
    #[arg(long)]
    json: bool,
}

/// Runs the family without any mitigation, with each alone, and with all.
///
/// # Errors
/// If there is no such family, or a run could not begin.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let ablation = suite.ablations.iter().find(|one| one.family == args.family).ok_or_else(|| {
        let known = suite.ablations.iter().map(|one| one.family);
        find::unknown("family with mitigations", &args.family, known).hint_all()
    })?;
    let Args { conditions, json, .. } = args;
    let own = conditions.manner.system(suite)?.unwrap_or_else(ablation.system);
    let interrupt = interrupt::listen()?;
    conditions.runtime.available().await?;
    let memory = args.db.remember();

    let again = conditions.again(&["ablate", ablation.family]);
    let mut runs: Vec<(String, History)> = Vec::new();
    let mut codes = Vec::new();
    for (name, on) in combinations(ablation) {
        let scenario = (ablation.build)(own.clone(), &conditions.settings(), &on);
        if let Some(why) = scenario.cannot_run(conditions.runtime) {
            return Err(Error::missing(format!("{}: {why}", scenario.name)));
        }
        let finished =
            launch(&scenario, conditions, again.clone(), Follow::Closely, interrupt.clone()).await?;
        memory.keep(&finished, conditions, None);
        if *json {
            print(&(report::json(&finished.history) + "\n"))?;
        }
        // Which verdict a combination must give is the scenarios' business; here it must give one.
        codes.push(match (&finished.error, finished.overall.verdict) {
            (Some(error), _) => {
                complain(error);
                exit::of_error(error)
            }
            (None, Summary::Unknown) => exit::UNKNOWN,
            (None, _) => exit::AS_EXPECTED,
        });
        runs.push((name, finished.history));
        if *interrupt.borrow() {
            break;
        }
    }
    if !json {
        let runs: Vec<_> = runs.iter().map(|(name, history)| (name.clone(), history)).collect();
        print(&report::ablation(&runs, style()))?;
    }
    Ok(exit::worst(codes))
}

/// None, each alone, all: what people call it, and the switches.
fn combinations(ablation: &Ablation) -> Vec<(String, Vec<bool>)> {
    let count = ablation.mitigations.len();
    let only = |index: usize| (0..count).map(|other| other == index).collect();
    let mut combinations = vec![("nothing".into(), vec![false; count])];
    combinations
        .extend(ablation.mitigations.iter().enumerate().map(|(i, name)| ((*name).to_owned(), only(i))));
    if count > 1 {
        combinations.push(("all of them".into(), vec![true; count]));
    }
    combinations
}
