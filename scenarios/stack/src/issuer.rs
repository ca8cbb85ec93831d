//! Signs the certificates that services ask for, with the issuing keys that the manager holds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notafter::pki;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use time::OffsetDateTime;

use crate::{clock, enrol::Issued, wait};

/// The issuing CAs of some authorities.
#[derive(Debug)]
pub struct Issuers {
    folders: BTreeMap<String, PathBuf>,
    lifetime: Duration,
    cache: Option<Mutex<BTreeMap<String, Arc<Issuing>>>>,
}

/// One issuing CA as it was read.
struct Issuing {
    chain: String,
    bundle: String,
    not_after: OffsetDateTime,
    signer: rcgen::Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Issuing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuing").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Issuers {
    /// Issuers whose certificates live for `lifetime`. What is in a folder is read each time, so
    /// that an authority can be rotated under a running manager; with `caches`, once.
    pub fn new(folders: BTreeMap<String, PathBuf>, lifetime: Duration, caches: bool) -> Self {
        Self { folders, lifetime, cache: caches.then(Mutex::default) }
    }

    /// Signs the key of a request for `name`: from now on for a lifetime, but not longer than the
    /// issuer itself. Nothing else is taken from the request.
    ///
    /// # Errors
    /// If the authority is not one of these, its folder cannot be read, or the request is none.
    pub fn issue(&self, authority: &str, name: &str, csr: &str) -> Result<Issued, String> {
        let issuing = self.issuing(authority)?;
        let request =
            CertificateSigningRequestParams::from_pem(csr).map_err(|error| format!("no request: {error}"))?;
        let sign = || {
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_before = clock::now();
            params.not_after = (params.not_before + self.lifetime).min(issuing.not_after);
            params.serial_number = Some(serial());
            params.is_ca = IsCa::ExplicitNoCa;
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            params.signed_by(&request.public_key, &issuing.signer)
        };
        let leaf = sign().map_err(|error: rcgen::Error| format!("cannot sign for `{name}`: {error}"))?;
        Ok(Issued { chain: leaf.pem() + &issuing.chain, bundle: issuing.bundle.clone() })
    }

    fn issuing(&self, authority: &str) -> Result<Arc<Issuing>, String> {
        let folder =
            self.folders.get(authority).ok_or_else(|| format!("it does not issue for `{authority}`"))?;
        let Some(cache) = &self.cache else { return Ok(Arc::new(read(folder)?)) };
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issuing) = cache.get(authority) {
            return Ok(issuing.clone());
        }
        let issuing = Arc::new(read(folder)?);
        cache.insert(authority.into(), issuing.clone());
        Ok(issuing)
    }
}

fn read(folder: &Path) -> Result<Issuing, String> {
    // Checks what is in the folder: that the key fits, and that it may issue.
    let issuer = pki::Issuer::read(folder).map_err(|error| error.to_string())?;
    let credential = issuer.credential();
    let chain = credential.chain_pem().to_owned();
    let signer = KeyPair::from_pem(credential.key_pem())
        .and_then(|key| rcgen::Issuer::from_ca_cert_pem(&chain, key))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let not_after = OffsetDateTime::from_unix_timestamp(credential.leaf().not_after);
    let not_after = not_after.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(Issuing { not_after, bundle: credential.bundle_pem().to_owned(), chain, signer })
}

/// Random and positive (RFC 5280, 4.1.2.2).
fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = wait::random();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}
