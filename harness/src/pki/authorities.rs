//! All authorities of one system.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Authority, Credential, Identity, PkiError, Validity};
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
    /// Whom the certificates of a mount name, where that is not its service.
    named: BTreeMap<(String, String), Identity>,
}

impl Pki {
    /// Makes every authority that the system names.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn of(system: &System) -> Result<Self> {
        Self::made_of(system, Authority::new)
    }

    /// The same, where every authority is a root that signs leaves itself.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn of_roots(system: &System) -> Result<Self> {
        Self::made_of(system, Authority::root)
    }

    fn made_of(system: &System, new: impl Fn(&str) -> Result<Authority, PkiError>) -> Result<Self> {
        let make = |name: &String| Ok((name.clone(), new(name)?));
        let authorities = system.authorities.iter().map(make).collect::<Result<_>>()?;
        let (addresses, named) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { system: system.name.clone(), authorities, addresses, named })
    }

    /// The same, where services have these addresses: their certificates name them.
    #[must_use]
    pub fn placed(self, addresses: BTreeMap<String, IpAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// The same, where the certificates of these mounts, by service and mount, name somebody else.
    #[must_use]
    pub fn named(self, named: BTreeMap<(String, String), Identity>) -> Self {
        Self { named, ..self }
    }

    /// Whom the certificates in a mount of a service name.
    pub fn identity(&self, service: &str, mount: &str) -> Identity {
        if let Some(identity) = self.named.get(&(service.to_owned(), mount.to_owned())) {
            return identity.clone();
        }
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

    /// A new certificate and key for a mount of a service.
    ///
    /// # Errors
    /// If there is no such authority, or it cannot issue.
    pub fn issue(
        &self,
        authority: &str,
        service: &str,
        mount: &str,
        validity: Validity,
    ) -> Result<Credential> {
        Ok(self.authority(authority)?.issue(&self.identity(service, mount), validity)?)
    }
}
