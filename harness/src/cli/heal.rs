//! `notafter heal`: puts back what a run has changed in somebody's cluster.

use std::path::Path;

use super::{breaking::tell, exit, output::say};
use crate::{
    error::{Error, Result},
    run::{RunFolder, runs, state_folder},
    runtime::existing,
};

/// Whose changes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The id of a run of `notafter break`, or its folder
    #[arg(value_name = "RUN")]
    run: String,
}

/// Puts everything back. Nothing to do is no error.
///
/// # Errors
/// If there is no such run, it still holds what it broke, or something cannot be put back.
pub async fn run(args: &Args) -> Result<u8> {
    let all = runs(&state_folder());
    let by_path = RunFolder::open(Path::new(&args.run));
    let found = all.iter().find(|run| run.id() == args.run).cloned();
    let found = found.or_else(|| by_path.owner().is_file().then_some(by_path));
    let folder = found.ok_or_else(|| {
        let left: Vec<_> = all.iter().filter(|run| existing::is_left(run)).map(RunFolder::id).collect();
        let left = if left.is_empty() { "none here".into() } else { left.join(", ") };
        Error::usage(format!("no run has the id or the folder `{}`", args.run))
            .hint(format!("runs with something to put back: {left}"))
    })?;
    if !existing::is_left(&folder) {
        say("there is nothing to put back");
        return Ok(exit::AS_EXPECTED);
    }
    if folder.in_use() {
        return Err(Error::usage(format!("run `{}` still holds what it broke", folder.id()))
            .hint("end it with Ctrl-C: it puts everything back itself"));
    }
    tell(&existing::put_back(&folder).await?);
    Ok(exit::AS_EXPECTED)
}
