//! A certificate of an authority ends, and with it whatever stands under it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AnyFault, Fault, Injected, is_presented, replace_for, signal_reload};
use crate::{
    context::Context,
    error::Result,
    history::Purpose,
    pki::{Credential, Identity, Validity},
};

/// How long leaves last.
const LASTING: Duration = Duration::from_hours(24);
/// How long ago it ended: nobody's clock is that wrong.
const AGO: Duration = Duration::from_hours(1);

/// Which certificate of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The one that everybody trusts.
    Root,
    /// The one that signs leaves.
    Issuing,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
        })
    }
}

/// A certificate of an authority has ended.
struct AuthorityExpired {
    authority: String,
    tier: Tier,
}

/// The root of an authority, or its issuing CA, has ended an hour ago, wherever it lies: in the chains and
/// bundles of all who hold a certificate under it, and with whoever issues them. Every leaf is good.
///
/// That it landed is proved by what servers present. What a service shows as a client nobody may ever see:
/// it refuses the server first.
pub fn authority_expired(authority: impl Into<String>, tier: Tier) -> Box<dyn AnyFault> {
    Box::new(AuthorityExpired { authority: authority.into(), tier })
}

impl Fault for AuthorityExpired {
    fn describe(&self) -> String {
        format!("the {} certificate of authority {} has expired", self.tier, self.authority)
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let authority = context.pki.authority(&self.authority)?;
        let issuer = match self.tier {
            Tier::Root => authority.issuer_trusting(authority.root_lasting(Validity::ended(AGO))?)?,
            Tier::Issuing => authority.issuer_lasting(Validity::ended(AGO))?,
        };
        // Who issues comes first: what it issues from now on is as bad.
        let holders = context.system().own().filter(|service| service.issues.contains(&self.authority));
        for service in holders {
            let was = context.cluster.issuer(&service.name, &self.authority)?;
            context.journal.will_replace_issuer(
                &service.name,
                &self.authority,
                &was,
                issuer.credential().leaf(),
            )?;
            context.cluster.install_issuing(&service.name, &self.authority, issuer.credential())?;
        }
        let (mut all, mut presented) = (Vec::new(), Vec::new());
        for service in context.system().own() {
            let mounts = service.mounts.iter().filter(|(_, mount)| mount.authority == self.authority);
            for (mount, _) in mounts {
                let credential: Credential =
                    issuer.issue(&Identity::service(&service.name), Validity::lasting(LASTING))?;
                let is_presented = is_presented(context.system(), service, mount);
                let why = if is_presented { Purpose::Fault } else { Purpose::Companion };
                let at = (service.name.clone(), mount.clone());
                let one = replace_for(context, at, &credential, why, None)?;
                presented.extend(is_presented.then(|| one.clone()));
                all.push(one);
            }
        }
        signal_reload(context, &all).await?;
        Ok(presented)
    }
}
