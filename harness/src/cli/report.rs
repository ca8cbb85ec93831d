//! `notafter report`: a run of the past from its history alone, and trials of orders as they were told.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    exit, logs,
    orders::{ORDERS_JSON, ORDERS_TEXT},
    output::{print, say, style},
};
use crate::{
    check,
    error::{Context, Error, Result},
    history::{History, Phase, RunInfo},
    report,
    run::{self, RunFolder, state_folder},
    suite::{Settings, Suite, Template},
    system::System,
};

/// Which run.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The id of a run, its folder, or `last`
    #[arg(required_unless_present = "schema")]
    run: Option<String>,

    /// How it is written
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The same as `--as json`
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Judge the same history again, with the checks that its scenario has today
    #[arg(long)]
    rejudge: bool,

    /// Print the JSON schema of the object that `--as json` and `run --json` give, and no report
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// A page in one file
    Html,
    /// Markdown for the summary of a CI job
    #[value(alias = "markdown")]
    Md,
    /// One object
    Json,
    /// A suite for CI
    Junit,
    /// Metrics for a textfile collector
    Openmetrics,
}

impl Args {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Prints what its history says. The exit code is about the printing, not the verdict.
///
/// # Errors
/// If there is no such run, its history cannot be read, or nobody knows its scenario that is to judge again.
pub fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let Some(run) = args.run.as_deref() else {
        print(&report::schema())?;
        return Ok(exit::AS_EXPECTED);
    };
    let folder = find(run)?;
    if let Some(text) = of_orders(&folder, args.format())? {
        if args.rejudge {
            return Err(Error::usage("trials of orders are judged together and not again")
                .hint("without --rejudge their report is shown as it was told"));
        }
        print(&text)?;
        return Ok(exit::AS_EXPECTED);
    }
    let path = folder.history();
    let mut history = History::read(&path).context(|| "cannot read the evidence".into())?;
    if args.rejudge {
        history = rejudged(suite, &folder, &history)?;
    }
    if history.ended(Phase::TearDown).is_none() {
        say(if folder.in_use() {
            "this run still goes on; this is what is known so far"
        } else {
            "this run did not end in order; this is what is known of it"
        });
    }
    let text = match args.format() {
        Format::Text => report::render(&history, style()),
        Format::Html => report::page(&history, &logs::of(&folder)?),
        Format::Md => report::markdown(&history),
        Format::Json => report::json(&history) + "\n",
        Format::Junit => report::junit([&history]).context(|| "cannot write JUnit XML".into())?,
        Format::Openmetrics => report::openmetrics(&history),
    };
    print(&text)?;
    Ok(exit::AS_EXPECTED)
}

/// The history with the verdicts of the checks that its scenario has today, under the run's own settings
/// and on the run's own system.
fn rejudged(suite: &Suite, folder: &RunFolder, history: &History) -> Result<History> {
    let info = history.info().ok_or_else(|| Error::usage("this run died before it said what it is"))?;
    let known = suite.templates.iter().find(|template| template.name == info.scenario);
    let template = known.ok_or_else(|| {
        Error::usage(format!("the scenario of this run, `{}`, is not known any more", info.scenario)).hint(
            "`notafter list` shows those that are; without --rejudge the report has the verdicts of then",
        )
    })?;
    let scenario = template.scenario_on(system_of(folder, info, template)?, &Settings::of(info));
    Ok(check::rejudged(history, &scenario.checks, &scenario.expect, env!("CARGO_PKG_VERSION")))
}

/// The system that a run was made on: its evidence holds it since there is such a file. Before that, only
/// the command says whether it was the scenario's own.
fn system_of(folder: &RunFolder, info: &RunInfo, template: &Template) -> Result<System> {
    let path = folder.system();
    match fs::read_to_string(&path) {
        Ok(text) => System::from_toml(&text, &path.display().to_string())
            .map_err(|error| Error::new("the system that this run was made on does not read").because(error)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::new(format!("cannot read {}", path.display())).because(error))
        }
        Err(_) if info.rerun.split(' ').any(|word| word == "--system") => Err(Error::usage(format!(
            "this run was made on a system from a file, and its evidence does not hold it: {} is not there",
            path.display()
        ))
        .hint(format!("make it again, which keeps the system: {}", info.rerun))),
        Err(_) => Ok((template.system)()),
    }
}

/// Trials of orders were judged together, over all their clusters; each folder keeps what was said.
fn of_orders(folder: &RunFolder, format: Format) -> Result<Option<String>> {
    let told = folder.path().join(ORDERS_TEXT);
    if !told.exists() {
        return Ok(None);
    }
    let path = match format {
        Format::Text => told,
        Format::Json => folder.path().join(ORDERS_JSON),
        Format::Html => folder.page(),
        Format::Md | Format::Junit | Format::Openmetrics => {
            return Err(Error::usage("trials of orders have a report as text, as a page and as JSON only")
                .hint("`orders SYSTEM --junit FILE` and `--graph mermaid` write more while they run"));
        }
    };
    fs::read_to_string(&path).map(Some).context(|| format!("cannot read {}", path.display()))
}

/// The run of this id or folder, or the latest.
pub(super) fn find(name: &str) -> Result<RunFolder> {
    let state = state_folder();
    let runs = run::runs(&state);
    let no_run = |what: String| {
        let latest: Vec<_> = runs.iter().rev().take(3).map(|run| format!("`{}`", run.id())).collect();
        let latest = if latest.is_empty() { "no run yet".into() } else { latest.join(", ") };
        let place = state.join("runs");
        Error::usage(what).hint(format!(
            "the latest in {} are: {latest}; a run with --out is named by its folder",
            place.display()
        ))
    };
    if name == "last" {
        return runs.last().cloned().ok_or_else(|| no_run("there is no last run".into()));
    }
    let by_path = Path::new(name);
    let by_path =
        if by_path.ends_with("history.jsonl") { by_path.parent().unwrap_or(by_path) } else { by_path };
    let candidates: [PathBuf; 2] = [state.join("runs").join(name), by_path.to_owned()];
    candidates
        .iter()
        .map(|path| RunFolder::open(path))
        .find(|folder| folder.history().is_file())
        .ok_or_else(|| no_run(format!("no run has the id or the folder `{name}`")))
}
