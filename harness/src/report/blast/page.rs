//! The blast radius of certificates as one HTML file: no network, no script, readable on a telephone.

use askama::Template;

use super::{Effect, Heals, Radius, operations, sentence};
use crate::words;

/// The matrix as a page. `radii` have the worst first; `again` is the command that makes them again.
///
/// # Panics
/// Never: the template is checked when this is built, and a text takes everything.
pub fn blast_page(system: &str, runtime: &str, radii: &[Radius], again: &str) -> String {
    let reason = |radius: &Radius| match &radius.heals {
        Heals::Unknown(why) => Some(why.clone()),
        _ => None,
    };
    let row = |radius: &Radius| Row {
        of: radius.of.to_string(),
        cells: radius.operations.iter().map(|(_, effect)| Cell::of(*effect)).collect(),
        heals: radius.heals.word(),
        why: reason(radius),
        open: radius.fails_open,
    };
    let page = Page {
        title: format!("Blast radius of {system}"),
        what: format!("on {runtime}, {}", words::counted(radii.len() as u64, "certificate")),
        summary: sentence(radii),
        names: operations(radii),
        rows: radii.iter().map(row).collect(),
        unknown: radii.iter().filter_map(|one| Some((one.of.to_string(), reason(one)?))).collect(),
        again,
    };
    page.render().expect("a text takes everything")
}

#[derive(Template)]
#[template(path = "blast.html", whitespace = "minimize")]
struct Page<'a> {
    title: String,
    what: String,
    summary: String,
    names: Vec<&'a str>,
    rows: Vec<Row>,
    /// What nobody can say, and why.
    unknown: Vec<(String, String)>,
    again: &'a str,
}

/// One certificate.
struct Row {
    of: String,
    cells: Vec<Cell>,
    heals: &'static str,
    why: Option<String>,
    open: bool,
}

/// What became of one operation.
struct Cell {
    /// For the style: `never`, `crashed`, or empty.
    class: &'static str,
    text: String,
}

impl Cell {
    fn of(effect: Effect) -> Self {
        let class = match effect {
            Effect::Down => "never",
            Effect::Sleeps => "crashed",
            Effect::Works | Effect::Fails(_) | Effect::Unknown => "",
        };
        Self { class, text: effect.word() }
    }
}
