//! Reports: what a history says, for people and for machines. Pure functions, like checks.

mod ablation;
mod blast;
mod facts;
mod html;
mod json;
mod junit;
mod markdown;
mod nightly;
mod openmetrics;
mod orders;
pub mod past;
mod prose;
mod repair;
mod runbook;
pub(crate) mod table;
mod terminal;
mod timeline;
mod zoo;

#[cfg(test)]
mod tests;

pub use ablation::ablation;
pub use blast::{Blast, Effect, Heals, Radius, SCHEMA as BLAST_SCHEMA, blast, blast_json, blast_page, radii};
pub use html::{Log, page};
pub use json::{SCHEMA, json, schema};
pub use junit::junit;
pub use markdown::markdown;
pub use nightly::{Nightly, SCHEMA as NIGHT_SCHEMA};
pub use openmetrics::openmetrics;
pub use orders::{Graph, Orders, SCHEMA as ORDERS_SCHEMA};
pub use runbook::Guide;
pub use terminal::render;
pub use zoo::{Exhibit, zoo};

/// How a report for a terminal looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colour; the text says the same without.
    pub colour: bool,
    /// Columns of the terminal; a report uses 80 to 120 of them.
    pub width: usize,
}

impl Default for Style {
    /// No colour, 100 columns.
    fn default() -> Self {
        Self { colour: false, width: 100 }
    }
}

impl Style {
    fn columns(self) -> usize {
        self.width.clamp(80, 120)
    }
}
