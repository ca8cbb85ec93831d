//! The rotation of an authority: not a defect of a certificate, but what shows the defects of those who
//! reload them.

use std::time::Duration;

use super::{AnyFault, Fault, Injected, Which, is_presented, replace, replace_for, signal_reload};
use crate::{
    context::Context,
    error::Result,
    history::Purpose,
    landing,
    pki::{Authority, Credential, Overlap, Validity},
    runbook,
    system::{Service, System},
};

/// How long everything lasts.
const LASTING: Duration = Duration::from_hours(24);
/// A step that has not landed everywhere by then never does.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// An authority is rotated, by the book.
struct Rotated {
    authority: String,
    to_the_end: bool,
    in_turn: bool,
}

/// The root and the issuing CA of an authority are replaced, as linkerd's, Istio's and Strimzi's manuals
/// have it: everybody trusts the new root beside the old one, then everybody gets a certificate under the
/// new one, then, `to_the_end`, nobody trusts the old one any more; else the last step has landed when servers
/// present what they got: what a service shows as a client nobody may ever see, if it refuses the server first. Each step is on the wire everywhere
/// before the next; a fresh leaf in each shows that what came with it is in use. Whoever issues does so under
/// the new one before anybody shows it.
pub fn rotated(authority: impl Into<String>, to_the_end: bool) -> Box<dyn AnyFault> {
    Box::new(Rotated { authority: authority.into(), to_the_end, in_turn: false })
}

/// The same to the end, for those who read their bundle only at their start (etcd-io/etcd#11555): whenever it
/// has changed they are restarted one after another, each ready before the next.
pub fn rotated_in_turn(authority: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(Rotated { authority: authority.into(), to_the_end: true, in_turn: true })
}

/// Good certificates take the place of good ones.
struct Renewed {
    which: Which,
}

/// Good certificates take the place of good ones, under the same authority. Nothing is wrong with them: it is
/// a defect of their holders that shows.
pub fn renewed(which: Which) -> Box<dyn AnyFault> {
    Box::new(Renewed { which })
}

impl Fault for Renewed {
    fn describe(&self) -> String {
        format!("{} is replaced by another good one", self.which)
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let mut injected = Vec::new();
        for (service, mount) in self.which.targets(context.system()) {
            let authority = context.system().authority_of(&service, &mount)?;
            let credential = context.pki.issue(&authority, &service, &mount, Validity::lasting(LASTING))?;
            injected.push(replace(context, (service, mount), &credential, None)?);
        }
        signal_reload(context, &injected).await?;
        Ok(injected)
    }
}

/// Whose certificates a step issues, and whom its holders trust.
struct Step<'a> {
    issuer: &'a Authority,
    trusts: String,
}

impl Fault for Rotated {
    fn describe(&self) -> String {
        let Self { authority, to_the_end, in_turn } = self;
        let how = match (to_the_end, in_turn) {
            (_, true) => "to the end, with a restart of one after another for each bundle",
            (true, false) => "to the end",
            (false, false) => "and the old root stays trusted",
        };
        format!("authority {authority} is rotated, {how}")
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let old = context.pki.authority(&self.authority)?;
        let mut new = old.successor(Overlap::TrustBoth)?;
        let both = new.bundle();
        let mut injected = install(context, &Step { issuer: old, trusts: both.clone() }).await?;
        self.taken(context, &injected).await?;
        hand_over(context, &new)?;
        let last = Step { issuer: &new, trusts: both };
        if !self.to_the_end {
            return install_where(context, &last, is_presented).await;
        }
        injected = install(context, &last).await?;
        landed(context, &injected).await?;
        new.end_overlap()?;
        hand_over(context, &new)?;
        injected = install(context, &Step { issuer: &new, trusts: new.bundle() }).await?;
        if self.in_turn {
            self.taken(context, &injected).await?;
        }
        Ok(injected)
    }
}

impl Rotated {
    /// The new leaves are on the wire, and the new bundle is in use.
    async fn taken(&self, context: &Context, injected: &[Injected]) -> Result<()> {
        landed(context, injected).await?;
        if !self.in_turn {
            return Ok(());
        }
        let mut holders: Vec<String> = injected.iter().map(|one| one.service.clone()).collect();
        holders.dedup();
        runbook::restart_each(context, &holders).await
    }
}

/// Whoever issues for the authority gets its issuing CA, with the bundle to hand out.
fn hand_over(context: &Context, authority: &Authority) -> Result<()> {
    let issues = |issued: &String| issued == authority.name();
    for service in context.system().own().filter(|service| service.issues.iter().any(issues)) {
        let was = context.cluster.issuer(&service.name, authority.name())?;
        let will_be = authority.issuer().credential().leaf();
        context.journal.will_replace_issuer(&service.name, authority.name(), &was, will_be)?;
        context.cluster.install_issuer(&service.name, authority)?;
    }
    Ok(())
}

/// Every mount of the authority gets a new credential, whoever filled it.
async fn install(context: &Context, step: &Step<'_>) -> Result<Vec<Injected>> {
    install_where(context, step, |_, _, _| true).await
}

/// The same; gives those that count for the fault, which are all that it waits for.
async fn install_where(
    context: &Context,
    step: &Step<'_>,
    counts: impl Fn(&System, &Service, &str) -> bool,
) -> Result<Vec<Injected>> {
    let (mut all, mut counting) = (Vec::new(), Vec::new());
    for service in context.system().own() {
        let mounts = service.mounts.iter().filter(|(_, mount)| mount.authority == step.issuer.name());
        for (mount, _) in mounts {
            let credential: Credential =
                step.issuer.issue(&context.pki.identity(&service.name, mount), Validity::lasting(LASTING))?;
            let credential = credential.with_bundle(step.trusts.clone());
            let counts = counts(context.system(), service, mount);
            let why = if counts { Purpose::Fault } else { Purpose::Companion };
            let one = replace_for(context, (service.name.clone(), mount.clone()), &credential, why, None)?;
            counting.extend(counts.then(|| one.clone()));
            all.push(one);
        }
    }
    signal_reload(context, &all).await?;
    Ok(counting)
}

async fn landed(context: &Context, injected: &[Injected]) -> Result<()> {
    landing::wait(context, injected, context.recorder.clock().now(), STEP_LIMIT).await
}
