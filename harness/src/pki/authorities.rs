//! All authorities of one system.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Authority, Credential, Identity, Validity};
use crate::{
    error::{Error, Result},
    system::System,
};

/// All authorities of one system.
#[derive(Debug)]
pub struct Pki {
    system: String,
    authorities: BTreeMap<String, Authority>,
    addresses: BTreeMap<String, IpAddr>,
}

impl Pki {
    /// Makes every authority that the system names.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn of(system: &System) -> Result<Self> {
        let make = |name: &String| Ok((name.clone(), Authority::new(name)?));
        let authorities = system.authorities.iter().map(make).collect::<Result<_>>()?;
        Ok(Self { system: system.name.clone(), authorities, addresses: BTreeMap::new() })
    }

    /// The same, where services have these addresses: their certificates name them.
    #[must_use]
    pub fn placed(self, addresses: BTreeMap<String, IpAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// Whom the certificates of a service name.
    pub fn identity(&self, service: &str) -> Identity {
        let addresses = self.addresses.get(service).copied().into_iter().collect();
        Identity { addresses, ..Identity::service(service) }
    }

    /// The authority of this name.
    ///
    /// # Errors
    /// If the system has none of this name.
    pub fn authority(&self, name: &str) -> Result<&Authority> {
        self.authorities.get(name).ok_or_else(|| {
            let known = self.authorities.keys().cloned().collect::<Vec<_>>().join(", ");
            Error::usage(format!("system `{}` has no authority `{name}`; it has: {known}", self.system))
        })
    }

    /// A new certificate and key for a service.
    ///
    /// # Errors
    /// If there is no such authority, or it cannot issue.
    pub fn issue(&self, authority: &str, service: &str, validity: Validity) -> Result<Credential> {
        Ok(self.authority(authority)?.issue(&self.identity(service), validity)?)
    }
}
