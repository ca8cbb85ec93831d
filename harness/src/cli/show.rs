//! `notafter show`: a system as data, to read, to edit, and to run on.

use super::{exit, find, output::print};
use crate::{
    error::{Context, Result},
    suite::Suite,
};

/// Which system, and how it is written.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A system
    system: String,

    /// How it is written
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t = Format::Toml)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Toml,
    Json,
}

/// Prints it.
///
/// # Errors
/// If there is no such system.
pub fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let systems: Vec<_> = suite.systems.iter().map(|system| system()).collect();
    let system = systems.iter().find(|system| system.name == args.system).ok_or_else(|| {
        let known = systems.iter().map(|system| system.name.as_str());
        find::unknown("system", &args.system, known).hint_all()
    })?;
    let text = match args.format {
        Format::Toml => format!(
            "# Edit this, and run scenarios on it: notafter run NAME --system FILE\n\n{}",
            system.to_toml()
        ),
        Format::Json => {
            serde_json::to_string_pretty(system).context(|| "cannot write the system as JSON".into())? + "\n"
        }
    };
    print(&text)?;
    Ok(exit::AS_EXPECTED)
}
