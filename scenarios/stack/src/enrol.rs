//! Gets certificates from the manager: a new key, a request signed with it, and the answer put into
//! the mount.

use std::sync::Arc;

use notafter::pki::{Credential, PkiError};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde::{Deserialize, Serialize};

use crate::{
    client::{Client, HopError, MANAGER},
    credentials::Mount,
    tls::Trouble,
};

/// What a service asks the manager for. Whom the certificate names is not asked: it is whoever
/// shows the node certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Application {
    /// The mount that it is for, which decides about the authority.
    pub mount: String,
    /// PKCS#10, PEM (RFC 2986).
    pub csr: String,
}

/// What the manager gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// Leaf first, PEM.
    pub chain: String,
    /// The roots to trust, PEM.
    pub bundle: String,
}

/// A key that has no certificate yet. Its `Debug` says nothing.
pub struct Applicant {
    key: KeyPair,
    /// What to send.
    pub application: Application,
}

impl Applicant {
    /// A new key for a mount, and the request for it.
    ///
    /// # Errors
    /// If the provider cannot make one.
    pub fn new(service: &str, mount: &str) -> Result<Self, String> {
        let request = || {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(vec![service.to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, service);
            let csr = params.serialize_request(&key)?.pem()?;
            Ok((key, csr))
        };
        let (key, csr) = request().map_err(|error: rcgen::Error| format!("no key for {mount}: {error}"))?;
        Ok(Self { key, application: Application { mount: mount.into(), csr } })
    }

    /// Puts the key and its certificate into the mount.
    ///
    /// # Errors
    /// If they do not fit each other, or the folder cannot be written.
    pub fn install(&self, mount: &Mount, issued: &Issued) -> Result<(), PkiError> {
        mount.write(&Credential::from_pem(&issued.chain, &self.key.serialize_pem(), &issued.bundle)?)
    }
}

/// Has the manager issue a credential for a mount and puts it there.
///
/// # Errors
/// If the manager cannot be reached, refuses, or what it gave cannot be written.
pub async fn enrol(client: &Client, service: &str, mount: &Arc<Mount>) -> Result<(), HopError> {
    let failed = |words: String| HopError { need: MANAGER.into(), trouble: Trouble::unreachable(words) };
    let applicant = Applicant::new(service, &mount.name).map_err(failed)?;
    let reply = client.post(MANAGER, "/v1/credentials", &applicant.application).await?;
    if !reply.status.is_success() {
        return Err(failed(format!("it gives no credential: {}", reply.reason())));
    }
    let issued: Issued = reply.json().map_err(failed)?;
    applicant.install(mount, &issued).map_err(|error| failed(error.to_string()))
}
