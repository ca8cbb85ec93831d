//! Credentials that make sense and have one thing wrong with them.

use std::time::Duration;

use super::{AnyFault, Fault, Injected, Which, replace, signal_reload};
use crate::{
    context::Context,
    error::Result,
    pki::{Authority, Credential, Identity, Overlap, Usage, Validity},
};

/// How long everything lasts that is not to end.
const LASTING: Duration = Duration::from_hours(24);
/// How long ago, or how far ahead: nobody's clock is that wrong.
const FAR: Duration = Duration::from_hours(1);

/// The one thing that is wrong with a credential. The chain is `root -> issuing -> leaf`, and each variant
/// says which of them, or of what its holder trusts, it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The leaf begins in an hour, as where a node's clock is behind (istio/istio#32176).
    LeafNotYetValid,
    /// The leaf is good, the issuing CA has ended: monitors that look at leaves stay green
    /// (joe-elliott/cert-exporter#52).
    IssuingExpired,
    /// The leaf is good and the issuing CA ends in this time; a leaf cannot outlive it (spiffe/spire#1266).
    IssuingEndsIn(Duration),
    /// The root in the holder's own bundle has ended. Verifiers disagree about it: RFC 5280, 6.1.1 (d)
    /// trusts a name and a key.
    RootExpired,
    /// The chain carries the root as a root of before has signed it, and that has ended; the direct path
    /// is good. The end of DST Root X3 on 30 September 2021.
    CrossSignExpired,
    /// The leaf names another service (RFC 9525).
    WrongName,
    /// The leaf is for clients only (RFC 5280, 4.2.1.12).
    WrongPurpose,
    /// The issuing CA is not in the chain (RFC 8446, 4.4.2).
    MissingIntermediate,
    /// The leaf is of the next root, which its holder trusts and nobody else does yet.
    IssuerRotatedBeforeTrust,
    /// The holder trusts the next root alone while everybody still shows leaves of the old one
    /// (linkerd/linkerd2#4287: 12 minutes).
    OldRootPulledEarly,
}

/// A credential with one flaw takes the place of a good one.
struct Flawed {
    which: Which,
    flaw: Flaw,
}

/// A credential with this flaw, freshly issued, takes the place of a good one.
pub fn flawed(which: Which, flaw: Flaw) -> Box<dyn AnyFault> {
    Box::new(Flawed { which, flaw })
}

impl Fault for Flawed {
    fn describe(&self) -> String {
        let Self { which, flaw } = self;
        match flaw {
            Flaw::LeafNotYetValid => format!("{which} is not yet valid"),
            Flaw::IssuingExpired => format!("{which} is under an issuing CA that has expired"),
            Flaw::IssuingEndsIn(left) => format!("{which} is under an issuing CA that expires in {left:?}"),
            Flaw::RootExpired => format!("a root that has expired is trusted with {which}"),
            Flaw::CrossSignExpired => format!("{which} comes with a cross-signed root that has expired"),
            Flaw::WrongName => format!("{which} names another service"),
            Flaw::WrongPurpose => format!("{which} is for clients only"),
            Flaw::MissingIntermediate => format!("{which} comes without the issuing CA"),
            Flaw::IssuerRotatedBeforeTrust => format!("{which} is of a root that nobody else trusts yet"),
            Flaw::OldRootPulledEarly => format!("the root of the others is no longer trusted with {which}"),
        }
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let mut injected = Vec::new();
        for (service, mount) in self.which.targets(context.system()) {
            let authority = context.system().authority_of(&service, &mount)?;
            let (credential, ends) =
                self.flaw.mint(context.pki.authority(&authority)?, context.pki.identity(&service, &mount))?;
            injected.push(replace(context, (service, mount), &credential, ends)?);
        }
        signal_reload(context, &injected).await?;
        Ok(injected)
    }
}

impl Flaw {
    /// A credential with this flaw, and the last second in which it is valid where that is within a run.
    fn mint(self, authority: &Authority, identity: Identity) -> Result<(Credential, Option<i64>)> {
        let lasting = Validity::lasting(LASTING);
        let good = || authority.issue(&identity, lasting);
        let under = |issuing: Validity| -> Result<_> {
            let credential = authority.issuer_lasting(issuing)?.issue(&identity, lasting)?;
            Ok((credential, Some(issuing.last_second())))
        };
        let credential = match self {
            Self::IssuingExpired => return under(Validity::ended(FAR)),
            Self::IssuingEndsIn(left) => return under(Validity::ending_in(left)),
            Self::LeafNotYetValid => authority.issue(&identity, Validity::starting_in(FAR))?,
            Self::RootExpired => good()?.with_bundle(authority.root_lasting(Validity::ended(FAR))?),
            Self::CrossSignExpired => {
                authority.issuer_cross_signed(Validity::ended(FAR))?.issue(&identity, lasting)?
            }
            Self::WrongName => {
                let names = identity.dns_names.iter().map(|name| format!("not-{name}")).collect();
                let other = Identity { dns_names: names, addresses: Vec::new(), ..identity };
                authority.issue(&other, lasting)?
            }
            Self::WrongPurpose => {
                authority.issue(&Identity { usages: vec![Usage::ClientAuth], ..identity }, lasting)?
            }
            Self::MissingIntermediate => good()?.without_intermediates(),
            Self::IssuerRotatedBeforeTrust => {
                authority.successor(Overlap::TrustBoth)?.issue(&identity, lasting)?
            }
            Self::OldRootPulledEarly => {
                good()?.with_bundle(authority.successor(Overlap::TrustNewOnly)?.bundle())
            }
        };
        Ok((credential, None))
    }
}
