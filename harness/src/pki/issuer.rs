//! Signs leaves: the issuing CA of an authority, in the harness or in a service that holds its key.

use std::{
    fmt,
    path::Path,
    sync::{Arc, LazyLock},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls::crypto::SecureRandom;

use super::{Credential, Identity, PkiError, Usage, Validity, parsed, revocation, text};
use crate::{history::Leaf, service::CHAIN_FILE};

/// Signs leaves. It is parsed once; issuing costs little more than a key and a signature.
pub struct Issuer {
    signer: rcgen::Issuer<'static, KeyPair>,
    credential: Credential,
    /// Whoever trusts what it issues has its certificate already.
    is_root: bool,
}

impl Issuer {
    /// Reads what [`Authority::write_issuer`](super::Authority::write_issuer) wrote: the issuing
    /// certificate (and what a chain needs above it), its key, and the bundle.
    ///
    /// # Errors
    /// As [`Credential::read`]; and if the certificate is no CA's.
    pub fn read(folder: &Path) -> Result<Self, PkiError> {
        let credential = Credential::read(folder)?;
        let is_ca = parsed::parse(credential.leaf_der()).is_ok_and(|certificate| certificate.is_ca());
        if !is_ca {
            return Err(PkiError::Content {
                path: folder.join(CHAIN_FILE),
                expected: "the certificate of an issuing CA",
                found: format!("one that may not issue (serial {})", credential.leaf().serial),
            });
        }
        Self::new(credential)
    }

    /// Signs with the key of a credential whose leaf is an issuing CA.
    pub(super) fn new(credential: Credential) -> Result<Self, PkiError> {
        let serial = &credential.leaf().serial;
        let key = KeyPair::try_from(credential.key().serialized_der());
        let signer = key.and_then(|key| rcgen::Issuer::from_ca_cert_der(credential.leaf_der(), key));
        let signer = signer.map_err(PkiError::minting(format_args!("with the issuing CA {serial}")))?;
        let is_root = parsed::parse(credential.leaf_der()).map(|ca| ca.subject() == ca.issuer())?;
        Ok(Self { signer, credential, is_root })
    }

    /// The issuing CA itself: its certificate, the chain above it, its key, the bundle.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// A new key, and a certificate for it. The bundle of the credential is the issuer's.
    ///
    /// # Errors
    /// If a name is not ASCII, or the operating system has no random bytes.
    pub fn issue(&self, identity: &Identity, validity: Validity) -> Result<Credential, PkiError> {
        let key = KeyPair::generate()
            .map_err(PkiError::minting(format_args!("a key for `{}`", identity.common_name)))?;
        self.certify(identity, validity, Arc::new(key))
    }

    /// A new certificate, with a new serial number, for the key of a credential.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn reissue(
        &self,
        credential: &Credential,
        identity: &Identity,
        validity: Validity,
    ) -> Result<Credential, PkiError> {
        self.certify(identity, validity, Arc::clone(credential.key()))
    }

    /// A list of the leaves that it no longer stands for, PEM, valid for as long as is said.
    ///
    /// # Errors
    /// If the operating system has no random bytes, or the validity ends before it begins.
    pub fn revoke(&self, leaves: &[&Leaf], validity: Validity) -> Result<String, PkiError> {
        revocation::list(&self.signer, leaves, validity)
    }

    fn certify(
        &self,
        identity: &Identity,
        validity: Validity,
        key: Arc<KeyPair>,
    ) -> Result<Credential, PkiError> {
        let serial = serial()?;
        let (not_before, not_after) = validity.unix();
        let which = Leaf { serial: text::hex(serial.as_ref()), not_after, not_before };
        let leaf = leaf_params(identity, validity, serial)?.signed_by(&*key, &self.signer);
        let leaf = leaf.map_err(PkiError::minting(format_args!("`{}`", identity.common_name)))?;
        let minted = Credential::minted(which, leaf.into(), &self.credential, key);
        Ok(if self.is_root { minted.without_intermediates() } else { minted })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.credential).finish()
    }
}

