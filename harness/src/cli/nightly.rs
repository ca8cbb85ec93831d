//! `notafter nightly`: scenarios again and again, beside the nights before.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    conditions::{Conditions, Manner, runtimes, seed},
    exit, find, interrupt,
    launch::{Follow, launch},
    output::{complain, print, say, style},
    page::link,
    remember::{Db, Memory},
    run::Junit,
};
use crate::{
    check::Summary,
    error::{Context, Error, Kind, Result},
    past::{Judged, Kept, Night, Past, Series},
    report::{self, Nightly},
    runner::Interrupt,
    runtime::Runtime,
    scenario::Scenario,
    suite::{Suite, Template},
    system::{Span, System},
};

/// What is to be run, how often, and what is to come out.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Scenarios, families (all their variants) or globs; all by default
    #[arg(value_name = "NAME", default_value = "*")]
    names: Vec<String>,

    /// Where the systems run
    #[arg(
        long = "on",
        value_name = "RUNTIME,...",
        value_delimiter = ',',
        default_value = "processes",
        value_parser = runtimes()
    )]
    runtimes: Vec<Runtime>,

    /// How often each scenario runs; their median is what counts
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=1000))]
    repeats: u64,

    /// Seed of the first repeat; each further one gets the next
    #[arg(long, value_name = "N", default_value = "0", value_parser = seed)]
    seed: u64,

    /// After this time no run begins; what is left out is said
    #[arg(long, value_name = "SPAN")]
    limit: Option<Span>,

    /// What comes out is normal from now on; what was before does not count
    #[arg(long)]
    accept: bool,

    #[command(flatten)]
    manner: Manner,

    #[command(flatten)]
    db: Db,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[arg(long, value_name = "FILE", help = "Write a test case for each verdict and duration as JUnit XML")]
    junit: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Exit codes: 0 nothing got worse, 1 a verdict turned or a recovery got slower, 2 unknown: runs were left
out or could not tell.

A duration got slower if its last three nights are beyond chance (exact rank-sum test, p at most 0.005)
and well above the 30 normal nights before: two of them by 2 spreads of a night, which is at least 14 %,
and the third by 1.5. Of 30 durations together that raises less than one false alarm in a hundred nights
if repeats spread by 5 %, and finds a slow-down of 30 % in the third night. It takes 12 nights to begin.";

/// Runs them, and judges the night.
///
/// # Errors
/// If what was asked for makes no sense, a runtime is missing, or there is no database; nothing was run
/// then.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let templates = find::templates(suite, &args.names)?;
    let own = args.manner.system(suite)?;
    let junit = args.junit.as_deref().map(Junit::begin).transpose()?;
    let mut set =
        Set { args, own, interrupt: interrupt::listen()?, began: Instant::now(), skipped: Vec::new() };
    let rounds = set.runnable(&templates)?;
    for runtime in &args.runtimes {
        runtime.available().await?;
    }
    // Without the nights before nothing can be judged.
    let past = Past::open(&args.db.path())?;
    let night = past.begin_night(args.accept)?;
    let memory = Memory::in_past(past);

    let went = set.run(&rounds, &memory, night).await;
    let past = memory.past().expect("it was opened");
    let judged: Vec<_> =
        went.runs.values().map(|runs| judge(past, runs, night, args.accept)).collect::<Result<_>>()?;
    let judged: Vec<_> = judged.into_iter().flatten().collect();
    let report = Nightly {
        night,
        judged: &judged,
        left_out: &went.left_out,
        skipped: &set.skipped,
        broken: &went.broken,
    };
    let json = report.json();
    if let Err(error) = past.end_night(night, &json) {
        say(format_args!("warning: the summary of this night is not remembered: {error}"));
    }
    if let Some(junit) = junit {
        junit.write(report.junit())?;
    }
    summarize(&args.manner.runs(), &report, past)?;
    print(&if args.json { json + "\n" } else { report.render(style()) })?;
    let verdict = match report.verdict() {
        Summary::Passed => exit::AS_EXPECTED,
        Summary::Failed => exit::NOT_AS_EXPECTED,
        Summary::Unknown => exit::UNKNOWN,
    };
    Ok(exit::worst(went.codes.into_iter().chain([verdict])))
}

