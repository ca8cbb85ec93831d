//! Who issued what: paths from a certificate to a root, judged by webpki, which minted none.
//!
//! A path is found by names and key identifiers. Whether it verifies is asked of webpki, with the
//! roots of the inventory as anchors. Where no root was read, nobody can say: unknown is no pass.

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use rustls::pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use super::certificate::{Certificate, Role};

/// No path that works is longer (webpki stops at six issuing CAs).
const LONGEST: usize = 8;
/// More CAs of one name than this are not asked: verifying all of them would be an attack's bill.
const MOST_CANDIDATES: usize = 16;

/// A certificate and those above it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The element that ends first, which may be the certificate itself.
    pub ends_first: Element,
    /// Whether it verifies; an authority is only judged as part of the chains below it.
    pub judged: Option<Judged>,
}

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// How people call it.
    pub called: Arc<str>,
    /// Its serial number, lower-case hexadecimal.
    pub serial: Arc<str>,
    /// Last second in which it is valid, Unix seconds.
    pub not_after: i64,
}

/// What the judge says of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "why", rename_all = "lowercase")]
pub enum Judged {
    /// It verifies under a root of the inventory.
    Verifies,
    /// It does not, for this reason.
    Fails(String),
    /// Nobody can say, for this reason.
    Unknown(String),
}

/// What all certificates of one issuer have in common; kept, because a mesh has thousands of one.
struct Above {
    issuing: Vec<usize>,
    roots: Vec<usize>,
    /// The only authority that can have issued them, if no name is forbidden to it or to those above it.
    /// What is above it is the same for all of them, so that one of them vouches for it.
    only: Option<usize>,
    /// Whether the chain of one of them verified: of a server, of a client.
    vouched: [bool; 2],
}

/// The issuers of before, by their names and key identifiers.
type Memory = HashMap<(u64, Option<u64>), Above>;

