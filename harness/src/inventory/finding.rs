//! What is or will be wrong with certificates, the worst first.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Certificate, Entry, Fingerprint, Judged, Level, Owners,
    assemble::{Found, Served},
    instant::{ago, date, exact, left, short},
};
use crate::words::{counted, list};

/// One thing that is or will be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub rank: Rank,
    /// What kind of thing.
    pub kind: Kind,
    /// In a sentence.
    pub what: String,
    /// The certificate, where it is about one.
    pub certificate: Option<Fingerprint>,
    /// Where: files and servers.
    pub places: Vec<Arc<str>>,
    /// Whose it is, by the map of owners.
    pub owner: Option<Arc<str>>,
}

/// How bad a finding is. The first two make `notafter inventory` fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// Something does not work, or stops within the hour or the last twentieth of a lifetime.
    Page,
    /// Less than a sixth of a lifetime is left, or clients refuse the chain.
    Critical,
    /// It will go wrong if nobody does anything.
    Warning,
    /// It makes an outage larger, or is of no consequence.
    Note,
}

/// The kinds of findings; of the same rank, the earlier goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It ends soon.
    Expiring,
    /// Its chain does not verify.
    ChainFails,
    /// It lasts longer than the authority that issued it.
    OutlivesIssuer,
    /// The same private key lies or serves in several places.
    KeyShared,
    /// A server presents something else than what lies on disk.
    ServedDiffers,
    /// Two thirds of its lifetime are used.
    RenewalOverdue,
    /// Others can read or change a file with a private key.
    KeyFileOpen,
    /// Many services depend on a single certificate.
    SharedByMany,
    /// Something that should hold a certificate or a key does not read.
    Unreadable,
    /// A server that was asked presented nothing.
    NothingPresented,
}

/// So many services with one certificate are many.
const MANY: usize = 3;

impl Rank {
    /// All, the worst first.
    pub const ALL: [Self; 4] = [Self::Page, Self::Critical, Self::Warning, Self::Note];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Kind {
    /// In the words of documents: `served-differs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Expiring => "expiring",
            Self::ChainFails => "chain-fails",
            Self::OutlivesIssuer => "outlives-issuer",
            Self::KeyShared => "key-shared",
            Self::ServedDiffers => "served-differs",
            Self::RenewalOverdue => "renewal-overdue",
            Self::KeyFileOpen => "key-file-open",
            Self::SharedByMany => "shared-by-many",
            Self::Unreadable => "unreadable",
            Self::NothingPresented => "nothing-presented",
        }
    }
}

/// Everything that is wrong.
pub(super) fn all(
    found: &Found,
    entries: &[Entry],
    issuers: &[Option<usize>],
    owners: &Owners,
    now: i64,
) -> Vec<Finding> {
    let look = Look { found, entries, issuers, now };
    let mut findings = Vec::new();
    look.lifetimes(&mut findings);
    look.chains(&mut findings);
    look.keys(&mut findings);
    look.servers(&mut findings);
    for (at, words) in &found.problems {
        let served = found.served.iter().any(|served| served.at == *at);
        let kind = if served { Kind::NothingPresented } else { Kind::Unreadable };
        findings.push(Finding {
            rank: Rank::Warning,
            kind,
            what: words.clone(),
            certificate: None,
            owner: owners.of([&**at]),
            places: vec![at.clone()],
        });
    }
    for (at, mode) in &found.key_files {
        findings.extend(open_file(at, *mode, owners));
    }
    findings.sort_by(|one, other| {
        (one.rank, one.kind, &one.what, &one.places).cmp(&(
            other.rank,
            other.kind,
            &other.what,
            &other.places,
        ))
    });
    findings
}

struct Look<'a> {
    found: &'a Found,
    entries: &'a [Entry],
    issuers: &'a [Option<usize>],
    now: i64,
}

