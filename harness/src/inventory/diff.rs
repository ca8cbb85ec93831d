//! What has changed since an inventory of before.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Entry, Finding, Inventory,
    instant::{date, exact, short},
};
use crate::words::counted;

/// What has changed between two inventories.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// The second of the one before, Unix seconds.
    pub before: i64,
    /// The second of the one after, Unix seconds.
    pub after: i64,
    /// Places that hold another certificate now.
    pub replaced: Vec<Replaced>,
    /// Places that hold one now and did not before.
    pub appeared: Vec<Lies>,
    /// Places that held one before and do not now.
    pub gone: Vec<Lies>,
    /// Findings that were not there before.
    pub found: Vec<Finding>,
    /// Findings that are no longer there.
    pub cleared: Vec<Finding>,
}

/// A place that holds another certificate now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replaced {
    /// Where.
    pub at: Arc<str>,
    /// What was there.
    pub before: Named,
    /// What is there.
    pub after: Named,
}

/// A place and its certificate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lies {
    /// Where.
    pub at: Arc<str>,
    /// What.
    #[serde(flatten)]
    pub certificate: Named,
}

/// Enough of a certificate to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// What people call it.
    pub name: Arc<str>,
    /// Its serial number.
    pub serial: Arc<str>,
    /// Last second in which it is valid, Unix seconds.
    pub not_after: i64,
}

impl Diff {
    /// What has changed from one to the other. Findings are the same if they are of the same kind, about
    /// the same certificate, in the same places.
    pub fn between(before: &Inventory, after: &Inventory) -> Self {
        let mut diff = Self { before: before.now, after: after.now, ..Self::default() };
        let (old, mut new) = (by_place(before), by_place(after));
        for ((at, position), old) in old {
            let certificate = Named::of(old);
            match new.remove(&(at, position)) {
                None => diff.gone.push(Lies { at: at.clone(), certificate }),
                Some(entry) if entry.certificate.fingerprint == old.certificate.fingerprint => {}
                Some(entry) => diff.replaced.push(Replaced {
                    at: at.clone(),
                    before: certificate,
                    after: Named::of(entry),
                }),
            }
        }
        let lies = |((at, _), entry): ((&Arc<str>, usize), &Entry)| Lies {
            at: at.clone(),
            certificate: Named::of(entry),
        };
        diff.appeared = new.into_iter().map(lies).collect();
        diff.found = missing(&after.findings, &before.findings);
        diff.cleared = missing(&before.findings, &after.findings);
        diff
    }

    /// For a person at a terminal.
    pub fn table(&self) -> String {
        let places = self.replaced.len() + self.appeared.len() + self.gone.len();
        let mut lines = vec![format!(
            "from {} to {}: {}, {}, {} cleared",
            exact(self.before),
            exact(self.after),
            counted(places as u64, "changed place"),
            counted(self.found.len() as u64, "new finding"),
            self.cleared.len()
        )];
        for Replaced { at, before, after } in &self.replaced {
            lines.push(format!(
                "  replaced  {at}: {} {} (until {}) by {} {} (until {})",
                before.name,
                short(&before.serial),
                date(before.not_after),
                after.name,
                short(&after.serial),
                date(after.not_after)
            ));
        }
        for (word, all) in [("appeared", &self.appeared), ("gone    ", &self.gone)] {
            for Lies { at, certificate: Named { name, serial, not_after } } in all {
                lines.push(format!("  {word}  {at}: {name} {} (until {})", short(serial), date(*not_after)));
            }
        }
        for (word, all) in [("found   ", &self.found), ("cleared ", &self.cleared)] {
            lines.extend(all.iter().map(|one| format!("  {word}  {}: {}", one.rank.name(), one.what)));
        }
        lines.join("\n") + "\n"
    }
}

impl Named {
    fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            serial: entry.certificate.serial.clone(),
            not_after: entry.certificate.not_after,
        }
    }
}

/// What lies where: by the place, and the position in it.
fn by_place(inventory: &Inventory) -> BTreeMap<(&Arc<str>, usize), &Entry> {
    let entries = inventory.certificates.iter();
    entries
        .flat_map(|entry| entry.places.iter().map(move |place| ((&place.at, place.position), entry)))
        .collect()
}

fn missing(these: &[Finding], those: &[Finding]) -> Vec<Finding> {
    let key = |one: &Finding| (one.kind, one.certificate, one.places.clone());
    let known: HashSet<_> = those.iter().map(key).collect();
    these.iter().filter(|one| !known.contains(&key(one))).cloned().collect()
}
