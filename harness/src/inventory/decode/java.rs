//! Java's own key stores, JKS and JCEKS, which `keytool` wrote until Java 9. Certificates lie open in
//! them, so that no password is needed; private keys do not, and are known by theirs.
//!
//! No crate reads them that a broken file cannot bring down: the one that there is asks for as much
//! memory as a count in the file says.

use super::{Decoded, Form, Known};

/// How such a file begins: JKS and JCEKS.
const MAGIC: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];
/// The kinds of entries.
const PRIVATE_KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
const SECRET_KEY: u32 = 3;
/// What is behind the last entry: a SHA-1 of everything and of the password.
const DIGEST: usize = 20;
/// What a person must know of a store that is read in part.
const BEHIND: &str = "what lies behind it is not read; `keytool -list` shows it";
/// In version 1 a certificate does not say of which type it is.
const VERSION_1: u32 = 1;

/// Whether it begins like one.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    MAGIC.iter().any(|magic| bytes.starts_with(magic))
}

pub(super) fn decode(bytes: &[u8], known: &mut Known) -> Decoded {
    let mut decoded = Decoded { form: Form::Java, ..Decoded::default() };
    if let Err(why) = read(&mut Rest(&bytes[MAGIC[0].len()..]), known, &mut decoded) {
        decoded.problems.push(format!("a Java key store that {why}"));
    }
    // Entries are in no order; people want the leaf first.
    decoded.certificates.sort_by_key(|certificate| certificate.role.is_authority());
    decoded
}

/// Reads all entries, or those before one that does not read.
fn read(rest: &mut Rest<'_>, known: &mut Known, decoded: &mut Decoded) -> Result<(), String> {
    let version = rest.number()?;
    let entries = rest.number()?;
    for entry in 1..=entries {
        let kind = rest.number()?;
        let alias = rest.short_text()?;
        // When it was made, milliseconds.
        rest.take(8)?;
        let certificates = match kind {
            PRIVATE_KEY => {
                rest.long_text()?;
                rest.number()?
            }
            CERTIFICATE => 1,
            // It is an object of Java, whose end only Java finds.
            SECRET_KEY => return Err(format!("has a secret key as entry {entry} of {entries}; {BEHIND}")),
            _ => return Err(format!("has an entry {entry} of {entries} of no known kind; {BEHIND}")),
        };
        let before = decoded.certificates.len();
        for _ in 0..certificates {
            if version != VERSION_1 {
                rest.short_text()?;
            }
            let der = rest.long_text()?;
            match known.read(der) {
                Ok(certificate) => decoded.certificates.push(certificate),
                Err(found) => decoded.problems.push(format!("alias `{alias}`: found {found}")),
            }
        }
        if kind == PRIVATE_KEY {
            // The first certificate of its chain is its own.
            decoded.keys.push(decoded.certificates.get(before).map(|own| own.key));
        }
    }
    if rest.0.len() == DIGEST { Ok(()) } else { Err(format!("does not end behind its {entries} entries")) }
}

/// What is not read yet. Lengths and numbers are big-endian.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or("ends within an entry; it is damaged or cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, String> {
        let octets = self.take(4)?;
        Ok(octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    /// With its length in two octets before it.
    fn short_text(&mut self) -> Result<String, String> {
        let octets = self.take(2)?;
        let length = usize::from(octets[0]) << 8 | usize::from(octets[1]);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// With its length in four octets before it.
    fn long_text(&mut self) -> Result<&'a [u8], String> {
        let length = self.number()?;
        self.take(length as usize)
    }
}
