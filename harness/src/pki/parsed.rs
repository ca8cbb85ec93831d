//! Reads certificates, by another implementation than the one that mints them.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Credential, PkiError, text::hex};
use crate::history::Leaf;

/// Which certificate this is: the serial number and the validity of one certificate in DER.
///
/// # Errors
/// If the bytes are not exactly one X.509 certificate.
pub fn leaf_of(der: &[u8]) -> Result<Leaf, PkiError> {
    parse(der).map(|certificate| leaf(&certificate))
}

/// Exactly one certificate.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(PkiError::NotACertificate { found: format!("{} bytes after one", rest.len()) }),
        Err(error) => Err(PkiError::NotACertificate {
            found: format!("{} bytes of something else ({error})", der.len()),
        }),
    }
}

/// The common name in the subject of the leaf of a credential; empty if it has none.
pub(crate) fn common_name_of(credential: &Credential) -> Result<String, PkiError> {
    let certificate = parse(credential.leaf_der())?;
    let name = certificate.subject().iter_common_name().next();
    Ok(name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned())
}

/// The same of a certificate that was parsed already.
pub(crate) fn leaf(certificate: &X509Certificate<'_>) -> Leaf {
    let validity = certificate.validity();
    Leaf {
        serial: hex(without_sign(certificate.raw_serial())),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    }
}

/// An INTEGER in DER has a zero octet in front where the number would look negative.
fn without_sign(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::{Authority, Identity, Validity};

    #[test]
    fn bytes_that_are_not_exactly_one_certificate_are_refused() {
        let authority = Authority::new("mesh").expect("an authority");
        let identity = Identity::service("archive");
        let credential = authority.issue(&identity, Validity::lasting(Duration::ZERO)).expect("a leaf");
        let mut der = credential.chain_der()[0].to_vec();
        assert_eq!(&leaf_of(&der).expect("a leaf"), credential.leaf());
        der.push(0);
        assert!(leaf_of(&der).expect_err("a byte too many").to_string().contains("1 bytes after one"));
        der.truncate(100);
        assert!(
            leaf_of(&der).expect_err("a part of one").to_string().contains("100 bytes of something else")
        );
    }

    #[test]
    fn a_serial_is_written_without_its_sign_and_with_every_digit() {
        assert_eq!(hex(without_sign(&[0, 0x8f, 0x01])), "8f01");
        assert_eq!(hex(without_sign(&[0x0a])), "0a");
        assert_eq!(hex(without_sign(&[0])), "00");
    }
}