/// All certificates, tied together.
pub(super) struct Graph<'a> {
    certificates: &'a [Arc<Certificate>],
    /// The authorities of a name.
    authorities: HashMap<u64, Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub fn new(certificates: &'a [Arc<Certificate>]) -> Self {
        let mut authorities: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, certificate) in certificates.iter().enumerate() {
            if certificate.role.is_authority() {
                authorities.entry(certificate.links.subject).or_default().push(index);
            }
        }
        Self { certificates, authorities }
    }

    /// Whose signature it probably bears; those that last longest first.
    pub fn issuers(&self, index: usize) -> Vec<usize> {
        let links = self.certificates[index].links;
        let mut issuers: Vec<_> =
            self.authorities.get(&links.issuer).into_iter().flatten().copied().collect();
        issuers.retain(|&issuer| {
            let own = self.certificates[issuer].links.own_key;
            issuer != index && (links.issuer_key.is_none() || own.is_none() || links.issuer_key == own)
        });
        issuers.sort_by_key(|&issuer| std::cmp::Reverse(self.certificates[issuer].not_after));
        issuers
    }

    /// Who issued it, most likely; nobody but itself issued a root, whatever has the same name.
    pub fn issuer(&self, index: usize) -> Option<usize> {
        if self.certificates[index].role == Role::Root { None } else { self.issuers(index).first().copied() }
    }

    /// The certificate, who issued it, who issued that, as far as is known.
    pub fn path(&self, index: usize) -> Vec<usize> {
        let mut path = vec![index];
        while path.len() < LONGEST {
            let last = path[path.len() - 1];
            let next = self.issuers(last).into_iter().find(|issuer| !path.contains(issuer));
            match next {
                Some(next) if self.certificates[last].role != Role::Root => path.push(next),
                _ => break,
            }
        }
        path
    }

    /// Every chain, judged at a second; `presented` are the certificates that came along in handshakes,
    /// by the leaf: what a server does not present, its clients do not have.
    pub fn chains(&self, now: i64, presented: &HashMap<usize, Vec<Vec<usize>>>) -> Vec<Chain> {
        let all = |indexes: &[usize]| -> Vec<Chain> {
            let mut memory = Memory::new();
            indexes.iter().map(|&index| self.chain(index, now, presented.get(&index), &mut memory)).collect()
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let share = self.certificates.len().div_ceil(workers).max(64);
        let indexes: Vec<_> = (0..self.certificates.len()).collect();
        thread::scope(|scope| {
            let handles: Vec<_> =
                indexes.chunks(share).map(|chunk| scope.spawn(move || all(chunk))).collect();
            let joined = handles.into_iter().map(|handle| handle.join().expect("webpki does not panic"));
            joined.flatten().collect()
        })
    }

    fn chain(
        &self,
        index: usize,
        now: i64,
        presented: Option<&Vec<Vec<usize>>>,
        memory: &mut Memory,
    ) -> Chain {
        let path = self.path(index);
        let ends_first = path.iter().map(|&index| &self.certificates[index]);
        let ends_first = ends_first.min_by_key(|certificate| certificate.not_after);
        let ends_first = ends_first.unwrap_or(&self.certificates[index]);
        let ends_first = Element {
            called: ends_first.name(),
            serial: ends_first.serial.clone(),
            not_after: ends_first.not_after,
        };
        Chain { ends_first, judged: self.judge(index, &path, now, presented, memory) }
    }

    fn judge(
        &self,
        index: usize,
        path: &[usize],
        now: i64,
        presented: Option<&Vec<Vec<usize>>>,
        memory: &mut Memory,
    ) -> Option<Judged> {
        let certificate = &self.certificates[index];
        if certificate.role.is_authority() {
            return None;
        }
        let top = &self.certificates[path[path.len() - 1]];
        if top.role != Role::Root {
            return Some(Judged::Unknown(if certificate.links.subject == certificate.links.issuer {
                "nobody but itself vouches for it".into()
            } else {
                format!("its issuer `{}` was not read", top.issued_by())
            }));
        }
        let links = certificate.links;
        let above = memory.entry((links.issuer, links.issuer_key)).or_insert_with(|| self.above(index));
        let Some(presented) = presented else { return Some(self.vouched(index, above, now)) };
        let Above { issuing, roots, .. } = above;
        for alongside in presented {
            let judged = self.verify(index, alongside, roots, now);
            if judged == Judged::Verifies {
                continue;
            }
            let missing = issuing.iter().find(|issuing| !alongside.contains(issuing));
            return Some(match missing {
                Some(&missing) if self.verify(index, issuing, roots, now) == Judged::Verifies => {
                    Judged::Fails(format!(
                        "the server does not present `{}`",
                        self.certificates[missing].called()
                    ))
                }
                _ => judged,
            });
        }
        Some(Judged::Verifies)
    }

    /// Judges one certificate. Once what is above it verified for another one of the same use, only its
    /// own signature, validity and uses are left.
    fn vouched(&self, index: usize, above: &mut Above, now: i64) -> Judged {
        let usage = usize::from(self.certificates[index].role == Role::Client);
        if let Some(issuer) = above.only.filter(|_| above.vouched[usage])
            && self.verify(index, &[], &[issuer], now) == Judged::Verifies
        {
            return Judged::Verifies;
        }
        let judged = self.verify(index, &above.issuing, &above.roots, now);
        above.vouched[usage] |= judged == Judged::Verifies;
        judged
    }

    /// All issuing CAs and roots that could be above it.
    fn above(&self, index: usize) -> Above {
        let mut found = vec![index];
        let mut next = 0;
        while let Some(&index) = found.get(next) {
            for issuer in self.issuers(index).into_iter().take(MOST_CANDIDATES) {
                if !found.contains(&issuer) && found.len() < 2 * MOST_CANDIDATES {
                    found.push(issuer);
                }
            }
            next += 1;
        }
        let (issuing, roots): (Vec<_>, Vec<_>) =
            found[1..].iter().partition(|&&index| self.certificates[index].role != Role::Root);
        let all_names = |&index: &usize| {
            let der = CertificateDer::from(&*self.certificates[index].der);
            anchor_from_trusted_cert(&der).is_ok_and(|anchor| anchor.name_constraints.is_none())
        };
        let only = match self.issuers(index)[..] {
            [issuer] if found[1..].iter().all(all_names) => Some(issuer),
            _ => None,
        };
        Above { issuing, roots, only, vouched: [false; 2] }
    }

    fn verify(&self, index: usize, issuing: &[usize], roots: &[usize], now: i64) -> Judged {
        let der = |index: usize| CertificateDer::from(&*self.certificates[index].der);
        let usage = match self.certificates[index].role {
            Role::Client => KeyUsage::client_auth(),
            Role::Other => return Judged::Unknown("it is for neither servers nor clients".into()),
            _ => KeyUsage::server_auth(),
        };
        let root_ders: Vec<_> = roots.iter().map(|&root| der(root)).collect();
        let anchors: Vec<_> =
            root_ders.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let between: Vec<_> = issuing.iter().map(|&issuing| der(issuing)).collect();
        let leaf_der = der(index);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or(0)));
        let leaf = EndEntityCert::try_from(&leaf_der);
        let verified = leaf.and_then(|leaf| {
            leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &between, at, usage, None, None).map(drop)
        });
        match verified {
            Ok(()) => Judged::Verifies,
            Err(error) => Judged::Fails(words(&error)),
        }
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::CertExpired { .. } => "something in it has expired".into(),
        Error::CertNotValidYet { .. } => "something in it is not yet valid".into(),
        Error::UnknownIssuer => "no signature leads to a root of that name".into(),
        Error::InvalidSignatureForPublicKey => "a signature is not its issuer's".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
