//! Profiles for people: a table in a terminal, Markdown, and what differs between two.

use comfy_table::{Cell as TableCell, Color, ColumnConstraint, Width};

use super::{Difference, Profile, UNKNOWN};
use crate::{
    inventory::markdown::row,
    report::{
        Style,
        table::{lines, table as empty_table},
    },
    words::{brief, counted},
};

/// What a server says its version is, is cut to so many characters.
const VERSION: usize = 40;

/// A profile as a table.
pub fn table(profile: &Profile, style: Style) -> String {
    let mut rows = empty_table(style, &["question", "answer", "what was seen"]);
    // What was seen is long; without limits it takes the room of the rest.
    for (index, share) in [32, 28].into_iter().enumerate() {
        if let Some(column) = rows.column_mut(index) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Percentage(share)));
        }
    }
    for cell in &profile.cells {
        let answer = TableCell::new(&cell.answer);
        let answer = if cell.answer == UNKNOWN { answer.fg(Color::Yellow) } else { answer };
        rows.add_row([TableCell::new(&cell.question), answer, TableCell::new(cell.evidence.join("; "))]);
    }
    format!("{}\n\n{}", summary(profile), lines(&rows))
}

/// A profile for a wiki or a ticket.
pub fn markdown(profile: &Profile) -> String {
    let mut text = vec![
        format!("### {}", summary(profile)),
        String::new(),
        "| question | answer | what was seen |".into(),
        "|---|---|---|".into(),
    ];
    let rows = profile.cells.iter();
    text.extend(rows.map(|cell| row(&[&cell.question, &cell.answer, &cell.evidence.join("; ")])));
    text.join("\n") + "\n"
}

/// The cells in which two profiles differ, or that there are none.
pub fn comparison(before: &Profile, after: &Profile, style: Style) -> String {
    let differences = before.differences(after);
    let mut text = format!("{}: {}\n", named(before), words(before, after, &differences));
    if !differences.is_empty() {
        text.push('\n');
        text += &listed(&differences, style);
    }
    text
}

/// Differences as a table.
pub fn listed(differences: &[Difference], style: Style) -> String {
    let mut rows = empty_table(style, &["question", "before", "after"]);
    let absent = "not asked";
    for Difference { question, before, after } in differences {
        let side = |answer: &Option<String>| answer.clone().unwrap_or_else(|| absent.into());
        rows.add_row([question.clone(), side(before), side(after)]);
    }
    lines(&rows)
}

fn words(before: &Profile, after: &Profile, differences: &[Difference]) -> String {
    let cells = counted(before.cells.len() as u64, "cell");
    match differences.len() {
        0 => format!("{cells}, all the same in {}", named(after)),
        some => format!("{some} of {cells} differ in {}", named(after)),
    }
}

fn named(profile: &Profile) -> String {
    format!("{} ({})", profile.server, brief(&profile.version, VERSION))
}

fn summary(profile: &Profile) -> String {
    let cells = counted(profile.cells.len() as u64, "question");
    match profile.unknown() {
        0 => format!("{}: {cells}", named(profile)),
        some => format!("{}: {cells}, {some} of them unknown", named(profile)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Cell, page};

    #[test]
    fn a_profile_reads_the_same_in_a_terminal_and_in_a_wiki() {
        let cell = |question: &str, answer: &str, evidence: &[&str]| Cell {
            question: question.into(),
            answer: answer.into(),
            evidence: evidence.iter().map(|one| (*one).into()).collect(),
        };
        let profile = Profile {
            server: "redis".into(),
            version: "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64".into(),
            cells: vec![
                cell(
                    "serves a new certificate on CONFIG SET",
                    "yes",
                    &["it answers `+OK`", "first new 67 ms"],
                ),
                cell("client certificate: of another CA", "refused: alert unknown_ca", &["log: a | b"]),
                cell("client certificate: none", UNKNOWN, &["redis exits with code 1: no such file"]),
            ],
        };
        insta::assert_snapshot!(format!("{}\n{}", table(&profile, Style::default()), markdown(&profile)));
        let page = page(&[profile]);
        for shown in
            ["What redis does with certificates", "it answers `+OK`; first new 67 ms", "class=\"unknown\""]
        {
            assert!(page.contains(shown), "no `{shown}` in {page}");
        }
    }
}
