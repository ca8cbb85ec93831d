//! PKCS#12 (RFC 7292): certificates and keys under a password.

use p12_keystore::Pkcs12Archive;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::der_parser::{asn1_rs::FromDer, asn1_rs::Sequence};

use super::{Decoded, Decoder, Form, Known, key, problem};

/// The version of every PFX: an INTEGER of one octet, 3 (RFC 7292, section 4).
const VERSION: [u8; 3] = [0x02, 0x01, 0x03];
/// Passwords of no worth, which are tried after those that were given.
const USUAL: [&str; 2] = ["", "changeit"];

/// Whether it is a sequence that begins with the version of a PFX.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
        && Sequence::from_der(bytes).map_or_else(
            // Half of one is one, too.
            |_| bytes.get(4..7) == Some(&VERSION),
            |(_, sequence)| sequence.content.starts_with(&VERSION),
        )
}

pub(super) fn decode(bytes: &[u8], promised: bool, decoder: &mut Decoder<'_>) -> Decoded {
    let mut why = String::new();
    for password in decoder.passwords.iter().map(String::as_str).chain(USUAL) {
        match Pkcs12Archive::from_pkcs12(bytes, password) {
            Ok(archive) => return of(&archive, &mut decoder.known),
            Err(error) => why = error.to_string(),
        }
    }
    if promised {
        problem(&format!("a PKCS#12 key store that does not open ({why})"))
    } else {
        Decoded::default()
    }
}

fn of(archive: &Pkcs12Archive, known: &mut Known) -> Decoded {
    let mut decoded = Decoded { form: Form::Pkcs12, ..Decoded::default() };
    for (index, bag) in archive.certs.iter().enumerate() {
        match known.read(bag.cert.as_der()) {
            Ok(certificate) => decoded.certificates.push(certificate),
            Err(found) => decoded.problems.push(format!("certificate {}: found {found}", index + 1)),
        }
    }
    for bag in &archive.keys {
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bag.key.as_der()));
        decoded.keys.push(key(&der));
    }
    // Stores keep the leaf wherever they like; people want it first.
    decoded.certificates.sort_by_key(|certificate| certificate.role.is_authority());
    decoded
}
