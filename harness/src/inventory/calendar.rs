//! The inventory as a calendar (RFC 5545): when each certificate expires, and by when it should be
//! renewed. Subscribed to, it follows: an event keeps its identity as long as its certificate.

use icalendar::{Calendar, Component, Event};
use time::{OffsetDateTime, macros::format_description};

use super::{
    Entry, Inventory,
    instant::{exact, short},
};

/// All events as one feed; that of one owner is [`Inventory::of_owner`]'s.
///
/// Authorities that are merely trusted have none: nobody here can renew them.
pub fn calendar(inventory: &Inventory, owner: Option<&str>) -> String {
    let mut calendar = Calendar::empty();
    calendar.append_property(("VERSION", "2.0"));
    calendar
        .append_property(("PRODID", concat!("-//notafter//notafter ", env!("CARGO_PKG_VERSION"), "//EN")));
    calendar.name(&owner.map_or("Certificates".into(), |owner| format!("Certificates of {owner}")));
    for entry in inventory.certificates.iter().filter(|entry| !entry.merely_trusted) {
        let expires = entry.certificate.not_after.saturating_add(1);
        calendar.push(event(entry, inventory.now, entry.renew_by, "renew-by", "Renew"));
        calendar.push(event(entry, inventory.now, expires, "expiry", "Expired:"));
    }
    calendar.to_string()
}

fn event(entry: &Entry, now: i64, at: i64, kind: &str, verb: &str) -> Event {
    let certificate = &entry.certificate;
    let mut event = Event::with_uid(&format!("{}-{kind}@notafter", certificate.fingerprint));
    let mut places: Vec<_> = entry.places.iter().map(|place| format!("- {}", place.at)).collect();
    places.dedup();
    let description = format!(
        "{} of {}, serial number {}\nvalid until {}, to be renewed by {}\n{}",
        certificate.subject,
        entry.authority,
        certificate.serial,
        exact(certificate.not_after),
        exact(entry.renew_by),
        places.join("\n")
    );
    event
        .summary(&format!("{verb} {} ({})", entry.name, short(&certificate.serial)))
        .description(&description)
        .add_property("DTSTAMP", instant(now))
        .add_property("DTSTART", instant(at))
        // It takes no time of anybody.
        .add_property("TRANSP", "TRANSPARENT");
    if let Some(owner) = &entry.owner {
        event.add_property("CATEGORIES", &**owner);
    }
    event.done()
}

/// An instant in UTC (RFC 5545, 3.3.5); what no calendar holds is its last second.
fn instant(unix: i64) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let instant = OffsetDateTime::from_unix_timestamp(unix).ok();
    instant.and_then(|instant| instant.format(form).ok()).unwrap_or_else(|| "99991231T235959Z".into())
}
