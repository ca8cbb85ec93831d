//! `notafter run`: scenarios, one after another or some at once, each with its verdict.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt, stream};
use quick_junit::SerializeError;

use super::{
    conditions::{Conditions, Jobs},
    exit, find, interrupt,
    launch::{Follow, launch},
    output::{complain, print, say, style},
    page,
    remember::{Db, Memory},
};
use crate::{
    error::{Context, Error, Result},
    history::History,
    report,
    runner::{Finished, Interrupt},
    suite::{Suite, Template},
    system::System,
};

/// What is to be run, and what is to come out.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Scenarios, families (all their variants) or globs
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    conditions: Conditions,

    #[command(flatten)]
    db: Db,

    /// Print one JSON object a scenario, each in a line of its own
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    jobs: Jobs,

    #[arg(long, value_name = "FILE", help = "Write the verdicts as JUnit XML")]
    junit: Option<PathBuf>,

    /// Open the page of each run in a browser
    #[arg(long)]
    open: bool,
}

/// Runs them.
///
/// # Errors
/// If what was asked for makes no sense, or a runtime is missing; nothing was run then.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let Args { conditions, .. } = args;
    let templates = find::templates(suite, &args.names)?;
    let own = conditions.manner.system(suite)?;
    let junit = args.junit.as_deref().map(Junit::begin).transpose()?;
    let batch = Batch { args, own, interrupt: interrupt::listen()? };
    batch.some_can_run(&templates)?;
    conditions.runtime.available().await?;
    let memory = args.db.remember();

    let mut tally = Tally::default();
    let runs = templates.iter().map(|template| batch.one(template, &memory));
    let mut outcomes = stream::iter(runs).buffered(args.jobs.count.into());
    for template in &templates {
        let Some(outcome) = outcomes.next().await else { break };
        tally.add(&template.name, outcome);
    }
    if let Some(junit) = junit {
        junit.write(report::junit(&tally.histories))?;
    }
    if !args.json && tally.lines.len() > 1 {
        print(&tally.to_string())?;
    }
    Ok(exit::worst(tally.codes))
}

/// What was asked for.
struct Batch<'a> {
    args: &'a Args,
    own: Option<System>,
    interrupt: Interrupt,
}

/// What came of one scenario.
enum Outcome {
    Ran(Box<Finished>),
    /// Its runtime cannot do what it needs.
    Skipped(String),
    NotRun(Error),
}

impl Batch<'_> {
    /// At least one of these can be run here.
    fn some_can_run(&self, templates: &[&Template]) -> Result<()> {
        let runtime = self.args.conditions.runtime;
        let lacking = |template: &&Template| self.scenario(template).cannot_run(runtime);
        match templates.iter().map(lacking).collect::<Option<Vec<_>>>() {
            Some(reasons) if !reasons.is_empty() => {
                let why = format!("nothing of this can be run: {}", reasons[0]);
                Err(Error::missing(why).hint("`notafter list` shows which scenario runs where"))
            }
            _ => Ok(()),
        }
    }

    async fn one(&self, template: &Template, memory: &Memory) -> Outcome {
        let Args { conditions, json, .. } = self.args;
        if *self.interrupt.borrow() {
            return Outcome::NotRun(Error::interrupted());
        }
        let scenario = self.scenario(template);
        if let Some(why) = scenario.cannot_run(conditions.runtime) {
            say(format_args!("{}: skipped: {why}", template.name));
            return Outcome::Skipped(why);
        }
        let again = conditions.again(&["run", &template.name]);
        let ran = launch(
            &scenario,
            conditions,
            again,
            Follow::one_of(self.args.jobs.count),
            self.interrupt.clone(),
        )
        .await;
        let shown = ran.and_then(|finished| {
            memory.keep(&finished, conditions, None);
            let report =
                if *json { report::json } else { |history: &History| report::render(history, style()) };
            print(&(report(&finished.history) + "\n"))?;
            page::announce(&finished.folder, self.args.open);
            Ok(finished)
        });
        shown.map_or_else(Outcome::NotRun, |finished| Outcome::Ran(Box::new(finished)))
    }

    fn scenario(&self, template: &Template) -> crate::scenario::Scenario {
        let system = self.own.clone().unwrap_or_else(template.system);
        template.scenario_on(system, &self.args.conditions.settings())
    }
}

/// All verdicts together.
#[derive(Default)]
struct Tally {
    codes: Vec<u8>,
    /// How many gave the verdict that they must give.
    good: usize,
    histories: Vec<History>,
    lines: Vec<(String, String)>,
}

impl Tally {
    fn add(&mut self, name: &str, outcome: Outcome) {
        let said = match outcome {
            Outcome::Ran(finished) => {
                let code = exit::of_run(&finished);
                if let Some(error) = &finished.error {
                    complain(error);
                    say(format_args!("the evidence so far is in {}", finished.folder.path().display()));
                }
                let verdict = finished.overall.verdict.word();
                self.codes.push(code);
                self.good += usize::from(code == exit::AS_EXPECTED);
                self.histories.push(finished.history);
                match code {
                    exit::AS_EXPECTED => format!("{verdict}, as expected"),
                    exit::NOT_AS_EXPECTED => format!("{verdict}, NOT as expected"),
                    _ => "unknown".into(),
                }
            }
            Outcome::Skipped(why) => format!("skipped: {why}"),
            Outcome::NotRun(error) => {
                self.codes.push(exit::of_error(&error));
                complain(format_args!("{name}: {error}"));
                "not run".into()
            }
        };
        self.lines.push((name.to_owned(), said));
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} of {} scenarios gave the verdict that they must give", self.good, self.lines.len())?;
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.lines.iter().try_for_each(|(name, said)| writeln!(f, "  {name:width$}  {said}"))
    }
}

/// A file for `JUnit` XML, opened before anything is run: hours of runs must not end at a bad path.
pub(super) struct Junit<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Junit<'a> {
    /// Opens it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn begin(path: &'a Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| {
            Error::usage(format!("cannot write {}", path.display()))
                .because(error)
                .hint("does its folder exist?")
        })?;
        Ok(Self { path, file })
    }

    /// Writes it.
    ///
    /// # Errors
    /// If it is no XML, or cannot be written.
    pub(super) fn write(mut self, xml: Result<String, SerializeError>) -> Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        let xml = xml.context(failed)?;
        self.file.write_all(xml.as_bytes()).context(failed)
    }
}
