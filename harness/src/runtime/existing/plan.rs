//! What a defect changes in the objects of a namespace: a pure function, so that a dry run shows exactly what
//! a run does.

use std::{fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::holding::{Edit, Holding, Pair};
use crate::{
    error::Result,
    inventory::{Certificate, Role},
    pki::{Authority, Credential, Identity, PkiError, Usage, Validity},
};

/// How long what should be valid is, and how long ago or ahead what should not be.
const HOUR: Duration = Duration::from_hours(1);
/// How long a certificate lasts whose validity is in order.
const DAY: Duration = Duration::from_hours(24);

/// One thing that can be wrong with the certificates of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// Leaves ended an hour ago; bundles trust who issued them
    Expired,
    /// Leaves begin in an hour; bundles trust who issued them
    NotYetValid,
    /// Leaves name nobody who is called; bundles trust who issued them
    WrongName,
    /// Leaves are by an authority that no bundle has
    UnknownAuthority,
    /// The key is that of another certificate
    TornPair,
    /// The chain ends in the middle
    TruncatedChain,
    /// Bundles hold another authority
    WrongBundle,
    /// Bundles hold nothing
    EmptyBundle,
    /// Webhooks are trusted by another authority
    WrongWebhookBundle,
}

/// An object of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// Which kind.
    pub kind: Kind,
    /// Where it is, unless it belongs to the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// Kinds of objects that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Certificates with their keys, and bundles.
    Secret,
    /// Bundles.
    ConfigMap,
    /// Bundles by which the API server trusts webhooks.
    ValidatingWebhookConfiguration,
    /// The same for webhooks that change objects.
    MutatingWebhookConfiguration,
}

/// What is done to one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub object: Reference,
    /// What of it is changed, for people: `tls.crt: web-of-shop`.
    pub about: Vec<String>,
    /// Its version when it was read; whoever changes it in between makes the change fail.
    pub version: String,
    /// The fields that are changed, as they are; a field that is not there is missing.
    pub was: Value,
    /// The same fields, as they will be.
    pub will_be: Value,
    /// Who owned which field (`metadata.managedFields`).
    pub managers: Value,
}

/// What a defect does, and what it leaves alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is done, by object.
    pub changes: Vec<Change>,
    /// What holds certificates and is left alone, with the reason.
    pub left: Vec<String>,
}

/// What a defect does to objects, each as the API server gives it, with its kind. Of webhooks only those
/// count whose service is in the namespace.
///
/// # Errors
/// If a certificate cannot be minted.
pub fn plan(objects: &[Value], namespace: &str, defect: Defect) -> Result<Plan> {
    let ours = Authority::new("notafter")?;
    let mut plan = Plan::default();
    let mut leaves = false;
    for object in objects {
        let Some(holding) = Holding::of(object, namespace, &mut plan.left) else { continue };
        let mut edit = Edit::default();
        match defect {
            Defect::Expired | Defect::NotYetValid | Defect::WrongName | Defect::UnknownAuthority => {
                for pair in &holding.pairs {
                    match identity(&pair.leaf) {
                        Ok(identity) => edit.replace(pair, &reissued(&ours, identity, defect)?),
                        Err(why) => plan.left.push(format!("{}#{}: {why}", holding.object, pair.chain)),
                    }
                }
                leaves |= !edit.is_empty();
                if defect != Defect::UnknownAuthority {
                    holding.all_bundles().for_each(|(name, pem)| {
                        edit.put(name, "trusts who issued them, too", and(pem, &ours));
                    });
                }
            }
            Defect::TornPair => {
                let other = ours.issue(&Identity::service("notafter"), Validity::lasting(HOUR))?;
                holding.pairs.iter().for_each(|pair| edit.replace_key(pair, other.key_pem()));
            }
            Defect::TruncatedChain => {
                let half =
                    |pair: &Pair| pair.text[..pair.text.floor_char_boundary(pair.text.len() / 2)].to_owned();
                holding.pairs.iter().for_each(|pair| edit.put(&pair.chain, pair.leaf.called(), half(pair)));
            }
            Defect::WrongBundle => {
                holding
                    .stored_bundles()
                    .for_each(|(name, _)| edit.put(name, "another bundle", ours.bundle()));
            }
            Defect::EmptyBundle => {
                holding
                    .stored_bundles()
                    .for_each(|(name, _)| edit.put(name, "an empty bundle", String::new()));
            }
            Defect::WrongWebhookBundle => {
                holding.webhooks().for_each(|(name, _)| edit.put(name, "another bundle", ours.bundle()));
            }
        }
        plan.changes.extend(holding.change(edit));
    }
    // Who trusts somebody more, and nothing else has changed, notices nothing: that is no defect.
    if defect.mints() && !leaves {
        plan.changes.clear();
    }
    plan.changes.sort_by(|one, other| one.object.cmp(&other.object));
    Ok(plan)
}

