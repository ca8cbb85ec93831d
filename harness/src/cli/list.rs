//! `notafter list`: the scenarios, where they run, and the verdict that each must give.

use super::output::{paint, print, style};
use crate::{
    check::Expect,
    error::Result,
    runtime::Runtime,
    suite::{Settings, Suite, Template},
    words,
};

/// What is shown.
#[derive(clap::Args)]
pub struct Args {
    /// Show what each scenario breaks, too, and what it asks about it
    #[arg(long)]
    faults: bool,
}

/// Prints them, by family; with `--faults` those that break something, and what.
///
/// # Errors
/// If it cannot be written.
pub fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let colour = style().colour;
    let width = suite.templates.iter().map(|one| one.name.len()).max().unwrap_or(0);
    let name = |template: &Template, width: usize| {
        // Padded before it is painted: escapes have no width.
        paint(&format!("{:width$}", template.name), "1", colour)
    };
    let lines = suite.templates.iter().filter_map(|template| {
        if args.faults {
            return catalogued(suite, template).map(|lines| format!("{}\n{lines}", name(template, 0)));
        }
        let indent = " ".repeat(width);
        Some(format!("{}  {}\n{indent}  {}\n", name(template, width), template.about, facts(template)))
    });
    print(&lines.collect::<String>())?;
    Ok(super::exit::AS_EXPECTED)
}

/// What a scenario breaks, where that was seen, what is asked about it, and where it runs; none if it breaks
/// nothing.
fn catalogued(suite: &Suite, template: &Template) -> Option<String> {
    let scenario = template.scenario(&Settings::default());
    let mut faults: Vec<_> = scenario.faults.iter().map(|fault| fault.describe()).collect();
    let during = scenario.during_repair.iter().map(|fault| fault.describe());
    faults.extend(during.map(|fault| format!("during the repair {fault}")));
    let checks: Vec<_> = scenario.checks.iter().map(|check| check.name().to_owned()).collect();
    let modes = suite.modes.iter().filter(|mode| mode.scenarios.contains(&template.name.as_str()));
    let modes: Vec<_> = modes.map(|mode| format!("{} ({})", mode.name, mode.seen.join(", "))).collect();
    let controls = suite.zoo.iter().filter(|specimen| specimen.control == template.name);
    let seen: Vec<_> = controls.flat_map(|specimen| &specimen.seen).copied().collect();
    let lines = [
        ("breaks", faults.join("; ")),
        ("how", template.about.into()),
        ("mode", modes.join("; ")),
        ("seen", seen.join(", ")),
        ("asks", words::list(&checks, 24)),
        ("result", facts(template)),
    ];
    let said = lines.iter().filter(|(_, words)| !words.is_empty());
    let said: Vec<_> = said.map(|(what, words)| format!("  {what:<7}  {words}\n")).collect();
    (!faults.is_empty()).then(|| said.concat())
}

/// `must fail a and b; runs on processes and containers`.
fn facts(template: &Template) -> String {
    let scenario = template.scenario(&Settings::default());
    let must = match &scenario.expect {
        Expect::Pass => "must pass".into(),
        Expect::Fail(names) => format!("must fail {}", words::list(names, 12)),
    };
    let able = |runtime: &Runtime| scenario.lacking(*runtime).is_none();
    let places: Vec<_> = Runtime::ALL.into_iter().filter(able).map(Runtime::name).collect();
    let places = if places.is_empty() { "runs nowhere".into() } else { words::list(&places, 4) };
    format!("{must}; on {places}")
}