/// Leaves the night as Markdown, and all nights as a page, beside the evidence of its runs.
fn summarize(runs: &Path, report: &Nightly<'_>, past: &Past) -> Result<()> {
    let page = report::past::page(&past.latest(None, None)?, link);
    let summary = format!("night-{}.md", report.night);
    fs::create_dir_all(runs).context(|| format!("cannot make the folder {}", runs.display()))?;
    for (what, name, text) in [("summary", &*summary, report.markdown()), ("page", "history.html", page)] {
        let path = runs.join(name);
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
        say(format_args!("{what}: {}", path.display()));
    }
    Ok(())
}

fn judge(past: &Past, tonight: &[Kept], night: Night, accept: bool) -> Result<Option<Judged>> {
    let Some(first) = tonight.first() else { return Ok(None) };
    let (before, accepted) = if accept { (Vec::new(), true) } else { past.nights(&first.series, night)? };
    Ok(Judged::of(tonight, &before, accepted))
}

/// What was asked for.
struct Set<'a> {
    args: &'a Args,
    own: Option<System>,
    interrupt: Interrupt,
    began: Instant,
    skipped: Vec<String>,
}

/// What came of it.
#[derive(Default)]
struct Went {
    runs: BTreeMap<Series, Vec<Kept>>,
    left_out: Vec<String>,
    broken: Vec<String>,
    codes: Vec<u8>,
}

impl Set<'_> {
    /// Every scenario where it can run; what is skipped is said once.
    fn runnable<'t>(&mut self, templates: &[&'t Template]) -> Result<Vec<(Runtime, &'t Template)>> {
        let mut runnable = Vec::new();
        for runtime in &self.args.runtimes {
            for template in templates {
                match self.scenario(template, &self.conditions(*runtime, 0)).cannot_run(*runtime) {
                    Some(why) => self.skipped.push(format!("{}: {why}", template.name)),
                    None => runnable.push((*runtime, *template)),
                }
            }
        }
        if runnable.is_empty() {
            let why = format!("nothing of this can be run: {}", self.skipped.join("; "));
            return Err(Error::missing(why).hint("`notafter list` shows which scenario runs where"));
        }
        Ok(runnable)
    }

    /// Everything once, then everything again: what a limit leaves out is repeats and no scenario, and
    /// no scenario has the quiet hour to itself.
    async fn run(&self, each: &[(Runtime, &Template)], memory: &Memory, night: Night) -> Went {
        let mut went = Went::default();
        let mut left_out: BTreeMap<String, u64> = BTreeMap::new();
        for repeat in 0..self.args.repeats {
            for (runtime, template) in each {
                let title = format!("{} on {}", template.name, runtime.name());
                let late = self.args.limit.is_some_and(|limit| self.began.elapsed() >= limit.0);
                if late || *self.interrupt.borrow() {
                    *left_out.entry(title).or_default() += 1;
                    continue;
                }
                let conditions = self.conditions(*runtime, repeat);
                match self.one(template, &conditions, memory, night).await {
                    Ok(kept) => went.runs.entry(kept.series.clone()).or_default().push(kept),
                    Err(error) if error.kind() == Kind::Interrupted => {
                        *left_out.entry(title).or_default() += 1;
                    }
                    Err(error) => {
                        complain(format_args!("{title}: {error}"));
                        went.codes.push(exit::of_error(&error));
                        went.broken.push(format!("{title}, seed {}: {error}", conditions.seed));
                    }
                }
            }
        }
        let repeats = self.args.repeats;
        went.left_out =
            left_out.into_iter().map(|(title, runs)| format!("{title}: {runs} of {repeats}")).collect();
        went
    }

    async fn one(
        &self,
        template: &Template,
        conditions: &Conditions,
        memory: &Memory,
        night: Night,
    ) -> Result<Kept> {
        let scenario = self.scenario(template, conditions);
        let again = conditions.again(&["run", &template.name]);
        let finished = launch(&scenario, conditions, again, Follow::Closely, self.interrupt.clone()).await?;
        let kept = memory.keep(&finished, conditions, Some(night)).ok_or_else(Error::interrupted)?;
        match finished.error {
            // A run that went wrong has a verdict, unknown; a bug is more than that.
            Some(error) if error.kind() == Kind::Bug => Err(error),
            Some(error) => {
                complain(format_args!("{}: {error}", template.name));
                Ok(kept)
            }
            None => Ok(kept),
        }
    }

    fn conditions(&self, runtime: Runtime, repeat: u64) -> Conditions {
        Conditions { runtime, seed: self.args.seed.wrapping_add(repeat), manner: self.args.manner.clone() }
    }

    fn scenario(&self, template: &Template, conditions: &Conditions) -> Scenario {
        let system = self.own.clone().unwrap_or_else(template.system);
        template.scenario_on(system, &conditions.settings())
    }
}
