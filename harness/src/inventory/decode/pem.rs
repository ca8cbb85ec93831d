//! PEM: sections of text (RFC 7468), each decoded by itself, so that a bad one hides no good one.

use rustls::pki_types::{
    PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
    pem::{PemObject, SectionKind},
};

use super::{Decoded, Form, Known, key};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Whether there is a section in it.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    // Almost always it is at the beginning.
    bytes.starts_with(BEGIN.as_bytes()) || (bytes.first() != Some(&0x30) && find(bytes, BEGIN).is_some())
}

pub(super) fn decode(bytes: &[u8], known: &mut Known) -> Decoded {
    let mut decoded = Decoded { form: Form::Pem, ..Decoded::default() };
    let mut rest = bytes;
    let mut number = 0;
    while let Some(begin) = find(rest, BEGIN) {
        number += 1;
        rest = &rest[begin..];
        let after = &rest[BEGIN.len()..];
        // A section ends with its own end, and at the latest where the next one begins.
        let next = find(after, BEGIN).map_or(rest.len(), |next| BEGIN.len() + next);
        let section = &rest[..next];
        let begins = label(after);
        match find(section, END).map(|end| (end, label(&section[end + END.len()..]))) {
            // RFC 7468, section 3: the labels are the same, so one of them is damaged.
            Some((_, ends)) if ends != begins => {
                decoded.problems.push(format!("section {number} begins as {begins} and ends as {ends}"));
            }
            Some((end, _)) => {
                let line = section[end..].iter().position(|byte| *byte == b'\n');
                let whole = line.map_or(section, |line| &section[..=end + line]);
                section_of(whole, &begins, number, known, &mut decoded);
            }
            None => decoded.problems.push(format!("section {number} ({begins}) has no end")),
        }
        rest = &rest[next..];
    }
    decoded
}

fn section_of(text: &[u8], label: &str, number: usize, known: &mut Known, decoded: &mut Decoded) {
    match label {
        "CERTIFICATE" | "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {}
        _ if label.ends_with("PRIVATE KEY") => return decoded.keys.push(None),
        // Parameters, requests, revocation lists, public keys: none of ours.
        _ => return,
    }
    // A key of before PKCS#8 can be encrypted inside of its section.
    if label.ends_with("PRIVATE KEY") && find(text, "ENCRYPTED").is_some() {
        return decoded.keys.push(None);
    }
    let parsed = match <(SectionKind, Vec<u8>)>::from_pem_slice(text) {
        Ok((SectionKind::Certificate, der)) => known.read(&der).map(Some),
        Ok((kind, der)) => {
            decoded.keys.push(private(kind, der).as_ref().and_then(key));
            Ok(None)
        }
        Err(error) => Err(format!("no PEM ({error})")),
    };
    match parsed {
        Ok(certificate) => decoded.certificates.extend(certificate),
        Err(found) => decoded.problems.push(format!("section {number} ({label}): found {found}")),
    }
}

fn private(kind: SectionKind, der: Vec<u8>) -> Option<PrivateKeyDer<'static>> {
    Some(match kind {
        SectionKind::PrivateKey => PrivatePkcs8KeyDer::from(der).into(),
        SectionKind::EcPrivateKey => PrivateSec1KeyDer::from(der).into(),
        SectionKind::RsaPrivateKey => PrivatePkcs1KeyDer::from(der).into(),
        _ => return None,
    })
}

/// What is between `BEGIN` and the five dashes.
fn label(text: &[u8]) -> String {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(64)]);
    line.split("-----").next().unwrap_or_default().trim().escape_debug().to_string()
}

fn find(bytes: &[u8], words: &str) -> Option<usize> {
    memchr::memmem::find(bytes, words.as_bytes())
}