/// A serial number as RFC 5280, 4.1.2.2 wants it: positive, not zero, at most 20 octets. 126 random
/// bits in exactly 16 octets, so that it always reads as 32 digits.
pub(super) fn serial() -> Result<SerialNumber, PkiError> {
    /// The operating system's.
    static RANDOM: LazyLock<&'static dyn SecureRandom> =
        LazyLock::new(|| rustls::crypto::ring::default_provider().secure_random);
    let mut octets = [0; 16];
    RANDOM.fill(&mut octets).map_err(|_| PkiError::Random { what: "a serial number" })?;
    octets[0] = octets[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}

/// A distinguished name with nothing but a common name.
pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// What a leaf says.
pub(super) fn leaf_params(
    identity: &Identity,
    validity: Validity,
    serial: SerialNumber,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity.datetimes();
    params.serial_number = Some(serial);
    params.distinguished_name = common_name(&identity.common_name);
    if let Some(organization) = &identity.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    for name in &identity.dns_names {
        let name =
            name.as_str().try_into().map_err(PkiError::minting(format_args!("the DNS name `{name}`")))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(identity.addresses.iter().copied().map(SanType::IpAddress));
    // Says so in basicConstraints, and brings the subject key identifier along.
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = identity.usages.iter().copied().map(purpose).collect();
    Ok(params)
}

fn purpose(usage: Usage) -> ExtendedKeyUsagePurpose {
    match usage {
        Usage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::pki::{Authority, leaf_of};

    /// 1970-01-01 to 2099-12-31: both forms of a date (`UTCTime` ends with 2049).
    const SECONDS: std::ops::Range<u64> = 0..4_102_444_800;

    proptest! {
        #[test]
        fn any_validity_is_minted_as_asked(from in SECONDS, to in SECONDS, millis in 0_u64..1000) {
            let authority = Authority::new("mesh")?;
            let at = |second| UNIX_EPOCH + Duration::from_secs(second) + Duration::from_millis(millis);
            // Fields set by hand, fractions and all, in either order.
            let validity = Validity { not_before: at(from), not_after: at(to) };
            let credential = authority.issue(&Identity::service("archive"), validity)?;
            let leaf = leaf_of(&credential.chain_der()[0])?;
            prop_assert_eq!(i128::from(leaf.not_before), i128::from(from));
            prop_assert_eq!(i128::from(leaf.not_after), i128::from(to));
            prop_assert_eq!(&leaf, credential.leaf());
        }
    }

    #[test]
    fn serials_are_positive_sixteen_octets_long_and_differ() {
        let serials: Vec<_> = (0..100).map(|_| serial().expect("random bytes").to_bytes()).collect();
        for (index, octets) in serials.iter().enumerate() {
            assert_eq!(octets.len(), 16);
            assert_eq!(octets[0] & 0xc0, 0x40, "neither negative nor shorter: {octets:?}");
            assert!(!serials[..index].contains(octets));
        }
    }

    #[test]
    fn a_leaf_in_place_of_an_issuing_ca_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("mesh").expect("an authority");
        let leaf = authority.issue(&Identity::service("archive"), Validity::lasting(Duration::ZERO));
        leaf.and_then(|leaf| leaf.write(folder.path())).expect("a mount");
        let error = Issuer::read(folder.path()).expect_err("no CA").to_string();
        assert!(error.contains("tls.crt: expected the certificate of an issuing CA"), "{error}");
    }

    #[test]
    fn a_name_that_is_not_ascii_is_refused_by_name() {
        let authority = Authority::new("mesh").expect("an authority");
        let identity = Identity::service("\u{e4}rchive");
        let error = authority.issue(&identity, Validity::lasting(Duration::ZERO)).expect_err("no name");
        assert!(error.to_string().contains("the DNS name `\u{e4}rchive`"), "{error}");
    }
}
