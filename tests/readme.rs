//! What the README says holds.

mod common;
#[path = "readme/scenario.rs"]
mod scenario;

use common::User;
use notafter::{cli::exit, suite::Settings};

const README: &str = include_str!("../README.md");

#[test]
fn the_scenario_in_the_readme_compiles_and_is_the_one_that_it_shows() {
    assert!(README.contains(include_str!("readme/scenario.rs")));
    let suite = scenario::suite();
    let scenario = suite.templates[0].scenario(&Settings::default());
    assert_eq!(scenario.name, "mine/archive-expires");
    assert_eq!(scenario.faults.len(), 1);
}

#[test]
fn the_readme_has_every_command_and_no_other() {
    let help = User::new().run(&["--help"]).out;
    let known =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut known: Vec<_> = known.filter_map(|line| line.split_whitespace().next()).collect();
    known.retain(|name| *name != "help");
    let mut named = column("| command |");
    known.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn the_readme_has_every_exit_code() {
    let mut codes = exit::WORST_FIRST.map(|code| code.to_string());
    codes.sort_by_key(|code| code.parse::<u8>().ok());
    assert_eq!(column("| exit code |"), codes);
}

#[test]
fn every_command_in_the_readme_is_understood() {
    let user = User::new();
    let lines =
        README.lines().filter_map(|line| line.strip_prefix("$ ").and_then(|line| line.split('#').next()));
    for line in lines {
        let Some(args) = line.strip_prefix("notafter ").or(line.strip_prefix("cargo run --release -- "))
        else {
            continue;
        };
        let args: Vec<_> = args.split('>').next().unwrap_or_default().split_whitespace().collect();
        // With --help an option is parsed, and nothing is done.
        let said = user.run(&[&args[..], &["--help"]].concat());
        assert_eq!(said.code, Some(0), "{line}: {}", said.err);
    }
}

/// The first word of each row of the table that begins so.
fn column(header: &str) -> Vec<&'static str> {
    let rows = README.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    rows.map_while(|row| row.strip_prefix("| ")?.trim_start_matches('`').split([' ', '`']).next()).collect()
}
