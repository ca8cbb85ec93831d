//! Defects against checks: which check caught which, and which should not have.

use comfy_table::Cell;

use super::{
    Style,
    table::{lines, table},
};
use crate::{
    check::{Expect, Overall, Summary},
    history::History,
    measure::Measurements,
    words,
};

/// A run of a system with a defect, or of one without.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit<'h> {
    /// The defect that was switched on; none if the system was sound.
    pub defect: Option<&'h str>,
    /// What happened.
    pub history: &'h History,
}

/// So much of a name stands in one line.
const NAME: usize = 28;

/// What one check made of one defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// It is named for it, and failed.
    Caught,
    /// It is named for it, and did not fail.
    Missed,
    /// It is not named for it, and failed.
    False,
    Passed,
    Unknown,
    NotAsked,
}

struct Row<'h> {
    defect: &'h str,
    scenario: String,
    must_fail: Vec<String>,
    overall: Overall,
}

/// The matrix of defects and checks, and in one sentence whether it is as it must be. Checks that are
/// named for no defect and failed nowhere have no column.
pub fn zoo(exhibits: &[Exhibit<'_>], style: Style) -> String {
    let rows: Vec<Row<'_>> = exhibits.iter().map(Row::of).collect();
    let (sound, defective): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.defect.is_empty());
    let mut columns: Vec<&str> = Vec::new();
    for row in &rows {
        let failed = row.overall.checks.iter().filter(|(_, verdict)| verdict.summary() == Summary::Failed);
        for name in row.must_fail.iter().chain(failed.map(|(name, _)| name)) {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
    }
    let letters: Vec<String> = (0..columns.len()).map(letters_of).collect();
    let header: Vec<&str> =
        ["defect", "under"].into_iter().chain(letters.iter().map(String::as_str)).collect();
    let mut matrix = table(style, &header);
    // There are many, and each mark is a letter: what is said in words gets the rest of the line.
    for column in matrix.column_iter_mut().skip(2) {
        column.set_padding((0, 0));
    }
    for row in &defective {
        let marks = columns.iter().map(|name| Cell::new(row.mark(name).word()));
        matrix.add_row([Cell::new(row.defect), Cell::new(broken(&row.scenario))].into_iter().chain(marks));
    }
    let legend: Vec<_> =
        columns.iter().zip(&letters).map(|(name, letter)| format!("  {letter}  {name}\n")).collect();
    let legend = legend.concat();
    let marks = "  X caught, as it must; \u{b7} passed; M missed, though it is named for it;\n  B blamed, though it is not; ? cannot tell";
    format!("{}\n{legend}\n{marks}\n\n{}{}", lines(&matrix), of_defects(&defective), of_sound(&sound))
}

/// A name in lines that end with a hyphen of it, so that they can be put together again.
fn broken(name: &str) -> String {
    let (mut lines, mut length) = (String::new(), 0);
    for piece in name.split_inclusive('-') {
        if length > 0 && length + piece.len() > NAME {
            lines.push('\n');
            length = 0;
        }
        lines.push_str(piece);
        length += piece.len();
    }
    lines
}

/// What a column is called, from 0: A to Z, then AA and on, as in a spreadsheet.
fn letters_of(column: usize) -> String {
    let last = char::from(b'A' + u8::try_from(column % 26).unwrap_or_default());
    let before = column.checked_sub(26).map(|rest| letters_of(rest / 26)).unwrap_or_default();
    format!("{before}{last}")
}

fn of_defects(rows: &[&Row<'_>]) -> String {
    let all = words::counted(rows.len() as u64, "defect");
    let good = format!("all of {all} caught by the checks that are named for them and by no other\n");
    told(rows, &all, good)
}

fn of_sound(rows: &[&Row<'_>]) -> String {
    let all = words::counted(rows.len() as u64, "run");
    told(rows, &format!("{all} without a defect"), format!("no check failed in {all} without a defect\n"))
}

/// What is good to know, or what is wrong with which of `all`.
fn told(rows: &[&Row<'_>], all: &str, good: String) -> String {
    let wrong: Vec<_> = rows.iter().filter(|row| !row.overall.as_expected).collect();
    if wrong.is_empty() {
        return good;
    }
    let named: Vec<_> = wrong.iter().map(|row| format!("  {}\n", row.trouble())).collect();
    format!("{} of {all} not as they must be:\n{}", wrong.len(), named.concat())
}

impl<'h> Row<'h> {
    fn of(exhibit: &Exhibit<'h>) -> Self {
        let measured = Measurements::of(exhibit.history);
        let info = measured.reading.info;
        let must_fail = match info.map(|info| &info.expect) {
            Some(Expect::Fail(names)) => names.clone(),
            Some(Expect::Pass) | None => Vec::new(),
        };
        Self {
            defect: exhibit.defect.unwrap_or_default(),
            scenario: info.map(|info| info.scenario.clone()).unwrap_or_default(),
            must_fail,
            overall: Overall::of(&measured),
        }
    }

    fn mark(&self, check: &str) -> Mark {
        let must = self.must_fail.iter().any(|name| name == check);
        let verdict = self.overall.checks.iter().find(|(name, _)| name == check);
        match (verdict.map(|(_, verdict)| verdict.summary()), must) {
            (Some(Summary::Failed), true) => Mark::Caught,
            (Some(Summary::Failed), false) => Mark::False,
            (_, true) => Mark::Missed,
            (Some(Summary::Passed), false) => Mark::Passed,
            (Some(Summary::Unknown), false) => Mark::Unknown,
            (None, false) => Mark::NotAsked,
        }
    }

    /// `control-of/wrong-name: detected-within passed: noticed after 20 ms`.
    fn trouble(&self) -> String {
        let wrong = self.overall.checks.iter().find(|(name, verdict)| {
            let wanted = if self.must_fail.contains(name) { Summary::Failed } else { Summary::Passed };
            verdict.summary() != wanted
        });
        let why = self.overall.broken.clone().or(wrong.map(|(name, verdict)| format!("{name} {verdict}")));
        format!("{}: {}", self.scenario, why.unwrap_or_else(|| "a check that is named was not asked".into()))
    }
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Caught => "X",
            Self::Missed => "M",
            Self::False => "B",
            Self::Passed => "\u{b7}",
            Self::Unknown => "?",
            Self::NotAsked => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{keeps_serving, landed, outage_within, rejudged, steady},
        history::script::{EXPIRY, Script},
    };

    fn judged(script: Script, expect: &Expect) -> History {
        let checks = [steady(), landed(), keeps_serving(), outage_within(std::time::Duration::ZERO)];
        rejudged(&script.history(), &checks, expect, "0.1.0")
    }

    fn must(name: &str) -> Expect {
        Expect::Fail(vec![name.into()])
    }

    #[test]
    fn a_matrix_says_what_was_caught_missed_and_blamed_without_reason() {
        let drops = || Script::expiry().unreachable("search", "archive", EXPIRY..2_100);
        let fails = || Script::expiry().fails("search", EXPIRY..2_100, "archive: refused");
        let histories = [
            ("", judged(Script::expiry(), &Expect::Pass)),
            ("", judged(drops(), &Expect::Pass)),
            ("archive drops what was good", judged(drops(), &must("keeps-serving"))),
            ("search gives up", judged(fails(), &must("keeps-serving"))),
            ("auth sees nothing", judged(Script::new(), &must("outage-within"))),
        ];
        let exhibits: Vec<_> = histories
            .iter()
            .map(|(defect, history)| Exhibit { defect: Some(*defect).filter(|one| !one.is_empty()), history })
            .collect();
        insta::assert_snapshot!(zoo(&exhibits, Style::default()));
    }

    #[test]
    fn a_long_name_is_broken_after_its_hyphens() {
        let name = "control-of/quorum-old-root-pulled-early";
        assert_eq!(broken(name), "control-of/quorum-old-root-\npulled-early");
        assert_eq!(broken("control/spool"), "control/spool");
        assert_eq!(broken(&"x".repeat(40)), "x".repeat(40));
    }

    #[test]
    fn columns_do_not_run_out_of_names() {
        assert_eq!([0, 25, 26, 51, 52].map(letters_of), ["A", "Z", "AA", "AZ", "BA"]);
    }

    #[test]
    fn a_zoo_without_trouble_says_so_in_two_sentences() {
        let drops = Script::expiry().unreachable("search", "archive", EXPIRY..2_100);
        let (sound, caught) =
            (judged(Script::expiry(), &Expect::Pass), judged(drops, &must("keeps-serving")));
        let exhibits = [
            Exhibit { defect: None, history: &sound },
            Exhibit { defect: Some("archive drops what was good"), history: &caught },
        ];
        let text = zoo(&exhibits, Style::default());
        assert!(
            text.ends_with(
                "all of 1 defect caught by the checks that are named for them and by no other\n\
             no check failed in 1 run without a defect\n"
            ),
            "{text}"
        );
    }
}
