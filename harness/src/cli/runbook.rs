//! `notafter runbook`: the repair that a scenario executes, for people.

use std::path::PathBuf;

use globset::Glob;

use super::{
    conditions::{runtimes, system_in},
    exit, find,
    output::{print, say},
    remember::{Db, read},
};
use crate::{
    error::{Context, Result},
    history::History,
    measure::Measurements,
    report::Guide,
    run::RunFolder,
    runtime::Runtime,
    suite::{Settings, Suite},
};

/// Whose repair, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A scenario
    name: String,

    /// Where the commands are typed
    #[arg(long = "on", value_name = "RUNTIME", default_value = "processes", value_parser = runtimes())]
    runtime: Runtime,

    /// On the system in this TOML file (see `show`)
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,

    #[command(flatten)]
    db: Db,
}

/// Prints it as Markdown, with the times of the last run.
///
/// # Errors
/// If there is no such scenario, or the last run cannot be read.
pub fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let template = find::template(suite, &args.name)?;
    let own = args.system.as_deref().map(|path| system_in(suite, path)).transpose()?;
    let last = last(&template.name, args)?;
    let measured = last.as_ref().map(Measurements::of);
    let settings = last.as_ref().and_then(History::info).map_or_else(Settings::default, Settings::of);
    let scenario = template.scenario_on(own.unwrap_or_else(template.system), &settings);
    if let Some(why) = scenario.lacking(args.runtime) {
        say(format_args!("{}: {why}; this is how it would be repaired there", scenario.name));
    }
    let guide = Guide { scenario: &scenario, runtime: args.runtime, last: measured.as_ref() };
    print(&guide.markdown())?;
    Ok(exit::AS_EXPECTED)
}

/// The history of the last run of this scenario, on this system and in this runtime, whose evidence is
/// still there.
fn last(scenario: &str, args: &Args) -> Result<Option<History>> {
    let Some(past) = read(&args.db)? else { return Ok(None) };
    let this = Glob::new(&globset::escape(scenario)).context(|| "cannot look for runs".into())?;
    let mut runs = past.latest(Some(&this.compile_matcher()), None)?;
    let system = args.system.as_ref().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
    let system = system.map(|path| path.to_string_lossy().into_owned());
    runs.retain(|run| run.series.runtime == args.runtime.name() && run.series.system == system);
    let mut folders = runs.iter().rev().map(|run| RunFolder::open(&run.folder));
    let Some(folder) = folders.find(|folder| folder.history().is_file()) else { return Ok(None) };
    History::read(&folder.history()).map(Some).context(|| "cannot read the evidence of the last run".into())
}
