//! The inventory as Markdown, for a ticket, a wiki or the summary of a job.

use super::{
    Inventory,
    instant::{date, residual, short},
    table::summary,
};

/// Findings first, then the certificates.
pub fn markdown(inventory: &Inventory) -> String {
    let mut lines = vec![summary(inventory), String::new()];
    if !inventory.findings.is_empty() {
        lines.extend(["| rank | finding | where | owner |".into(), "|---|---|---|---|".into()]);
        for finding in &inventory.findings {
            lines.push(row(&[
                finding.rank.name(),
                &finding.what,
                &finding.places.iter().map(|at| &**at).collect::<Vec<_>>().join(", "),
                finding.owner.as_deref().unwrap_or("-"),
            ]));
        }
        lines.push(String::new());
    }
    lines.push(
        "| certificate | expires | residual time | certificate authority | externally managed | on disk \
         | on the wire | last rotation | owner |"
            .into(),
    );
    lines.push("|---|---|---:|---|---|---|---|---|---|".into());
    for entry in &inventory.certificates {
        lines.push(row(&[
            &entry.name,
            &date(entry.certificate.not_after),
            &residual(entry.certificate.not_after, inventory.now),
            &entry.authority,
            if entry.externally_managed { "yes" } else { "no" },
            entry.on_disk.as_deref().map_or("-", short),
            entry.on_wire.as_deref().map_or("-", short),
            &date(entry.rotated),
            entry.owner.as_deref().unwrap_or("-"),
        ]));
    }
    lines.join("\n") + "\n"
}

/// One row of a table; what stands in it is no markup.
pub(crate) fn row(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| escaped(cell)).collect();
    format!("| {} |", cells.join(" | "))
}

/// What a certificate says of itself is no markup.
fn escaped(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for letter in cell.chars() {
        match letter {
            '|' | '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => text.extend(['\\', letter]),
            letter if letter.is_control() => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}
