//! The inventory for a terminal: the columns of `kubeadm certs check-expiration`, what is on disk and
//! on the wire, and what is wrong.

use std::sync::Arc;

use comfy_table::{Cell, Color, ColumnConstraint, Width};

use super::{
    Entry, Inventory, Level, Rank,
    instant::{date, exact, expires, residual, short},
};
use crate::{
    report::{
        Style,
        table::{lines, table as empty_table},
    },
    words::{count, counted, list},
};

/// More rows than this are read by nobody; the other forms have all of them.
const MOST_ROWS: usize = 200;
/// The same for findings, of which the worst come first.
const MOST_FINDINGS: usize = 50;
/// Columns below which a date stands above its time, or there is one column less.
const ROOMY: usize = 116;
/// The column that makes room for the owner where there is little.
const ROTATED: usize = 7;

/// Everything for a person at a terminal.
pub fn table(inventory: &Inventory, style: Style) -> String {
    let mut parts = vec![summary(inventory) + "\n"];
    if !inventory.certificates.is_empty() {
        parts.extend(["\n".into(), rows(inventory, style)]);
    }
    let more = inventory.certificates.len().saturating_sub(MOST_ROWS);
    if more > 0 {
        parts.push(format!("  and {} more that last longer; --as csv has all of them\n", count(more as u64)));
    }
    if !inventory.findings.is_empty() {
        parts.extend(["\nFindings\n".into(), findings(inventory, style)]);
    }
    let more = inventory.findings.len().saturating_sub(MOST_FINDINGS);
    if more > 0 {
        parts.push(format!(
            "  and {} more of no higher rank; --as json has all of them\n",
            count(more as u64)
        ));
    }
    parts.concat()
}

/// `9 certificates in 12 files and 3 servers at 2026-11-24T05:30:00Z: 1 page, 2 warnings`.
pub(super) fn summary(inventory: &Inventory) -> String {
    let mut places = Vec::new();
    if inventory.files > 0 {
        places.push(counted(inventory.files, "file"));
    }
    if !inventory.endpoints.is_empty() {
        places.push(counted(inventory.endpoints.len() as u64, "server"));
    }
    let places = if places.is_empty() { "nothing".into() } else { list(&places, 2) };
    let certificates = counted(inventory.certificates.len() as u64, "certificate");
    let found = inventory.counts().into_iter().map(|(rank, number)| match rank {
        // These two have no plural.
        Rank::Page | Rank::Critical => format!("{} {}", count(number as u64), rank.name()),
        _ => counted(number as u64, rank.name()),
    });
    let found: Vec<_> = found.collect();
    let found = if found.is_empty() { "nothing is wrong".into() } else { found.join(", ") };
    format!("{certificates} in {places} at {}: {found}", exact(inventory.now))
}

fn rows(inventory: &Inventory, style: Style) -> String {
    let owned = inventory.certificates.iter().any(|entry| entry.owner.is_some());
    let mut header = vec![
        "CERTIFICATE",
        "EXPIRES",
        ">RESIDUAL TIME",
        "CERTIFICATE AUTHORITY",
        "EXTERNALLY MANAGED",
        "ON DISK",
        "ON THE WIRE",
        "LAST ROTATION",
    ];
    if owned {
        header.push("OWNER");
    }
    let narrow = owned || style.width < ROOMY;
    let cramped = owned && style.width < ROOMY;
    if cramped {
        header.remove(ROTATED);
    }
    let mut table = empty_table(style, &header);
    // No word of the header is torn, and no serial number.
    let expires = if narrow { 12 } else { 22 };
    let last = if cramped { 11 } else { 10 };
    for (column, least) in [(0, 11), (1, expires), (2, 8), (3, 11), (4, 10), (5, 8), (6, 8), (ROTATED, last)]
    {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least + 2)));
        }
    }
    for entry in inventory.certificates.iter().take(MOST_ROWS) {
        let mut row = row(entry, inventory.now, owned);
        if cramped {
            row.remove(ROTATED);
        }
        table.add_row(row);
    }
    lines(&table)
}

fn row(entry: &Entry, now: i64, owned: bool) -> Vec<Cell> {
    let serial = |serial: &Option<Arc<str>>| serial.as_deref().map_or("-", short).to_owned();
    let colour = match entry.level {
        Level::Fine => None,
        Level::RenewalOverdue => Some(Color::Yellow),
        _ => Some(Color::Red),
    };
    let residual = Cell::new(residual(entry.certificate.not_after, now));
    let differs = entry.on_wire.is_some() && entry.on_disk.is_some() && entry.on_wire != entry.on_disk;
    let on_wire = Cell::new(serial(&entry.on_wire));
    let mut row = vec![
        Cell::new(&entry.name),
        Cell::new(expires(entry.certificate.not_after)),
        colour.map_or(residual.clone(), |colour| residual.fg(colour)),
        Cell::new(&entry.authority),
        Cell::new(if entry.externally_managed { "yes" } else { "no" }),
        Cell::new(serial(&entry.on_disk)),
        if differs { on_wire.fg(Color::Yellow) } else { on_wire },
        Cell::new(date(entry.rotated)),
    ];
    if owned {
        row.push(Cell::new(entry.owner.as_deref().unwrap_or("-")));
    }
    row
}

fn findings(inventory: &Inventory, style: Style) -> String {
    let mut table = empty_table(style, &["rank", "finding"]);
    for finding in inventory.findings.iter().take(MOST_FINDINGS) {
        // The sentence names the places itself where it is about several.
        let told = finding.places.iter().any(|place| finding.what.contains(&**place));
        let places = if told { String::new() } else { format!(" [{}]", list(&finding.places, 1)) };
        let owner = finding.owner.as_ref().map_or(String::new(), |owner| format!(" ({owner})"));
        let rank = Cell::new(finding.rank.name());
        let rank = match finding.rank {
            Rank::Page | Rank::Critical => rank.fg(Color::Red),
            Rank::Warning => rank.fg(Color::Yellow),
            Rank::Note => rank,
        };
        table.add_row([rank, Cell::new(format!("{}{places}{owner}", finding.what))]);
    }
    lines(&table)
}
