//! `notafter history`: the runs of the past, how their durations went, and two of them side by side.

use globset::{Glob, GlobMatcher};

use super::{
    exit,
    output::{print, say, style},
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

    /// Only the latest N runs
    #[arg(long, value_name = "N", default_value = "20")]
    last: usize,

    /// Print one JSON object a run, each in a line of its own
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    db: Db,
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
    let scenarios = args.name.as_deref().map(matcher).transpose()?;
    let runs = match read(&args.db)? {
        Some(past) => past.latest(scenarios.as_ref(), Some(args.last))?,
        None => Vec::new(),
    };
    if runs.is_empty() {
        let which = args.name.as_ref().map_or(String::new(), |name| format!(" of `{name}`"));
        say(format_args!("no run{which} is remembered in {} yet", args.db.path().display()));
        return Ok(String::new());
    }
    if args.json {
        return Ok(runs.iter().map(|run: &Kept| past::run_json(run) + "\n").collect());
    }
    Ok(past::runs(&runs, style()))
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
