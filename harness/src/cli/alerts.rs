//! `notafter alerts`: the rules that go with `notafter watch`.

use std::{path::PathBuf, time::Duration};

use super::{exit, output::print};
use crate::{
    error::Result,
    inventory::{Owners, rules, threshold},
    system::Span,
};

/// As everything that asks whether it is time.
const LEAD: Span = Span(Duration::from_secs(threshold::LEAD.unsigned_abs()));

/// For whom, and how early.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// For what
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Prometheus)]
    form: Form,

    /// How long before its end a page comes at the latest, however short the lifetime is
    #[arg(long, value_name = "DURATION", default_value_t = LEAD)]
    lead: Span,

    /// Whose what is, the same file as for `notafter watch`: each owner of whom nothing is seen is told
    #[arg(long, value_name = "FILE")]
    owners: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
As in `notafter alerts > notafter.rules.yml`, which goes into rule_files of prometheus.yml.

Thresholds are fractions of each lifetime: severity `warning` when two thirds are used, `critical`
when less than a sixth is left, `page` when less than a twentieth, or less than --lead, is left.
An alert fires on until the certificate is renewed, even if what served it is gone by then. It has
the label `owner` where `notafter watch --owners` knows it; alerts about the watcher belong to the
owner of \"notafter watch\".";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A rules file
    Prometheus,
}

/// Prints them.
///
/// # Errors
/// If the owners do not read.
pub fn run(args: &Args) -> Result<u8> {
    let owners = args.owners.as_deref().map_or_else(|| Ok(Owners::default()), Owners::read)?;
    print(&match args.form {
        Form::Prometheus => rules(args.lead.0, &owners)?,
    })?;
    Ok(exit::AS_EXPECTED)
}
