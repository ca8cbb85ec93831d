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
    restarts: Restarts,
}

/// Who is restarted meanwhile, because he reads something at his start only.
enum Restarts {
    Nobody,
    /// Everybody who holds a certificate, one after another for each bundle.
    InTurn,
    /// After each step one group after another, those of a group at once.
    Groups(Vec<Vec<String>>),
}

/// The root and the issuing CA of an authority are replaced, as linkerd's, Istio's and Strimzi's manuals
/// have it: everybody trusts the new root beside the old one, then everybody gets a certificate under the
/// new one, then, `to_the_end`, nobody trusts the old one any more; else the last step has landed when servers
/// present what they got: what a service shows as a client nobody may ever see, if it refuses the server first. Each step is on the wire everywhere
/// before the next; a fresh leaf in each shows that what came with it is in use. Whoever issues does so under
/// the new one before anybody shows it.
pub fn rotated(authority: impl Into<String>, to_the_end: bool) -> Box<dyn AnyFault> {
    Box::new(Rotated { authority: authority.into(), to_the_end, restarts: Restarts::Nobody })
}

/// The same to the end, for those who read their bundle only at their start (etcd-io/etcd#11555): whenever it
/// has changed they are restarted one after another, each ready before the next.
pub fn rotated_in_turn(authority: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(Rotated { authority: authority.into(), to_the_end: true, restarts: Restarts::InTurn })
}

/// The same to the end where clients read bundle and certificate at their start only, as those do that have them in
/// a kubeconfig: after each step these groups are restarted one after another, each ready before the next. What
/// clients show nobody may ever see, so a step has landed when servers present what they got.
pub fn rotated_restarting(authority: impl Into<String>, groups: &[&[&str]]) -> Box<dyn AnyFault> {
    let group = |names: &&[&str]| names.iter().map(ToString::to_string).collect();
    let restarts = Restarts::Groups(groups.iter().map(group).collect());
    Box::new(Rotated { authority: authority.into(), to_the_end: true, restarts })
}

/// An authority is replaced in one step.
struct Replaced {
    authority: String,
}

/// The root, the issuing CA and every certificate under them are replaced in one step, and nobody is restarted:
/// whoever has read the new bundle refuses whoever has not read his new certificate, and the other way round. It has
/// landed when servers present what they got.
pub fn replaced_at_once(authority: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(Replaced { authority: authority.into() })
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
        let Self { authority, to_the_end, restarts } = self;
        let how = match (to_the_end, restarts) {
            (_, Restarts::InTurn) => "to the end, with a restart of one after another for each bundle",
            (_, Restarts::Groups(_)) => {
                "to the end, with a restart of who reads it at the start for each step"
            }
            (true, Restarts::Nobody) => "to the end",
            (false, Restarts::Nobody) => "and the old root stays trusted",
        };
        format!("authority {authority} is rotated, {how}")
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let old = context.pki.authority(&self.authority)?;
        let mut new = old.successor(Overlap::TrustBoth)?;
        let both = new.bundle();
        let mut injected = self.install(context, &Step { issuer: old, trusts: both.clone() }).await?;
        self.taken(context, &injected, Brings::Bundles).await?;
        hand_over(context, &new)?;
        let last = Step { issuer: &new, trusts: both };
        if !self.to_the_end {
            return install_where(context, &last, is_presented).await;
        }
        injected = self.install(context, &last).await?;
        self.taken(context, &injected, Brings::Leaves).await?;
        new.end_overlap()?;
        hand_over(context, &new)?;
        injected = self.install(context, &Step { issuer: &new, trusts: new.bundle() }).await?;
        if !matches!(self.restarts, Restarts::Nobody) {
            self.taken(context, &injected, Brings::Bundles).await?;
        }
        Ok(injected)
    }
}

/// What a step is there for.
#[derive(PartialEq)]
enum Brings {
    Bundles,
    Leaves,
}

impl Rotated {
    /// Every mount of the authority gets a new credential, whoever filled it; gives those that will be seen.
    async fn install(&self, context: &Context, step: &Step<'_>) -> Result<Vec<Injected>> {
        let all = !matches!(self.restarts, Restarts::Groups(_));
        install_where(context, step, |system, service, mount| all || is_at_a_door(system, service, mount))
            .await
    }

    /// The new leaves are on the wire, and what came with them is in use.
    async fn taken(&self, context: &Context, injected: &[Injected], brings: Brings) -> Result<()> {
        landed(context, injected).await?;
        match &self.restarts {
            Restarts::InTurn if brings == Brings::Bundles => {
                let mut holders: Vec<String> = injected.iter().map(|one| one.service.clone()).collect();
                holders.dedup();
                runbook::restart_each(context, &holders).await
            }
            Restarts::Groups(groups) => {
                for group in groups {
                    runbook::restart_together(context, group).await?;
                }
                Ok(())
            }
            Restarts::InTurn | Restarts::Nobody => Ok(()),
        }
    }
}

impl Fault for Replaced {
    fn describe(&self) -> String {
        format!("authority {} is replaced at once, with every certificate under it", self.authority)
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let new = context.pki.authority(&self.authority)?.successor(Overlap::TrustNewOnly)?;
        hand_over(context, &new)?;
        install_where(context, &Step { issuer: &new, trusts: new.bundle() }, is_at_a_door).await
    }
}

/// Whether somebody is presented what lies in this mount when he calls the service, at whichever of its doors.
fn is_at_a_door(system: &System, service: &Service, mount: &str) -> bool {
    let hops = system.hops().into_iter().filter(|hop| hop.server == service.name);
    hops.into_iter()
        .any(|hop| system.entrance(&hop).map_or(mount == service.serves, |(door, _)| door == mount))
}

/// Whoever issues for the authority gets its issuing CA, with the bundle to hand out.
pub(super) fn hand_over(context: &Context, authority: &Authority) -> Result<()> {
    let issues = |issued: &String| issued == authority.name();
    for service in context.system().own().filter(|service| service.issues.iter().any(issues)) {
        let was = context.cluster.issuer(&service.name, authority.name())?;
        let will_be = authority.issuer().credential().leaf();
        context.journal.will_replace_issuer(&service.name, authority.name(), &was, will_be)?;
        context.cluster.install_issuer(&service.name, authority)?;
    }
    Ok(())
}

/// Every mount of the authority gets a new credential, whoever filled it; somebody else's, too, who would be locked
/// out. Gives those that count for the fault, which are all that it waits for.
async fn install_where(
    context: &Context,
    step: &Step<'_>,
    counts: impl Fn(&System, &Service, &str) -> bool,
) -> Result<Vec<Injected>> {
    let (mut all, mut counting) = (Vec::new(), Vec::new());
    for service in &context.system().services {
        let mounts = service.mounts.iter().filter(|(_, mount)| mount.authority == step.issuer.name());
        for (mount, _) in mounts {
            let credential: Credential =
                step.issuer.issue(&context.pki.identity(&service.name, mount), Validity::lasting(LASTING))?;
            let credential = credential.with_bundle(step.trusts.clone());
            let counts = !service.external && counts(context.system(), service, mount);
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
