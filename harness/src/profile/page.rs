//! Profiles as one HTML file: no network, no script, readable on a telephone.

use askama::Template;

use super::{Profile, UNKNOWN};

/// One table a server, in the order given.
///
/// # Panics
/// Never: the template is checked when this is built, and a text takes everything.
pub fn page(profiles: &[Profile]) -> String {
    let names: Vec<_> = profiles.iter().map(|profile| profile.server.as_str()).collect();
    let title = format!("What {} with certificates", did(&names));
    Page { title, profiles, unknown: UNKNOWN }.render().expect("a text takes everything")
}

fn did(names: &[&str]) -> String {
    match names {
        [] => "nobody did".into(),
        [one] => format!("{one} does"),
        [before @ .., last] => format!("{} and {last} do", before.join(", ")),
    }
}

#[derive(Template)]
#[template(path = "profile.html", whitespace = "minimize")]
struct Page<'a> {
    title: String,
    profiles: &'a [Profile],
    /// The answer that is none.
    unknown: &'a str,
}
