//! Faults: one defect each, that can be injected, and whose undo is journaled before.

mod expiry;

use std::future::Future;

use futures_util::future::BoxFuture;

pub use expiry::{Expire, Which, expire, run_out};

use crate::{context::Context, error::Result, history::Leaf, runtime::Ability};

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
