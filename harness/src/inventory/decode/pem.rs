//! PEM: sections of text (RFC 7468), each decoded by itself, so that a bad one hides no good one.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use rustls::pki_types::{
    PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
    pem::{PemObject, SectionKind},
};

use super::{Decoded, Form, Known, key};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
/// What looks for them, made once: most files have nothing else to be looked for.
static BEGINS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BEGIN));
static ENDS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(END));

/// Whether there is a section in it.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    // Almost always it is at the beginning.
    bytes.starts_with(BEGIN.as_bytes()) || (bytes.first() != Some(&0x30) && BEGINS.find(bytes).is_some())
}

/// Where nothing was promised, a damaged section is only a problem if it looks like one that was whole:
/// whoever explains PEM, or makes it, writes its labels too.
pub(super) fn decode(bytes: &[u8], promised: bool, known: &mut Known) -> Decoded {
    let mut decoded = Decoded { form: Form::Pem, ..Decoded::default() };
    let mut rest = bytes;
    let mut number = 0;
    while let Some(begin) = BEGINS.find(rest) {
        number += 1;
        rest = &rest[begin..];
        let after = &rest[BEGIN.len()..];
        // A section ends with its own end, and at the latest where the next one begins.
        let next = BEGINS.find(after).map_or(rest.len(), |next| BEGIN.len() + next);
        let section = &rest[..next];
        let begins = label(after);
        let plausible = promised || (ours(&begins) && begins_whole(after));
        let read = match ENDS.find(section).map(|end| (end, label(&section[end + END.len()..]))) {
            // RFC 7468, section 3: the labels are the same, so one of them is damaged.
            Some((_, ends)) if ends != begins => {
                Err(format!("section {number} begins as {begins} and ends as {ends}"))
            }
            Some((end, _)) => {
                let line = section[end..].iter().position(|byte| *byte == b'\n');
                let whole = line.map_or(section, |line| &section[..=end + line]);
                section_of(whole, &begins, plausible, known, &mut decoded)
                    .map_err(|found| format!("section {number} ({begins}): found {found}"))
            }
            None => Err(format!("section {number} ({begins}) has no end")),
        };
        decoded.problems.extend(read.err().filter(|_| plausible));
        rest = &rest[next..];
    }
    decoded
}

/// Whether a section of this label is a certificate or a private key. Parameters, requests, revocation
/// lists and public keys are none of ours.
fn ours(label: &str) -> bool {
    label == "CERTIFICATE" || label.ends_with("PRIVATE KEY")
}

/// Whether the first line below a label is a whole line of base64 (RFC 7468, section 2, has 64), or the
/// header of a key under a password.
fn begins_whole(after: &[u8]) -> bool {
    let Some(line) = after.split(|byte| *byte == b'\n').nth(1) else { return false };
    let line = line.trim_ascii();
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    (line.len() >= 60 && line.iter().all(base64)) || line.starts_with(b"Proc-Type:")
}

fn section_of(
    text: &[u8],
    label: &str,
    plausible: bool,
    known: &mut Known,
    decoded: &mut Decoded,
) -> Result<(), String> {
    match label {
        "CERTIFICATE" | "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {}
        _ if ours(label) && plausible => {
            decoded.keys.push(None);
            return Ok(());
        }
        _ => return Ok(()),
    }
    // A key of before PKCS#8 can be encrypted inside of its section.
    if label != "CERTIFICATE" && plausible && memmem::find(text, b"ENCRYPTED").is_some() {
        decoded.keys.push(None);
        return Ok(());
    }
    match <(SectionKind, Vec<u8>)>::from_pem_slice(text) {
        Ok((SectionKind::Certificate, der)) => decoded.certificates.push(known.read(&der)?),
        Ok((kind, der)) => {
            let key = private(kind, der).as_ref().and_then(key);
            // One that nobody here knows is one all the same, but for an example of documentation.
            if key.is_some() || plausible {
                decoded.keys.push(key);
            }
        }
        Err(error) => return Err(format!("no PEM ({error})")),
    }
    Ok(())
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
