//! The inventory as one HTML file, in the manner of the page of a run: no network, no script, readable
//! on a telephone and on paper. What is wrong first, then what ends when.

use askama::Template;

use super::{
    Entry, Finding, Form, Inventory, Judged, Level, Place, Rank,
    instant::{date, exact, residual},
    table::summary,
};
use crate::words::counted;

/// More rows than this make a page that no browser likes; the other forms have all of them.
const MOST_ROWS: usize = 1_000;
/// The same for findings, of which the worst come first.
const MOST_FINDINGS: usize = 200;
/// The same for the places of one finding or certificate.
const MOST_PLACES: usize = 50;

/// The page of an inventory, or of what belongs to one owner.
///
/// # Panics
/// Never: the template is checked when this is built, and a text takes everything.
pub fn page(inventory: &Inventory, owner: Option<&str>) -> String {
    let certificates = &inventory.certificates;
    let page = Page {
        title: owner.map_or("Certificates".into(), |owner| format!("Certificates of {owner}")),
        verdict: verdict(inventory),
        summary: summary(inventory),
        findings: inventory.findings.iter().take(MOST_FINDINGS).map(Told::of).collect(),
        more_findings: inventory.findings.len().saturating_sub(MOST_FINDINGS),
        rows: certificates.iter().take(MOST_ROWS).map(|entry| Row::of(entry, inventory.now)).collect(),
        more_rows: certificates.len().saturating_sub(MOST_ROWS),
    };
    page.render().expect("a text takes everything")
}

#[derive(Template)]
#[template(path = "inventory.html", whitespace = "minimize")]
struct Page<'a> {
    title: String,
    /// How the page of a run colours it, and the word.
    verdict: (&'static str, &'static str),
    summary: String,
    findings: Vec<Told<'a>>,
    more_findings: usize,
    rows: Vec<Row<'a>>,
    more_rows: usize,
}

/// A finding and where.
struct Told<'a> {
    colour: &'static str,
    finding: &'a Finding,
    places: Places<'a>,
}

/// A certificate and all that is known of it.
struct Row<'a> {
    colour: &'static str,
    entry: &'a Entry,
    expires: String,
    residual: String,
    /// What is left of its lifetime, hundredths.
    percent: String,
    differs: bool,
    facts: Vec<(&'static str, String)>,
    places: Places<'a>,
}

/// Where something is, and how many places are left out.
struct Places<'a> {
    count: String,
    shown: Vec<&'a str>,
    more: usize,
}

fn verdict(inventory: &Inventory) -> (&'static str, &'static str) {
    match inventory.findings.first().map(|finding| finding.rank) {
        Some(Rank::Page | Rank::Critical) => ("failed", "urgent"),
        Some(Rank::Warning) => ("unknown", "to do"),
        Some(Rank::Note) | None => ("passed", "fine"),
    }
}

impl<'a> Told<'a> {
    fn of(finding: &'a Finding) -> Self {
        let colour = match finding.rank {
            Rank::Page | Rank::Critical => "failed",
            Rank::Warning => "unknown",
            Rank::Note => "noted",
        };
        // The sentence can name them all itself.
        let untold = finding.places.iter().any(|at| !finding.what.contains(&**at));
        let places = finding.places.iter().filter(|_| untold).map(|at| &**at);
        Self { colour, finding, places: Places::of(places) }
    }
}

impl<'a> Row<'a> {
    fn of(entry: &'a Entry, now: i64) -> Self {
        let colour = match entry.level {
            Level::Fine => "passed",
            Level::RenewalOverdue | Level::NotYetValid => "unknown",
            Level::Critical | Level::Page | Level::Expired => "failed",
        };
        let places = entry.places.iter().map(|place: &Place| &*place.at);
        Self {
            colour,
            entry,
            expires: date(entry.certificate.not_after),
            residual: residual(entry.certificate.not_after, now),
            percent: format!("{:.1}", entry.share_left * 100.0),
            differs: entry.on_disk.is_some() && entry.on_wire.is_some() && entry.on_disk != entry.on_wire,
            facts: facts(entry),
            places: Places::of(places),
        }
    }
}

impl<'a> Places<'a> {
    fn of(places: impl Iterator<Item = &'a str>) -> Self {
        let mut shown: Vec<_> = places.collect();
        shown.dedup();
        let more = shown.len().saturating_sub(MOST_PLACES);
        let count = counted(shown.len() as u64, "place");
        shown.truncate(MOST_PLACES);
        Self { count, shown, more }
    }
}

fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let certificate = &entry.certificate;
    let judged = match &entry.chain.judged {
        None => "judged as part of those below it".into(),
        Some(Judged::Verifies) => "verifies".into(),
        Some(Judged::Fails(why)) => format!("clients refuse it: {why}"),
        Some(Judged::Unknown(why)) => format!("unknown: {why}"),
    };
    let ends = &entry.chain.ends_first;
    let served = entry.places.iter().any(|place| place.form == Form::Wire);
    let mut facts = vec![
        ("subject", certificate.subject.clone()),
        ("names", certificate.names.join(" ")),
        ("issuer", certificate.issuer.to_string()),
        ("valid", format!("{} to {}", exact(certificate.not_before), exact(certificate.not_after))),
        ("renew by", exact(entry.renew_by)),
        ("last rotation", exact(entry.rotated)),
        ("key", certificate.key_type.to_string()),
        ("chain", judged),
        ("ends first", format!("{}, {}", ends.called, exact(ends.not_after))),
        ("serial number", certificate.serial.to_string()),
        ("SHA-256", certificate.fingerprint.to_string()),
        ("externally managed", if entry.externally_managed { "yes" } else { "no" }.into()),
    ];
    if served {
        facts.push(("on disk", entry.on_disk.as_deref().unwrap_or("nothing").into()));
        facts.push(("on the wire", entry.on_wire.as_deref().unwrap_or("as part of a chain").into()));
    }
    facts.retain(|(_, text)| !text.is_empty());
    facts
}