impl Look<'_> {
    fn of(&self, index: usize, rank: Rank, kind: Kind, what: String) -> Finding {
        let entry = &self.entries[index];
        Finding {
            rank,
            kind,
            what,
            certificate: Some(entry.certificate.fingerprint),
            places: entry.places.iter().map(|place| place.at.clone()).collect(),
            owner: entry.owner.clone(),
        }
    }

    fn lifetimes(&self, findings: &mut Vec<Finding>) {
        let mut below = vec![0_u64; self.entries.len()];
        for &issuer in self.issuers.iter().flatten() {
            below[issuer] += 1;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let Certificate { not_before, not_after, .. } = &*entry.certificate;
            let (kind, rank) = match entry.level {
                Level::Fine => continue,
                Level::Expired => (Kind::Expired, Rank::Page),
                Level::NotYetValid => (Kind::NotYetValid, Rank::Page),
                Level::Page => (Kind::Expiring, Rank::Page),
                Level::Critical => (Kind::Expiring, Rank::Critical),
                Level::RenewalOverdue => (Kind::RenewalOverdue, Rank::Warning),
            };
            // Nobody here can renew it, and nothing hangs on it.
            let rank = if entry.merely_trusted { Rank::Note } else { rank };
            let name = &entry.name;
            let what = match entry.level {
                Level::Expired => format!("`{name}` expired {}", ago(*not_after, self.now)),
                Level::NotYetValid => format!("`{name}` is not valid until {}", date(*not_before)),
                Level::RenewalOverdue => format!(
                    "`{name}` should have been renewed by {}; it expires in {}",
                    date(entry.renew_by),
                    left(*not_after, self.now)
                ),
                _ => format!("`{name}` expires in {}, {}", left(*not_after, self.now), date(*not_after)),
            };
            let hangs = match below[index] {
                0 => String::new(),
                1 => "; 1 certificate below it goes with it".into(),
                many => format!("; {} below it go with it", counted(many, "certificate")),
            };
            findings.push(self.of(index, rank, kind, what + &hangs));
        }
    }

    fn chains(&self, findings: &mut Vec<Finding>) {
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(Judged::Fails(why)) = &entry.chain.judged
                && entry.level != Level::Expired
                && entry.level != Level::NotYetValid
            {
                let what = format!("clients refuse the chain of `{}`: {why}", entry.name);
                findings.push(self.of(index, Rank::Critical, Kind::ChainFails, what));
            }
            let Some(issuer) = self.issuers[index] else { continue };
            let ends = self.entries[issuer].certificate.not_after;
            if ends < entry.certificate.not_after && entry.level != Level::Expired {
                let lasts = entry.certificate.not_after;
                // On the same day, only the time tells them apart.
                let written = if date(lasts) == date(ends) { exact } else { date };
                let what = format!(
                    "`{}` lasts until {}, but `{}`, which issued it, only until {}",
                    entry.name,
                    written(lasts),
                    self.entries[issuer].name,
                    written(ends)
                );
                findings.push(self.of(index, Rank::Warning, Kind::OutlivesIssuer, what));
            }
        }
    }

    /// One private key in several files, or in certificates of several names.
    fn keys(&self, findings: &mut Vec<Finding>) {
        let by_key = self.found.by_key();
        let key_of = |index: usize| self.entries[index].certificate.key;
        for indexes in by_key.chunk_by(|&one, &other| key_of(one) == key_of(other)) {
            let files = self.found.keys.get(&key_of(indexes[0])).map_or(&[][..], Vec::as_slice);
            if files.len() < 2 && indexes.len() < 2 {
                continue;
            }
            let names: BTreeMap<&str, usize> =
                indexes.iter().rev().map(|&index| (&*self.entries[index].name, index)).collect();
            let authority = self.entries[indexes[0]].certificate.role.is_authority();
            // An authority that was cross-signed has one key in several certificates, as it must.
            if files.len() < 2 && (names.len() < 2 || authority) {
                continue;
            }
            let called: Vec<_> = names.keys().map(|name| format!("`{name}`")).collect();
            let what = if files.len() > 1 {
                format!(
                    "the private key of {} lies in {} places: {}",
                    list(&called, 3),
                    files.len(),
                    list(files, 4)
                )
            } else {
                format!("{} have the same private key", list(&called, 4))
            };
            let mut finding = self.of(indexes[0], Rank::Warning, Kind::KeyShared, what);
            let all: HashSet<_> = indexes
                .iter()
                .flat_map(|&index| &self.entries[index].places)
                .map(|place| &place.at)
                .collect();
            finding.places = all.into_iter().chain(files).cloned().collect();
            finding.places.sort_unstable();
            finding.places.dedup();
            findings.push(finding);
        }
    }

    fn servers(&self, findings: &mut Vec<Finding>) {
        let mut seen = HashSet::new();
        for Served { at, presented, on_disk, .. } in &self.found.served {
            let Some(&leaf) = presented.first() else { continue };
            if let Some((disk, file)) = on_disk
                && *disk != leaf
            {
                let (wire, disk) = (&self.entries[leaf], &self.entries[*disk].certificate);
                let what = format!(
                    "{at} presents {} of {} (until {}), while {} of {} (until {}) lies in {file}",
                    short(&wire.certificate.serial),
                    wire.name,
                    date(wire.certificate.not_after),
                    short(&disk.serial),
                    disk.called(),
                    date(disk.not_after)
                );
                let mut finding = self.of(leaf, Rank::Warning, Kind::ServedDiffers, what);
                finding.places = vec![at.clone(), file.clone()];
                findings.push(finding);
            }
            let users = self.found.users(leaf);
            if users.len() >= MANY && seen.insert(leaf) {
                let name = &self.entries[leaf].name;
                let what = format!(
                    "{} services depend on one certificate, `{name}`: {}",
                    users.len(),
                    list(&users, 4)
                );
                findings.push(self.of(leaf, Rank::Note, Kind::SharedByMany, what));
            }
        }
    }
}

/// A group may read a key, as many distributions have it; others may not, and only the owner may
/// change it.
fn open_file(at: &Arc<str>, mode: u32, owners: &Owners) -> Option<Finding> {
    let how = match () {
        () if mode & 0o004 != 0 => "read",
        () if mode & 0o022 != 0 => "change",
        () => return None,
    };
    Some(Finding {
        rank: Rank::Warning,
        kind: Kind::KeyFileOpen,
        what: format!("others can {how} the private key in {at}: its mode is {mode:04o}"),
        certificate: None,
        places: vec![at.clone()],
        owner: owners.of([&**at]),
    })
}
