//! `notafter history`: the runs of the past, how their durations went, and two of them side by side.

use globset::{Glob, GlobMatcher};

use super::{
    exit,
    output::{print, say, style},
    page::link,
    remember::{Db, read},
};
use crate::{
    error::{Error, Result},
    past::{Kept, Past},
    report::past,
};

/// Which runs, and what about them.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    about: Option<About>,

    /// Scenarios, families (all their variants) or globs; all by default
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Only the latest N runs; 20 if not said otherwise, and all of them in a page
    #[arg(long, value_name = "N")]
    last: Option<usize>,

    /// How they are written
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The same as `--as json`
    #[arg(long, conflicts_with = "format")]
    json: bool,

    #[command(flatten)]
    db: Db,
}

/// So many runs fit on a screen.
const SCREEN: usize = 20;

/// How runs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// A page in one file, with links to the page of each run
    Html,
    /// One object a run, each in a line of its own
    Json,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum About {
    /// Show one run: what it was, its checks, its measurements
    Show {
        /// The id of a run, the end of it, or `last`
        run: String,

        /// Print one JSON object
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        db: Db,
    },
    /// Show two runs, measurement by measurement
    Compare {
        /// The id of a run, the end of it, or `last`
        a: String,

        /// Another one
        b: String,

        /// Print one JSON object
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        db: Db,
    },
}

/// Prints it.
///
/// # Errors
/// If there is no such run, or the database cannot be read.
pub fn run(args: &Args) -> Result<u8> {
    let text = match &args.about {
        None => list(args)?,
        Some(About::Show { run, json, db }) => {
            let run = some(db)?.find(run)?;
            if *json { past::run_json(&run) + "\n" } else { past::run(&run, style()) }
        }
        Some(About::Compare { a, b, json, db }) => {
            let runs = some(db)?;
            let (a, b) = (runs.find(a)?, runs.find(b)?);
            if *json { past::compare_json(&a, &b) + "\n" } else { past::compare(&a, &b, style()) }
        }
    };
    print(&text)?;
    Ok(exit::AS_EXPECTED)
}

fn list(args: &Args) -> Result<String> {
    let format = if args.json { Format::Json } else { args.format };
    let most = args.last.or((format != Format::Html).then_some(SCREEN));
    let scenarios = args.name.as_deref().map(matcher).transpose()?;
    let runs = match read(&args.db)? {
        Some(past) => past.latest(scenarios.as_ref(), most)?,
        None => Vec::new(),
    };
    if runs.is_empty() {
        let which = args.name.as_ref().map_or(String::new(), |name| format!(" of `{name}`"));
        say(format_args!("no run{which} is remembered in {} yet", args.db.path().display()));
    }
    Ok(match format {
        Format::Html => past::page(&runs, link),
        Format::Json => runs.iter().map(|run: &Kept| past::run_json(run) + "\n").collect(),
        Format::Text if runs.is_empty() => String::new(),
        Format::Text => past::runs(&runs, style()),
    })
}

/// What was run once may be in no suite any more, so a name that matches nothing is no mistake.
fn matcher(name: &str) -> Result<GlobMatcher> {
    let family = !name.contains(['/', '*', '?', '[', '{']);
    let pattern = if family { format!("{name}/*") } else { name.to_owned() };
    let glob = Glob::new(&pattern).map_err(|error| {
        Error::usage(format!("`{name}` is no pattern for scenarios"))
            .because(error.kind().to_string())
            .hint("write `*` for any text")
    })?;
    Ok(glob.compile_matcher())
}

fn some(db: &Db) -> Result<Past> {
    read(db)?.ok_or_else(|| {
        Error::usage(format!("no run is remembered in {} yet", db.path().display()))
            .hint("`notafter run` and `notafter nightly` remember each run")
    })
}
