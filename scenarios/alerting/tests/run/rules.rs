//! The rules by promtool, which reads them as Prometheus does and lets days pass in no time.

use std::{path::Path, process::Command, time::Duration};

use alerting::tools::write;
use notafter::inventory::{Owners, rules};

use crate::{Claims, Held, folder, must};

pub fn trials() -> Claims {
    vec![
        ("the_rules_are_as_prometheus_wants_them", || Box::pin(async { checked() })),
        ("alerts_begin_at_their_fractions_and_neither_vanish_nor_linger", || Box::pin(async { simulated() })),
    ]
}

/// Names and owners that are awkward to write.
const OWNERS: &str =
    "\"a\" = 'team \"\\ä\" {{ $value }}'\n\"b\" = \"anna: #1\"\n\"notafter watch\" = \"%\"\n";

fn checked() -> Held {
    let folder = folder()?;
    for lead in [Duration::ZERO, Duration::from_millis(1_500), Duration::from_hours(24)] {
        write(folder.path(), "notafter.rules.yml", &with_owners(OWNERS, lead)?)?;
        promtool(folder.path(), &["check", "rules", "--lint-fatal", "notafter.rules.yml"])?;
    }
    // The control.
    write(folder.path(), "notafter.rules.yml", "groups: [{name: a, rules: [{record: b, expr: c(}]}]")?;
    let refused = promtool(folder.path(), &["check", "rules", "notafter.rules.yml"]);
    must(refused.is_err(), || "promtool accepts anything".into())
}

/// The scenes are in `rules.test.yml`.
fn simulated() -> Held {
    let folder = folder()?;
    let owners = "\"archive\" = \"anna\"\n\"search\" = \"bert\"\n\"notafter watch\" = \"platform\"\n";
    write(folder.path(), "notafter.rules.yml", &with_owners(owners, Duration::from_hours(1))?)?;
    write(folder.path(), "rules.test.yml", include_str!("rules.test.yml"))?;
    promtool(folder.path(), &["test", "rules", "rules.test.yml"])
}

fn with_owners(owners: &str, lead: Duration) -> Result<String, String> {
    let owners = Owners::from_toml(owners, "owners.toml").map_err(|error| error.to_string())?;
    rules(lead, &owners).map_err(|error| error.to_string())
}

fn promtool(folder: &Path, args: &[&str]) -> Held {
    let said = Command::new("promtool").args(args).current_dir(folder).output();
    let said = said.map_err(|error| format!("promtool: {error}"))?;
    must(said.status.success(), || {
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    })
}
