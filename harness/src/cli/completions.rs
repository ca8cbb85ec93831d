//! `notafter completions`: what a shell needs to complete commands and options.

use clap_complete::Shell;

use super::{exit, output::print};
use crate::error::{Context, Result};

/// For which shell.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If it cannot be written.
pub fn run(args: &Args, mut command: clap::Command) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "notafter", &mut script);
    print(&String::from_utf8(script).context(|| "the completions are no text".into())?)?;
    Ok(exit::AS_EXPECTED)
}
