//! Who a certificate names, and what for.

use std::net::IpAddr;

/// Who a certificate names, and what for. Nothing is checked: a wrong name is a fault worth having.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Common name of the subject (X.520); shown to people, no TLS stack of today matches it.
    pub common_name: String,
    /// Organization of the subject; to Kubernetes, the group that the client is of.
    pub organization: Option<String>,
    /// DNS names (RFC 5280, 4.2.1.6); ASCII.
    pub dns_names: Vec<String>,
    /// IP addresses (RFC 5280, 4.2.1.6).
    pub addresses: Vec<IpAddr>,
    /// What the key may be used for; none at all leaves the extension out, which allows everything.
    pub usages: Vec<Usage>,
}

/// Purposes of a key in TLS (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Presents itself to those who call it.
    ServerAuth,
    /// Presents itself to those it calls.
    ClientAuth,
}

impl Identity {
    /// A service that is called and calls others: its name as common name and as the only DNS
    /// name, both usages.
    pub fn service(name: &str) -> Self {
        Self {
            common_name: name.into(),
            organization: None,
            dns_names: vec![name.into()],
            addresses: Vec::new(),
            usages: vec![Usage::ServerAuth, Usage::ClientAuth],
        }
    }

    /// Somebody who only calls others: named like a [`Self::service`], but no server.
    pub fn client(name: &str) -> Self {
        Self { usages: vec![Usage::ClientAuth], ..Self::service(name) }
    }
}
