//! `notafter zoo`: every defect against every check, the score of the harness itself.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::{
    conditions::{Conditions, Jobs},
    exit, find, interrupt,
    launch::{Follow, launch},
    output::{complain, print, say, style},
};
use crate::{
    error::Result,
    history::History,
    report::{self, Exhibit},
    runner::{Finished, Interrupt},
    suite::{Specimen, Suite},
    words,
};

/// Which defects.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Controls, families of them or globs; all by default
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    conditions: Conditions,

    #[command(flatten)]
    jobs: Jobs,

    /// Print one JSON object a run, each in a line of its own
    #[arg(long)]
    json: bool,
}

/// Runs each defect, and what it is a control of without it, and shows which check caught what.
///
/// What cannot be run here, for want of a server, is left out with the reason, and is unknown; what this runtime
/// cannot run anywhere is left out, too.
///
/// # Errors
/// If there is no such control, the runtime is missing, or a run could not begin.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let Args { conditions, json, .. } = args;
    let wanted = wanted(suite, &args.names)?;
    conditions.runtime.available().await?;
    let interrupt = interrupt::listen()?;
    let sound: BTreeSet<&str> = wanted.iter().map(|specimen| specimen.sound.as_str()).collect();
    let all = sound.into_iter().map(|name| (None, name));
    let all = all.chain(wanted.iter().map(|one| (Some(one.defect.as_str()), one.control.as_str())));
    let (mut runs, mut codes): (Vec<(Option<&str>, History)>, Vec<u8>) = Default::default();
    let mut left_out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let jobs = args.jobs.count;
    let launched = all.map(|(defect, name)| {
        let interrupt = interrupt.clone();
        async move { (defect, name, one(suite, conditions, name, jobs, interrupt).await) }
    });
    let mut at_once = stream::iter(launched).buffered(jobs.into());
    while let Some((defect, name, outcome)) = at_once.next().await {
        match outcome? {
            Outcome::NotBegun => codes.push(exit::UNKNOWN),
            Outcome::LeftOut { why, anywhere } => {
                left_out.entry(why).or_default().push(name.to_owned());
                // What runs on no machine in this runtime is no matter of this machine.
                if !anywhere {
                    codes.push(exit::UNKNOWN);
                }
            }
            Outcome::Ran(finished) => {
                if let Some(error) = &finished.error {
                    complain(error);
                }
                if *json {
                    print(&(report::json(&finished.history) + "\n"))?;
                }
                codes.push(exit::of_run(&finished));
                runs.push((defect, finished.history));
            }
        }
    }
    if !json {
        let exhibits: Vec<_> =
            runs.iter().map(|(defect, history)| Exhibit { defect: *defect, history }).collect();
        print(&report::zoo(&exhibits, style()))?;
    }
    for (why, names) in left_out {
        say(format_args!("left out: {}: {why}", words::list(&names, 4)));
    }
    Ok(exit::worst(codes))
}

/// What came of one run.
enum Outcome {
    Ran(Box<Finished>),
    /// It cannot be run here, or in this runtime anywhere.
    LeftOut {
        why: String,
        anywhere: bool,
    },
    /// Somebody has had enough.
    NotBegun,
}

async fn one(
    suite: &Suite,
    conditions: &Conditions,
    name: &str,
    jobs: u8,
    interrupt: Interrupt,
) -> Result<Outcome> {
    if *interrupt.borrow() {
        return Ok(Outcome::NotBegun);
    }
    let template = find::templates(suite, &[name.to_owned()])?[0];
    let scenario = template.scenario_on((template.system)(), &conditions.settings());
    if let Some(why) = scenario.cannot_run(conditions.runtime) {
        let anywhere = scenario.lacking(conditions.runtime).is_some();
        return Ok(Outcome::LeftOut { why, anywhere });
    }
    let again = conditions.again(&["run", name]);
    let finished = launch(&scenario, conditions, again, Follow::one_of(jobs), interrupt).await?;
    Ok(Outcome::Ran(Box::new(finished)))
}

/// The specimens whose controls have these names.
fn wanted<'s>(suite: &'s Suite, names: &[String]) -> Result<Vec<&'s Specimen>> {
    if names.is_empty() {
        return Ok(suite.zoo.iter().collect());
    }
    let chosen = find::templates(suite, names)?;
    let is_chosen = |one: &&Specimen| chosen.iter().any(|template| template.name == one.control);
    let specimens: Vec<_> = suite.zoo.iter().filter(is_chosen).collect();
    if specimens.is_empty() {
        let known = suite.zoo.iter().map(|one| one.control.as_str());
        let more = "`notafter list` shows all scenarios; those of the zoo are controls";
        return Err(find::unknown("control", &names[0], known).hint_more(more));
    }
    Ok(specimens)
}
