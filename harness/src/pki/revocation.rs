//! Lists of revoked certificates (RFC 5280, section 5).

use rcgen::{CertificateRevocationListParams, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber};

use super::{PkiError, Validity, issuer::serial, text};
use crate::history::Leaf;

/// The list of one CA, PEM: these leaves, and no other, are revoked from the beginning of its validity on.
pub(super) fn list(
    issuer: &rcgen::Issuer<'_, KeyPair>,
    revoked: &[&Leaf],
    validity: Validity,
) -> Result<String, PkiError> {
    let (this_update, next_update) = validity.datetimes();
    let entry = |leaf: &&Leaf| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&text::octets(&leaf.serial)),
        revocation_time: this_update,
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update,
        next_update,
        crl_number: serial()?,
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params
        .signed_by(issuer)
        .and_then(|list| list.pem())
        .map_err(PkiError::minting("a list of revoked certificates"))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
    use x509_parser::prelude::{CertificateRevocationList, FromDer};

    use crate::pki::{Authority, Identity, Validity, hex};

    #[test]
    fn the_lists_of_an_authority_are_signed_by_its_cas_and_name_what_is_revoked_and_nothing_else() {
        let authority = Authority::new("mesh").expect("an authority");
        let validity = Validity::lasting(std::time::Duration::from_mins(1));
        let leaf = authority.issue(&Identity::client("search"), validity).expect("a leaf");
        let lists = authority.revocation_lists(&[leaf.leaf()], validity).expect("lists");
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(lists.as_bytes())
            .collect::<Result<_, _>>()
            .expect("PEM");
        let revoked: Vec<Vec<String>> = lists
            .iter()
            .map(|der| {
                let (_, list) = CertificateRevocationList::from_der(der).expect("a list");
                list.iter_revoked_certificates().map(|one| hex(one.raw_serial())).collect()
            })
            .collect();
        assert_eq!(revoked, [vec![leaf.leaf().serial.clone()], vec![]]);
    }
}
