//! The inventory as CSV: a row a certificate, for spreadsheets and scripts.

use std::{borrow::Cow, io};

use super::{Inventory, Judged, instant::exact};

const HEADER: [&str; 22] = [
    "certificate",
    "subject",
    "names",
    "role",
    "key_type",
    "serial",
    "fingerprint",
    "not_before",
    "not_after",
    "share_left",
    "renew_by",
    "level",
    "authority",
    "externally_managed",
    "chain",
    "ends_first",
    "ends_first_at",
    "on_disk",
    "on_wire",
    "last_rotation",
    "owner",
    "places",
];

/// All certificates. Names are apart by spaces, places by `; `; instants are those of RFC 3339.
///
/// A cell that a spreadsheet would take for a formula has an apostrophe in front: what a certificate
/// says of itself is data, whoever wrote it.
///
/// # Errors
/// Those of `out`.
pub fn csv(inventory: &Inventory, out: impl io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(HEADER)?;
    for entry in &inventory.certificates {
        let certificate = &entry.certificate;
        let judged = match &entry.chain.judged {
            None => String::new(),
            Some(Judged::Verifies) => "verifies".into(),
            Some(Judged::Fails(why)) => format!("fails: {why}"),
            Some(Judged::Unknown(why)) => format!("unknown: {why}"),
        };
        let places: Vec<_> = entry.places.iter().map(|place| &*place.at).collect();
        let row: [&str; HEADER.len()] = [
            &entry.name,
            &certificate.subject,
            &certificate.names.join(" "),
            certificate.role.name(),
            &certificate.key_type,
            &certificate.serial,
            &certificate.fingerprint.to_string(),
            &exact(certificate.not_before),
            &exact(certificate.not_after),
            &format!("{:.3}", entry.share_left),
            &exact(entry.renew_by),
            entry.level.name(),
            &entry.authority,
            if entry.externally_managed { "yes" } else { "no" },
            &judged,
            &entry.chain.ends_first.called,
            &exact(entry.chain.ends_first.not_after),
            entry.on_disk.as_deref().unwrap_or_default(),
            entry.on_wire.as_deref().unwrap_or_default(),
            &exact(entry.rotated),
            entry.owner.as_deref().unwrap_or_default(),
            &places.join("; "),
        ];
        writer.write_record(row.map(harmless).iter().map(|cell| cell.as_bytes()))?;
    }
    writer.flush()
}

/// Formulas begin with one of these (OWASP, CSV injection).
fn harmless(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}").into() } else { cell.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_calculate_is_text() {
        let cells = ["=HYPERLINK(\"x\")", "+1", "-1", "@SUM(A1)", "a=b", ""];
        assert_eq!(cells.map(harmless), ["'=HYPERLINK(\"x\")", "'+1", "'-1", "'@SUM(A1)", "a=b", ""]);
    }
}
