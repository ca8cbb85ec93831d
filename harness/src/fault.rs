//! Faults: one defect each, that can be injected, and whose undo is journaled before.

mod authority;
mod clock;
mod damage;
mod expiry;
mod flaw;
mod restart;
mod revocation;
mod rotation;
mod signing;
mod which;

use std::future::Future;

use futures_util::future::BoxFuture;

pub use authority::{Tier, authority_expired};
pub use clock::{clock_ahead, clock_behind};
pub use damage::{Damage, damage};
pub use expiry::{Expire, expire, expired, expired_unseen, run_out, run_out_unseen};
pub use flaw::{Flaw, flawed};
pub use restart::{rolled_out, withheld};
pub use revocation::{revoked, stale_list};
pub use rotation::{renewed, replaced_at_once, rotated, rotated_in_turn, rotated_restarting};
pub use signing::{signing_key_replaced, signing_key_rotated};
pub use which::Which;

use crate::{
    context::Context,
    error::Result,
    history::{Leaf, Purpose},
    pki::Credential,
    runtime::Ability,
    supervise::Order,
    system::{Reload, Service, System},
};

/// One defect. What it replaces is journaled first, so that healing needs nothing but the journal.
pub trait Fault: Send + Sync {
    /// What it does, as a fragment: `archive's certificate expires`.
    fn describe(&self) -> String;

    /// Abilities that the runtime must have.
    fn needs(&self) -> &'static [Ability] {
        &[Ability::Install]
    }

    /// Injects it; gives what was put where. That it *landed* is proved on the wire by the runner.
    fn inject(&self, context: &Context) -> impl Future<Output = Result<Vec<Injected>>> + Send;
}

/// What a fault put where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Whose mount.
    pub service: String,
    /// Which.
    pub mount: String,
    /// What was put there.
    pub leaf: Leaf,
    /// How it is known to have landed.
    pub shows: Shows,
    /// Last second in which it is valid, where that is within the run: Unix seconds.
    pub ends: Option<i64>,
}

/// How an injection is known to have landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Handshakes show the leaf.
    OnTheWire,
    /// The service says that it found something in the mount that it will not use.
    Rejected,
}

/// [`Fault`] behind a pointer.
pub trait AnyFault: Send + Sync {
    /// See [`Fault::describe`].
    fn describe(&self) -> String;
    /// See [`Fault::needs`].
    fn needs(&self) -> &'static [Ability];
    /// See [`Fault::inject`].
    fn inject<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Vec<Injected>>>;
}

impl<T: Fault> AnyFault for T {
    fn describe(&self) -> String {
        Fault::describe(self)
    }

    fn needs(&self) -> &'static [Ability] {
        Fault::needs(self)
    }

    fn inject<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Vec<Injected>>> {
        Box::pin(Fault::inject(self, context))
    }
}

/// Replaces a credential by a bad one, with the undo journaled before, and gives what it did. `ends` is the
/// last second in which it is valid, where that is within the run.
fn replace(
    context: &Context,
    mount: (String, String),
    credential: &Credential,
    ends: Option<i64>,
) -> Result<Injected> {
    replace_for(context, mount, credential, Purpose::Fault, ends)
}

/// The same for any purpose.
fn replace_for(
    context: &Context,
    (service, mount): (String, String),
    credential: &Credential,
    why: Purpose,
    ends: Option<i64>,
) -> Result<Injected> {
    let was = context.cluster.installed(&service, &mount)?;
    context.journal.will_replace(&service, &mount, &was, credential.leaf())?;
    context.install(&service, &mount, credential, why)?;
    Ok(Injected { service, mount, leaf: credential.leaf().clone(), shows: Shows::OnTheWire, ends })
}

/// Whether somebody is presented what lies in this mount when he calls the service.
fn is_presented(system: &System, service: &Service, mount: &str) -> bool {
    mount == service.serves && system.hops().iter().any(|hop| hop.server == service.name)
}

/// Tells services that read their credentials again at a signal. Those that watch see it by
/// themselves, and those that never do keep what they have.
async fn signal_reload(context: &Context, injected: &[Injected]) -> Result<()> {
    let mut told: Vec<&str> = Vec::new();
    for service in injected.iter().map(|one| one.service.as_str()) {
        let on_signal = context.system().service(service).is_some_and(|one| one.reload == Reload::OnSignal);
        if on_signal && !told.contains(&service) {
            context.cluster.order(service, Order::Reload).await?;
            told.push(service);
        }
    }
    Ok(())
}
