//! Tables and wrapped prose in a terminal.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

use super::Style;
use crate::check::Summary;

/// No lines but one under the header.
const LOOK: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// An empty table with these columns; a column whose name begins with `>` is aligned to the right.
pub fn table(style: Style, header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(LOOK)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(style.columns() - 2).unwrap_or(u16::MAX))
        .set_header(header.iter().map(|name| name.trim_start_matches('>')));
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for (index, name) in header.iter().enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding((0, 2));
        if name.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The lines of a table, indented.
pub fn lines(table: &Table) -> String {
    let lines = table.lines().map(|line| format!("  {}", line.trim_end()).trim_end().to_owned() + "\n");
    lines.collect()
}

/// A verdict that reads without colour: `passed`, `FAILED`, `unknown`.
pub fn mark(summary: Summary) -> Cell {
    let (word, colour) = marked(summary);
    let cell = Cell::new(word).fg(colour);
    if summary == Summary::Failed { cell.add_attribute(Attribute::Bold) } else { cell }
}

fn marked(summary: Summary) -> (&'static str, Color) {
    match summary {
        Summary::Passed => ("passed", Color::Green),
        Summary::Failed => ("FAILED", Color::Red),
        Summary::Unknown => ("unknown", Color::Yellow),
    }
}

/// A verdict as the first word of a report, coloured if asked for.
pub fn headline(style: Style, summary: Summary) -> String {
    let word = summary.word().to_uppercase();
    let code = match summary {
        Summary::Passed => 32,
        Summary::Failed => 31,
        Summary::Unknown => 33,
    };
    if style.colour { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word }
}

/// Prose, wrapped to the width; every line is indented, those after the first of a paragraph by
/// `hanging` more.
pub fn wrap(style: Style, text: &str, hanging: usize) -> String {
    let mut wrapped = String::new();
    for paragraph in text.lines() {
        let mut line = String::from("  ");
        let mut empty = true;
        for word in words_of(paragraph) {
            let length = line.chars().count() + word.chars().count() + usize::from(!empty);
            if !empty && length > style.columns() {
                wrapped.push_str(&line);
                wrapped.push('\n');
                line = " ".repeat(2 + hanging);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(&word);
            empty = false;
        }
        wrapped.push_str(line.trim_end());
        wrapped.push('\n');
    }
    wrapped
}

/// The words of a text; a number keeps its unit.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let unit = ["us", "ms", "s", "min", "h"].contains(&bare);
        match words.last_mut() {
            Some(last) if unit && last.ends_with(|c: char| c.is_ascii_digit()) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}