/// A certificate of ours in place of somebody's, with one thing wrong.
fn reissued(ours: &Authority, identity: Identity, defect: Defect) -> Result<Credential, PkiError> {
    let (name, validity) = match defect {
        Defect::Expired => (None, Validity::ended(HOUR)),
        Defect::NotYetValid => (None, Validity::starting_in(HOUR)),
        // RFC 2606: there is nobody of this name.
        Defect::WrongName => (Some("nobody.invalid"), Validity::lasting(DAY)),
        _ => (None, Validity::lasting(DAY)),
    };
    let identity = match name {
        Some(name) => Identity { usages: identity.usages, ..Identity::service(name) },
        None => identity,
    };
    ours.issue(&identity, validity)
}

/// Whom a certificate names, if one of ours can name the same.
fn identity(leaf: &Certificate) -> Result<Identity, String> {
    let (addresses, names): (Vec<_>, Vec<_>) =
        leaf.names.iter().partition(|name| name.parse::<IpAddr>().is_ok());
    if let Some(other) = names.iter().find(|name| name.contains("://") || name.contains('@')) {
        return Err(format!("it names `{other}`, and only DNS names and addresses can be minted"));
    }
    Ok(Identity {
        common_name: leaf.common_name.as_deref().unwrap_or_default().to_owned(),
        organization: leaf.organization(),
        dns_names: names.into_iter().cloned().collect(),
        addresses: addresses.iter().filter_map(|name| name.parse().ok()).collect(),
        usages: match leaf.role {
            Role::Server => vec![Usage::ServerAuth],
            Role::Client => vec![Usage::ClientAuth],
            _ => vec![Usage::ServerAuth, Usage::ClientAuth],
        },
    })
}

/// A bundle that trusts our authority, too.
fn and(pem: &str, ours: &Authority) -> String {
    let line = if pem.is_empty() || pem.ends_with('\n') { "" } else { "\n" };
    format!("{pem}{line}{}", ours.bundle())
}

impl Defect {
    /// Whether it is in a certificate of ours that bundles are made to trust.
    fn mints(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid | Self::WrongName)
    }
}

/// `secret/shop/web-tls`, as kubectl takes kinds.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name().to_lowercase();
        match &self.namespace {
            Some(namespace) => write!(f, "{kind}/{namespace}/{}", self.name),
            None => write!(f, "{kind}/{}", self.name),
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Secret,
        Self::ConfigMap,
        Self::ValidatingWebhookConfiguration,
        Self::MutatingWebhookConfiguration,
    ];

    /// As objects name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ValidatingWebhookConfiguration => "ValidatingWebhookConfiguration",
            Self::MutatingWebhookConfiguration => "MutatingWebhookConfiguration",
        }
    }

    /// As paths name it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::ValidatingWebhookConfiguration => "validatingwebhookconfigurations",
            Self::MutatingWebhookConfiguration => "mutatingwebhookconfigurations",
        }
    }

    /// The group of the API that has it; none is the core.
    pub fn group(self) -> &'static str {
        if self.is_namespaced() { "" } else { "admissionregistration.k8s.io" }
    }

    /// Whether its objects belong to a namespace.
    pub fn is_namespaced(self) -> bool {
        matches!(self, Self::Secret | Self::ConfigMap)
    }
}
