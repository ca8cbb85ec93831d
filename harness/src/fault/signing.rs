//! The key that signs tokens is replaced: nobody shows a certificate of it, and whoever holds a token that the old one
//! has signed is let in for as long as that is trusted.

use std::time::Duration;

use super::{AnyFault, Fault, Injected, Shows, rotation::hand_over};
use crate::{
    context::Context,
    error::Result,
    history::Purpose,
    landing,
    pki::{Authority, Overlap},
    runbook::{self, Runbook},
    runtime::Ability,
};

/// A server that has been started anew signs with what it has read then.
const SIGNED: Duration = Duration::from_mins(1);

/// Whoever signs tokens gets another key.
struct Signing {
    authority: String,
    /// What people do before they trust the old key no more; none if they never trust both.
    between: Option<Runbook>,
}

/// Whoever signs tokens for an authority gets another key, and is restarted, because it reads that at its start
/// only. The old key is trusted no more, so every token of before is refused.
pub fn signing_key_replaced(authority: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(Signing { authority: authority.into(), between: None })
}

/// The same with overlap: the new key signs while the old one is trusted, then come these steps, in which whoever
/// holds a token gets another one, and then the old key is trusted no more; with a restart for each of the two.
pub fn signing_key_rotated(authority: impl Into<String>, between: Runbook) -> Box<dyn AnyFault> {
    Box::new(Signing { authority: authority.into(), between: Some(between) })
}

impl Fault for Signing {
    fn describe(&self) -> String {
        let how = if self.between.is_some() { "with overlap" } else { "at once" };
        format!("the key of authority {} that signs tokens is replaced {how}", self.authority)
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Install, Ability::Restart]
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let old = context.pki.authority(&self.authority)?;
        let Some(between) = &self.between else {
            return sign_with(context, &old.successor(Overlap::TrustNewOnly)?).await;
        };
        let mut new = old.successor(Overlap::TrustBoth)?;
        let since = context.recorder.clock().now();
        let injected = sign_with(context, &new).await?;
        landing::wait(context, &injected, since, SIGNED).await?;
        between.execute(context, 0).await?;
        new.end_overlap()?;
        sign_with(context, &new).await
    }
}

/// Hands the key to whoever signs with it, and restarts them. That a token was signed with it is seen by the
/// runtime.
async fn sign_with(context: &Context, authority: &Authority) -> Result<Vec<Injected>> {
    let leaf = authority.issuer().credential().leaf().clone();
    let mount = authority.name().to_owned();
    let signs = |issued: &String| *issued == mount;
    let own = context.system().own().filter(|service| service.issues.iter().any(signs));
    let signing: Vec<String> = own.map(|service| service.name.clone()).collect();
    for service in &signing {
        context.will_install(service, &mount, &leaf, Purpose::Fault);
    }
    hand_over(context, authority)?;
    runbook::restart_together(context, &signing).await?;
    let shows = Shows::OnTheWire;
    let injected = signing.into_iter().map(|service| Injected {
        service,
        mount: mount.clone(),
        leaf: leaf.clone(),
        shows,
        ends: None,
    });
    Ok(injected.collect())
}
