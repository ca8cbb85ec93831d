//! Makes one entry a certificate of everything that was found anywhere.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Certificate, Endpoint, Entry, Fingerprint, Form, Inventory, Owners, Place, SCHEMA, Source,
    chain::{Chain, Graph},
    finding,
    kubeadm::Layouts,
};

/// What was found, with every certificate once.
pub(super) struct Found {
    pub certificates: Vec<Arc<Certificate>>,
    /// Where each certificate is.
    pub places: Vec<Vec<Place>>,
    /// Files that hold a private key, with their permissions; by the key.
    pub keys: HashMap<Fingerprint, Vec<Arc<str>>>,
    /// Files that hold a private key of whatever kind, with their permissions.
    pub key_files: Vec<(Arc<str>, u32)>,
    /// What could not be read, with its place.
    pub problems: Vec<(Arc<str>, String)>,
    pub served: Vec<Served>,
}

/// A server, and its certificates by number.
pub(super) struct Served {
    pub at: Arc<str>,
    pub service: Option<Arc<str>>,
    pub presented: Vec<usize>,
    /// What lies on disk in the place of its leaf: which, and where.
    pub on_disk: Option<(usize, Arc<str>)>,
    /// The file that was said to hold it.
    presents: Option<Arc<str>>,
}

impl Inventory {
    /// One entry a certificate, at this second (Unix seconds); `files` is how many were looked at.
    pub fn of(sources: Vec<Source>, files: u64, owners: &Owners, now: i64) -> Self {
        let layouts = Layouts::among(sources.iter().map(|source| &*source.at));
        let mut found = gather(sources);
        match_disk(&mut found);
        let graph = Graph::new(&found.certificates);
        let mut presented: HashMap<usize, Vec<Vec<usize>>> = HashMap::new();
        for served in &found.served {
            if let [leaf, alongside @ ..] = &served.presented[..] {
                presented.entry(*leaf).or_default().push(alongside.to_vec());
            }
        }
        let chains = graph.chains(now, &presented);
        let issuers: Vec<_> = (0..found.certificates.len()).map(|index| graph.issuer(index)).collect();
        // Nothing is verified from here on.
        found.certificates.iter_mut().filter_map(Arc::get_mut).for_each(Certificate::forget_der);
        let names: Vec<Arc<str>> = found
            .certificates
            .iter()
            .zip(&found.places)
            .map(|(certificate, places)| name(certificate, places, &layouts))
            .collect();
        let endpoints = found.served.iter().map(|served| endpoint(served, &found.certificates)).collect();
        let mut entries = entries(&mut found, &names, &issuers, chains, owners, now);
        let findings = finding::all(&found, &entries, &issuers, owners, now);
        entries.sort_unstable_by(|one, other| {
            let key = |entry: &Entry| (entry.certificate.not_after, entry.certificate.fingerprint);
            (key(one).0, &one.name, key(one).1).cmp(&(key(other).0, &other.name, key(other).1))
        });
        Self { schema: SCHEMA, now, files, certificates: entries, endpoints, findings }
    }
}

fn gather(sources: Vec<Source>) -> Found {
    let mut found = Found {
        certificates: Vec::new(),
        places: Vec::new(),
        keys: HashMap::new(),
        key_files: Vec::new(),
        problems: Vec::new(),
        served: Vec::new(),
    };
    let mut known: HashMap<Fingerprint, usize> = HashMap::new();
    for Source { at, found: decoded, mode, service, presents, object } in sources {
        let mut presented = Vec::new();
        for (position, certificate) in decoded.certificates.into_iter().enumerate() {
            let with_key = decoded.keys.contains(&Some(certificate.key));
            let index = *known.entry(certificate.fingerprint).or_insert_with(|| {
                found.certificates.push(certificate);
                found.places.push(Vec::with_capacity(1));
                found.certificates.len() - 1
            });
            presented.push(index);
            found.places[index].push(Place {
                at: at.clone(),
                form: decoded.form,
                position,
                with_key,
                service: service.clone(),
                object: object.clone(),
            });
        }
        if !decoded.keys.is_empty() {
            found.key_files.extend(mode.map(|mode| (at.clone(), mode)));
        }
        for key in decoded.keys.into_iter().flatten().collect::<HashSet<_>>() {
            found.keys.entry(key).or_default().push(at.clone());
        }
        found.problems.extend(decoded.problems.into_iter().map(|words| (at.clone(), words)));
        if decoded.form == Form::Wire {
            found.served.push(Served { at, service, presented, on_disk: None, presents });
        }
    }
    found
}

