//! Turns the bytes of a file into certificates and the identities of keys, whatever their form.
//!
//! PEM, DER, PKCS#12, Java's key stores, kubeconfigs and objects of Kubernetes. What does not read is a
//! [problem](Decoded::problems) in words; the rest of the file is read all the same. A private key is
//! only asked for its public half.

mod java;
mod kubeconfig;
mod kubernetes;
mod pem;
mod pkcs12;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer},
};
use serde::{Deserialize, Serialize};

pub use kubernetes::Object;

use super::certificate::{Certificate, Fingerprint, Known};
use crate::error::words_of;

/// What was in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// In which form.
    pub form: Form,
    /// In the order in which they are there.
    pub certificates: Vec<Arc<Certificate>>,
    /// The private keys: their identity, or none where it cannot be told without a password.
    pub keys: Vec<Option<Fingerprint>>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
    /// What lies in objects of Kubernetes inside of it.
    pub inside: Vec<(Arc<Object>, Decoded)>,
}

/// In which form certificates lie somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Nothing of ours.
    #[default]
    Nothing,
    /// Sections of text (RFC 7468).
    Pem,
    /// The bare encoding.
    Der,
    /// A key store (RFC 7292); Java's own since version 9.
    Pkcs12,
    /// Java's key store of before version 9.
    Java,
    /// The configuration of a client of Kubernetes.
    Kubeconfig,
    /// Presented in a handshake.
    Wire,
}

/// Names that announce certificates or keys: if there are none, that is a problem.
const PROMISING: [&str; 10] = ["pem", "crt", "cer", "cert", "der", "key", "p12", "pfx", "jks", "keystore"];

/// Whether a name announces certificates or keys.
pub(super) fn promising(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| PROMISING.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Decodes one file after another.
pub struct Decoder<'a> {
    /// Are tried on key stores, before those of no worth.
    passwords: &'a [String],
    known: Known,
}

impl<'a> Decoder<'a> {
    /// One that tries these passwords on key stores.
    pub fn new(passwords: &'a [String]) -> Self {
        Self { passwords, known: Known::default() }
    }

    /// Decodes a file. `promised` says that its name announces certificates or keys, so that it is a
    /// problem if there are none.
    ///
    /// It never panics: a parser that does becomes a problem.
    pub fn decode(&mut self, bytes: &[u8], promised: bool) -> Decoded {
        catch_unwind(AssertUnwindSafe(|| self.by_form(bytes, promised))).unwrap_or_else(|panic| Decoded {
            problems: vec![format!("a parser gave up on it: {}", words_of(&*panic))],
            ..Decoded::default()
        })
    }

    fn by_form(&mut self, bytes: &[u8], promised: bool) -> Decoded {
        // Text that does not begin with a section can have sections in a text of its own, as YAML.
        if !bytes.starts_with(b"-----BEGIN ") && kubernetes::looks_like(bytes) {
            return kubernetes::decode(bytes, self);
        }
        by_form(bytes, promised, self)
    }
}

fn by_form(bytes: &[u8], promised: bool, decoder: &mut Decoder<'_>) -> Decoded {
    if pem::looks_like(bytes) {
        return pem::decode(bytes, promised, &mut decoder.known);
    }
    if java::looks_like(bytes) {
        return java::decode(bytes, &mut decoder.known);
    }
    if pkcs12::looks_like(bytes) {
        return pkcs12::decode(bytes, promised, decoder);
    }
    if bytes.first() == Some(&0x30) {
        return der(bytes, promised, &mut decoder.known);
    }
    if kubeconfig::looks_like(bytes) {
        return kubeconfig::decode(bytes, &mut decoder.known);
    }
    match bytes {
        _ if !promised => Decoded::default(),
        [] => problem("expected a certificate or a key, found an empty file"),
        _ => problem("expected a certificate or a key, found neither"),
    }
}

/// One certificate or key, bare.
fn der(bytes: &[u8], promised: bool, known: &mut Known) -> Decoded {
    let found = match known.read(bytes) {
        Ok(certificate) => {
            return Decoded { form: Form::Der, certificates: vec![certificate], ..Decoded::default() };
        }
        Err(found) => found,
    };
    let keys = [
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bytes)),
        PrivateSec1KeyDer::from(bytes).into(),
        PrivatePkcs1KeyDer::from(bytes).into(),
    ];
    match keys.iter().find_map(key) {
        Some(key) => Decoded { form: Form::Der, keys: vec![Some(key)], ..Decoded::default() },
        // Many things begin like this; only a name that promises makes it a problem.
        None if promised => problem(&format!("expected a certificate or a key, found {found}")),
        None => Decoded::default(),
    }
}

/// The identity of a private key; none if it is of a kind that nobody here knows.
fn key(der: &PrivateKeyDer<'_>) -> Option<Fingerprint> {
    let key = any_supported_type(der).ok()?;
    Some(Fingerprint::of(key.public_key()?.as_ref()))
}

fn problem(words: &str) -> Decoded {
    Decoded { problems: vec![words.to_owned()], ..Decoded::default() }
}

#[cfg(test)]
mod tests;
