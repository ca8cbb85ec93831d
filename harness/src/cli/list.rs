//! `notafter list`: the scenarios, where they run, and the verdict that each must give.

use super::output::{paint, print, style};
use crate::{
    check::Expect,
    error::Result,
    runtime::Runtime,
    suite::{Settings, Suite, Template},
    words,
};

/// Prints them, by family.
///
/// # Errors
/// If it cannot be written.
pub fn run(suite: &Suite) -> Result<u8> {
    let colour = style().colour;
    let width = suite.templates.iter().map(|one| one.name.len()).max().unwrap_or(0);
    let indent = " ".repeat(width);
    let lines = suite.templates.iter().map(|template| {
        // Padded before it is painted: escapes have no width.
        let name = paint(&format!("{:width$}", template.name), "1", colour);
        format!("{name}  {}\n{indent}  {}\n", template.about, facts(template))
    });
    print(&lines.collect::<String>())?;
    Ok(super::exit::AS_EXPECTED)
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