/// Finds what lies on disk for what each server presents: the file that was said to hold it; else the
/// same certificate; else the newest one from the same issuer for the same names that nobody presents.
fn match_disk(found: &mut Found) {
    let on_wire: HashSet<_> =
        found.served.iter().filter_map(|served| served.presented.first().copied()).collect();
    let file_of = |index: usize| {
        let places = found.places[index].iter();
        places.filter(|place| place.form != Form::Wire).map(|place| place.at.clone()).next()
    };
    let mut first_in: HashMap<&str, usize> = HashMap::new();
    let mut alike: HashMap<(u64, Vec<&str>), Vec<usize>> = HashMap::new();
    if !found.served.is_empty() {
        for (index, certificate) in found.certificates.iter().enumerate() {
            for place in found.places[index].iter().filter(|place| place.form != Form::Wire) {
                if place.position == 0 {
                    first_in.insert(&place.at, index);
                }
            }
            if !certificate.role.is_authority() && !on_wire.contains(&index) && file_of(index).is_some() {
                alike.entry(kind_of(certificate)).or_default().push(index);
            }
        }
    }
    let matched: Vec<_> = found
        .served
        .iter()
        .map(|served| {
            let leaf = *served.presented.first()?;
            if let Some(file) = &served.presents {
                return first_in.get(&**file).map(|&index| (index, file.clone()));
            }
            if let Some(file) = file_of(leaf) {
                return Some((leaf, file));
            }
            let others = alike.get(&kind_of(&found.certificates[leaf]))?;
            let newest = *others.iter().max_by_key(|&&index| found.certificates[index].not_before)?;
            Some((newest, file_of(newest)?))
        })
        .collect();
    for (served, on_disk) in found.served.iter_mut().zip(matched) {
        served.on_disk = on_disk;
    }
}

/// What is the same of a certificate and of the one that replaces it.
fn kind_of(certificate: &Certificate) -> (u64, Vec<&str>) {
    let mut names: Vec<_> = certificate.called_also().collect();
    names.sort_unstable();
    names.dedup();
    (certificate.links.issuer, names)
}

fn name(certificate: &Certificate, places: &[Place], layouts: &Layouts) -> Arc<str> {
    let mut at_the_front = places.iter().filter(|place| place.position == 0);
    let known = at_the_front.find_map(|place| layouts.name(&place.at));
    known.map_or_else(|| certificate.name(), Into::into)
}

/// The serial numbers on the wire and on disk, and since when the former is in effect.
type InEffect = (Arc<str>, Option<Arc<str>>, i64);

fn entries(
    found: &mut Found,
    names: &[Arc<str>],
    issuers: &[Option<usize>],
    chains: Vec<Chain>,
    owners: &Owners,
    now: i64,
) -> Vec<Entry> {
    let mut serials: HashMap<usize, InEffect> = HashMap::new();
    for served in &found.served {
        let Some(&leaf) = served.presented.first() else { continue };
        let wire = &found.certificates[leaf];
        let disk = served.on_disk.as_ref().map(|(index, _)| *index);
        let on_disk = disk.map(|index| found.certificates[index].serial.clone());
        let told = (wire.serial.clone(), on_disk, wire.not_before);
        for index in [Some(leaf), disk].into_iter().flatten() {
            let better = serials.get(&index).is_none_or(|(wire, disk, _)| disk.as_ref() == Some(wire));
            if better {
                serials.insert(index, told.clone());
            }
        }
    }
    let issuing: HashSet<usize> = issuers.iter().flatten().copied().collect();
    let mut entries = Vec::with_capacity(chains.len());
    for (index, chain) in chains.into_iter().enumerate() {
        let certificate = &found.certificates[index];
        let lifetime = certificate.lifetime();
        let places = std::mem::take(&mut found.places[index]);
        let on_file = places.iter().any(|place| place.form != Form::Wire);
        let (on_wire, on_disk, rotated) = match serials.get(&index) {
            Some((wire, disk, began)) => (Some(wire.clone()), disk.clone(), *began),
            None => (None, None, certificate.not_before),
        };
        let issuer = issuers[index];
        let signer = match issuer {
            _ if certificate.role == super::Role::Root => Some(certificate.key),
            issuer => issuer.map(|issuer| found.certificates[issuer].key),
        };
        let at = places.iter().map(|place| &*place.at);
        entries.push(Entry {
            owner: owners.of(at.chain(certificate.called_also())),
            name: names[index].clone(),
            authority: issuer.map_or_else(|| certificate.issued_by().clone(), |issuer| names[issuer].clone()),
            externally_managed: signer.is_none_or(|key| !found.keys.contains_key(&key)),
            merely_trusted: certificate.role.is_authority()
                && !issuing.contains(&index)
                && !found.keys.contains_key(&certificate.key),
            level: lifetime.level(now),
            share_left: lifetime.share_left(now),
            renew_by: lifetime.renew_by(),
            on_disk: on_disk.or_else(|| on_file.then(|| certificate.serial.clone())),
            on_wire,
            rotated,
            chain,
            places,
            certificate: certificate.clone(),
        });
    }
    entries
}

fn endpoint(served: &Served, certificates: &[Arc<Certificate>]) -> Endpoint {
    let presented: Vec<_> = served.presented.iter().map(|&index| certificates[index].fingerprint).collect();
    Endpoint {
        at: served.at.clone(),
        service: served.service.clone(),
        on_disk: served.on_disk.as_ref().map(|(_, at)| at.clone()),
        as_on_disk: served.on_disk.as_ref().map(|(index, _)| served.presented.first() == Some(index)),
        presented,
    }
}

impl Found {
    /// The servers that present this certificate as their own.
    pub fn users(&self, index: usize) -> Vec<&str> {
        let mut users: Vec<&str> = self
            .served
            .iter()
            .filter(|served| served.presented.first() == Some(&index))
            .map(|served| &*served.at)
            .collect();
        users.sort_unstable();
        users
    }

    /// The certificates by their keys; of one key the newest first.
    pub fn by_key(&self) -> Vec<usize> {
        let mut indexes: Vec<_> = (0..self.certificates.len()).collect();
        indexes.sort_by_key(|&index| {
            let certificate = &self.certificates[index];
            (certificate.key, Reverse(certificate.not_before))
        });
        indexes
    }
}
