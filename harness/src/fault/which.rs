//! Which credentials a fault is about.

use std::fmt;

use crate::system::System;

/// Which credentials a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that a service presents to those who call it.
    Served(String),
    /// The one in this mount of this service, served or not.
    Mounted(String, String),
    /// The ones that these services present: some of many replicas, for one.
    ServedBy(Vec<String>),
    /// Every mount of every service of one's own: what a container management system that forgot
    /// to renew does.
    All,
}

impl Which {
    /// The mount that a service presents. A name that is not there gets its error, with the names that
    /// are, from the cluster.
    pub(super) fn served(system: &System, name: &str) -> (String, String) {
        let mount = system.service(name).map_or_else(String::new, |service| service.serves.clone());
        (name.to_owned(), mount)
    }

    /// The mounts that are meant.
    pub(super) fn targets(&self, system: &System) -> Vec<(String, String)> {
        match self {
            Self::Served(name) => vec![Self::served(system, name)],
            Self::Mounted(service, mount) => vec![(service.clone(), mount.clone())],
            Self::ServedBy(services) => services.iter().map(|name| Self::served(system, name)).collect(),
            Self::All => system
                .own()
                .flat_map(|service| service.mounts.keys().map(|mount| (service.name.clone(), mount.clone())))
                .collect(),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(service) => write!(f, "the certificate that {service} presents"),
            Self::Mounted(service, mount) => write!(f, "the {mount} certificate of {service}"),
            Self::ServedBy(services) => {
                write!(f, "the certificate of each of {}", crate::words::list(services, 8))
            }
            Self::All => f.write_str("every certificate"),
        }
    }
}
