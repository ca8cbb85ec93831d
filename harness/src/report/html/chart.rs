//! What a chart is made of: rows of blocks and marks on one time axis, ready for the template.

use crate::{history::Micros, words};

use super::scale::{Extent, Place, Scale};

/// A chart, ready to be drawn. Places along the time axis are percents, all others pixels.
pub struct Chart {
    /// What it shows, for those who do not see it.
    pub label: String,
    /// How high it is.
    pub height: u32,
    /// Where the rows begin, below the axis.
    pub top: u32,
    /// Shaded stretches behind everything.
    pub bands: Vec<Band>,
    /// The time axis.
    pub ticks: Vec<Tick>,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// A shaded stretch behind everything.
pub struct Band {
    /// What kind, for the style.
    pub class: &'static str,
    /// Where.
    pub extent: Extent,
    /// What it is.
    pub title: String,
}

/// A line of the time axis.
pub struct Tick {
    /// Where.
    pub x: Place,
    /// Which way its words go: `start`, `middle` or `end`.
    pub anchor: &'static str,
    /// The time since zero.
    pub time: String,
    /// The same in minutes of the incident; empty where there is none.
    pub minutes: String,
}

/// A row of a chart.
#[derive(Default)]
pub struct Row {
    /// Its upper edge.
    pub y: u32,
    /// How high it is, with its label.
    pub height: u32,
    /// What it shows.
    pub label: String,
    /// What it comes to.
    pub note: String,
    /// Blocks, drawn in this order.
    pub blocks: Vec<Block>,
    /// Numbered marks.
    pub marks: Vec<Mark>,
    /// Horizontal lines: how far below the upper edge, and what they mean.
    pub grid: Vec<(u32, &'static str)>,
}

/// A rectangle.
pub struct Block {
    /// What kind, for the style.
    pub class: &'static str,
    /// Where.
    pub extent: Extent,
    /// How far below the upper edge of its row.
    pub y: u32,
    /// How high.
    pub height: u32,
    /// What is written into it; empty for nothing.
    pub text: &'static str,
    /// What it is, and where it is from.
    pub title: String,
}

/// A numbered mark, with a line through the whole chart.
pub struct Mark {
    /// What kind, for the style.
    pub class: &'static str,
    /// Number of its line in the table of milestones.
    pub number: usize,
    /// Where.
    pub x: Place,
    /// How far its centre is below the upper edge of its row.
    pub y: u32,
    /// What it is, and where it is from.
    pub title: String,
}

/// Height of a label.
pub const LABEL: u32 = 17;
/// Height of a bar.
pub const BAR: u32 = 12;
/// Distance of two levels of marks.
const LEVEL: u32 = 21;
/// Marks nearer than this, in hundredths of a percent, would overlap on a narrow screen.
const APART: u32 = 640;
/// Space between two rows.
const GAP: u32 = 9;

impl Row {
    /// A row with a bar: `blocks` are as high as it.
    pub fn bar(label: impl Into<String>, note: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self { height: LABEL + BAR, label: label.into(), note: note.into(), blocks, ..Self::default() }
    }

    /// A row of marks, on as many levels as keep them apart.
    pub fn marks(label: impl Into<String>, note: impl Into<String>, mut marks: Vec<Mark>) -> Self {
        marks.sort_by_key(|mark| (mark.x, mark.number));
        let mut levels: Vec<Place> = Vec::new();
        for mark in &mut marks {
            let free = levels.iter().position(|last| mark.x.0 >= last.0 + APART);
            let level = free.unwrap_or(levels.len());
            match levels.get_mut(level) {
                Some(last) => *last = mark.x,
                None => levels.push(mark.x),
            }
            mark.y = LABEL + LEVEL / 2 + LEVEL * u32::try_from(level).unwrap_or(0);
        }
        let height = LABEL + LEVEL * u32::try_from(levels.len()).unwrap_or(0);
        Self { height, label: label.into(), note: note.into(), marks, ..Self::default() }
    }
}

impl Block {
    /// A block in a bar.
    pub fn in_bar(class: &'static str, extent: Extent, title: String) -> Self {
        Self { class, extent, y: LABEL, height: BAR, text: "", title }
    }
}

impl Chart {
    /// Puts the rows below each other.
    pub fn new(label: String, bands: Vec<Band>, ticks: Vec<Tick>, mut rows: Vec<Row>) -> Self {
        let minutes = ticks.iter().any(|tick| !tick.minutes.is_empty());
        let top = if minutes { 36 } else { 22 };
        let mut y = top;
        for row in &mut rows {
            row.y = y;
            y += row.height + GAP;
        }
        Self { label, height: y, top, bands, ticks, rows }
    }
}

/// The time axis: few enough ticks for a narrow screen.
pub fn ticks(scale: Scale, zero: Micros, minutes: impl Fn(Micros) -> String) -> Vec<Tick> {
    let tick = |at: Micros| {
        let x = scale.place(at);
        let anchor = match x.0 {
            ..500 => "start",
            9_500.. => "end",
            _ => "middle",
        };
        Tick { x, anchor, time: words::offset(at, zero), minutes: minutes(at) }
    };
    scale.ticks(zero, 5).into_iter().map(tick).collect()
}

/// Where something is from, so that it can be found in the history.
pub fn from_history(words: impl std::fmt::Display, at: Micros) -> String {
    format!("{words} [history: \"at\":{at}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize, x: u32) -> Mark {
        Mark { class: "", number, x: Place(x), y: 0, title: String::new() }
    }

    #[test]
    fn marks_that_would_overlap_go_to_levels_of_their_own() {
        let row = Row::marks("", "", vec![mark(3, 5_000), mark(1, 0), mark(2, 100), mark(4, 5_010)]);
        let levels: Vec<_> = row.marks.iter().map(|mark| (mark.number, mark.y / LEVEL)).collect();
        assert_eq!(levels, [(1, 1), (2, 2), (3, 1), (4, 2)]);
        assert_eq!(row.height, LABEL + 2 * LEVEL);
    }
}
