//! `notafter orders`: whether a system starts in any order, and if not, why.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    conditions::{runtimes, seed, system_in},
    exit, find, interrupt,
    output::{complain, print, redraws, say, style},
    page, quote,
};
use crate::{
    check::{Summary, Verdict, judge_starts},
    error::{Context, Error, Result},
    order::{Choice, Kind, Limits, Outcome, Plan, Strength, Trials, Watcher, fitting},
    report::{Graph, Orders},
    run::state_folder,
    runtime::Runtime,
    suite::Suite,
    system::{Span, Start, System},
};

/// Which system, in which orders, and what is to come out.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Args {
    /// A system (see `show`), or a TOML file with one
    system: String,

    /// Every so many services in all orders of theirs: 2, 3, 4 or `all`
    #[arg(long, value_name = "T", default_value = "3")]
    strength: Strength,

    /// So many more orders, each as likely as any other
    #[arg(long, value_name = "COUNT", default_value = "0")]
    random: usize,

    /// Ways to start besides one after another
    #[arg(long, value_name = "WAY,...", value_delimiter = ',', default_value = "at-once,held-back")]
    ways: Vec<Way>,

    /// First replace every authority and certificate while everything runs
    #[arg(long)]
    rotated: bool,

    /// These come first, always, in this order
    #[arg(long, value_name = "SERVICE,...", value_delimiter = ',')]
    first: Vec<String>,

    /// These start together; may be given more than once
    #[arg(long, value_name = "SERVICE+SERVICE")]
    together: Vec<String>,

    /// Every service of one's own starts like this, whatever the system says
    #[arg(long, value_name = "HOW", value_enum)]
    start: Option<How>,

    /// A start that takes longer has failed
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    within: Span,

    /// More plans than this are refused
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    limit: usize,

    /// Only the plan of this id, as a report shows it; the other options as they were
    #[arg(long, value_name = "SEED:NUMBER")]
    replay: Option<Id>,

    /// Show the plans and try none
    #[arg(long)]
    plans: bool,

    /// How many clusters at the same time; by default as many as cores and memory allow
    #[arg(long, value_name = "COUNT")]
    side_by_side: Option<usize>,

    /// Where the system runs
    #[arg(long = "on", value_name = "RUNTIME", default_value = "processes", value_parser = runtimes())]
    runtime: Runtime,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value = "0", value_parser = seed)]
    seed: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[arg(long, value_name = "FILE", help = "Write a test case for each start as JUnit XML")]
    junit: Option<PathBuf>,

    /// Print what must not start before what as a graph
    #[arg(long, value_name = "FORMAT", value_enum)]
    graph: Option<Graph>,

    /// Keep the evidence in folders below this one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Open the page with the grid and the graph in a browser
    #[arg(long)]
    open: bool,
}

/// What was said of all trials together, in the folder of each of their clusters.
pub(super) const ORDERS_TEXT: &str = "orders.txt";
/// The same as JSON.
pub(super) const ORDERS_JSON: &str = "orders.json";

const AFTER_HELP: &str = "\
Exit codes: 0 everything came up in every order, in time and without a crash, 1 not so, 2 unknown.";

/// `none`, or a kind of way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    None,
    AtOnce,
    HeldBack,
    Restarted,
    Returning,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// It exits when a need does not answer
    NeedsFirst,
    /// It tries again until the need answers
    InAnyOrder,
}

/// `7f3a:12`: a seed, hexadecimal, and the number of a plan.
#[derive(Clone, Copy, Debug)]
struct Id {
    seed: u64,
    number: u32,
}

impl std::str::FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(seed, number)| {
            Some(Self { seed: u64::from_str_radix(seed, 16).ok()?, number: number.parse().ok()? })
        });
        parsed.ok_or_else(|| "an id is a seed in hexadecimal and the number of a plan: `7f3a:12`".into())
    }
}

/// Tries the plans, and says what they tell.
///
/// # Errors
/// If what was asked for makes no sense, or the runtime is missing; nothing was started then.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let system = system(suite, args)?;
    let choice = args.choice();
    let plans = crate::order::plans(&system, &choice)?;
    if args.plans {
        let seed = choice.seed;
        for plan in plans {
            print(&format!("{:>8}  {plan}\n", plan.id(seed)))?;
        }
        return Ok(exit::AS_EXPECTED);
    }
    if let Some(id) = args.replay {
        crate::order::numbered(&plans, id.number)?;
    }
    // Hours of trials must not end at a bad path.
    let junit = args.junit.as_deref().map(create).transpose()?;
    let interrupt = interrupt::listen()?;
    args.runtime.available().await?;
    let progress = Progress::begin(&system.name, args.runtime);
    let trials = Trials {
        runtime: args.runtime,
        only: args.replay.map(|id| id.number),
        limits: Limits { within: args.within.0, ..Limits::default() },
        side_by_side: args.side_by_side.unwrap_or_else(|| fitting(args.runtime)),
        runs: args.out.clone().unwrap_or_else(|| state_folder().join("runs")),
        rerun: again(),
        watcher: Some(progress.watcher()),
        choice,
        system,
    };
    let outcome = trials.run(interrupt).await;
    progress.end();
    report(args, &trials, &outcome?, junit)
}

fn report(args: &Args, trials: &Trials, outcome: &Outcome, junit: Option<File>) -> Result<u8> {
    let verdict = match (judge_starts(&outcome.tried, args.within.0), &outcome.error) {
        // What has failed has failed; but nobody knows what the others would have done.
        (Verdict::Passed(so_far) | Verdict::Unknown(so_far), Some(error)) => {
            Verdict::Unknown(format!("{error}; so far: {so_far}"))
        }
        (verdict, _) => verdict,
    };
    let orders = Orders {
        outcome,
        verdict: &verdict,
        system: &trials.system.name,
        runtime: args.runtime.name(),
        seed: trials.choice.seed,
        rotated: trials.choice.rotated,
        rerun: &trials.rerun,
    };
    if let Some(mut file) = junit {
        use std::io::Write as _;
        let xml = orders.junit().context(|| "cannot write JUnit XML".into())?;
        file.write_all(xml.as_bytes()).context(|| "cannot write JUnit XML".into())?;
    }
    let text = match (args.json, args.graph) {
        (true, _) => orders.json() + "\n",
        (false, Some(graph)) => orders.graph(graph),
        (false, None) => orders.render(style()),
    };
    print(&text)?;
    for folder in &outcome.folders {
        let keep = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
        };
        keep(ORDERS_JSON, orders.json() + "\n")?;
        keep(ORDERS_TEXT, orders.render(crate::report::Style::default()))?;
        fs::write(folder.page(), orders.page())
            .context(|| format!("cannot write {}", folder.page().display()))?;
    }
    // All of them hold the same.
    if let Some(folder) = outcome.folders.first() {
        page::announce(folder, args.open);
    }
    if let Some(error) = &outcome.error {
        complain(error);
        return Ok(exit::of_error(error));
    }
    Ok(match verdict.summary() {
        Summary::Passed => exit::AS_EXPECTED,
        Summary::Failed => exit::NOT_AS_EXPECTED,
        Summary::Unknown => exit::UNKNOWN,
    })
}

fn system(suite: &Suite, args: &Args) -> Result<System> {
    let known = suite.systems.iter().map(|system| system()).find(|system| system.name == args.system);
    let mut system = match known {
        Some(system) => system,
        None if Path::new(&args.system).exists() => system_in(suite, Path::new(&args.system))?,
        None => {
            let names: Vec<String> = suite.systems.iter().map(|system| system().name).collect();
            let unknown = find::unknown("system", &args.system, names.iter().map(String::as_str));
            return Err(unknown.hint_all());
        }
    };
    if let Some(how) = args.start {
        system = system.starting(match how {
            How::NeedsFirst => Start::NeedsFirst,
            How::InAnyOrder => Start::InAnyOrder,
        });
    }
    Ok(system)
}

impl Args {
    fn choice(&self) -> Choice {
        let all = [Kind::AtOnce, Kind::HeldBack, Kind::Restarted, Kind::Returning];
        let kinds = self.ways.iter().flat_map(|way| match way {
            Way::None => Vec::new(),
            Way::AtOnce => vec![Kind::AtOnce],
            Way::HeldBack => vec![Kind::HeldBack],
            Way::Restarted => vec![Kind::Restarted],
            Way::Returning => vec![Kind::Returning],
            Way::All => all.to_vec(),
        });
        Choice {
            strength: self.strength,
            random: self.random,
            seed: self.replay.map_or(self.seed, |id| id.seed),
            first: self.first.clone(),
            together: self.together.iter().map(|group| group.split('+').map(Into::into).collect()).collect(),
            ways: kinds.collect(),
            rotated: self.rotated,
            limit: self.limit,
        }
    }
}

/// The command as it was given.
fn again() -> String {
    quote::command([quote::me()].into_iter().chain(std::env::args().skip(1)))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| {
        Error::usage(format!("cannot write {}", path.display())).because(error).hint("does its folder exist?")
    })
}

/// A bar on a terminal, nothing elsewhere but a line at the beginning.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn begin(system: &str, runtime: Runtime) -> Arc<Self> {
        say(format_args!("notafter {}: orders of {system} on {}", env!("CARGO_PKG_VERSION"), runtime.name()));
        let bar = redraws().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("  {spinner} [{bar:20}] {pos}/{len} {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Arc::new(Self(bar))
    }

    fn watcher(self: &Arc<Self>) -> Watcher {
        let progress = self.clone();
        Arc::new(move |plan: &Plan, count| {
            if let Some(bar) = &progress.0 {
                bar.set_length(count as u64);
                bar.set_message(plan.to_string());
                bar.inc(1);
            }
        })
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
