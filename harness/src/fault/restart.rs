//! What a service meets at its start.

use std::time::Duration;

use super::{AnyFault, Fault, Injected, Shows, Which};
use crate::{
    context::Context, error::Result, history::Purpose, pki::Validity, runtime::Ability, supervise::Order,
};

/// How long everything lasts.
const LASTING: Duration = Duration::from_hours(24);

/// Another fault, and a restart of a service with it.
struct RolledOut {
    fault: Box<dyn AnyFault>,
    service: String,
}

/// The credential that a service presents is not there when it starts.
struct Withheld {
    service: String,
}

/// The fault, and a restart of `service` right after, as where a roll-out brings what is bad: it is in use
/// even where credentials are read at the start only.
pub fn rolled_out(fault: Box<dyn AnyFault>, service: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(RolledOut { fault, service: service.into() })
}

/// `service` is restarted while the credential that it presents is not there yet: a secret that comes later
/// than the pod which mounts it (openchoreo/openchoreo#1055). Its bundle is there.
pub fn withheld(service: impl Into<String>) -> Box<dyn AnyFault> {
    Box::new(Withheld { service: service.into() })
}

impl Fault for RolledOut {
    fn describe(&self) -> String {
        format!("{}, and {} is restarted", self.fault.describe(), self.service)
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Install, Ability::Restart]
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let injected = self.fault.inject(context).await?;
        context.cluster.order(&self.service, Order::Restart).await?;
        Ok(injected)
    }
}

impl Fault for Withheld {
    fn describe(&self) -> String {
        format!("{} is restarted before the certificate that it presents is there", self.service)
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Install, Ability::Restart]
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let (service, mount) = Which::served(context.system(), &self.service);
        let authority = context.system().authority_of(&service, &mount)?;
        // The one that does not come: what it names is what nobody sees.
        let missing = context.pki.issue(&authority, &service, &mount, Validity::lasting(LASTING))?;
        let was = context.cluster.installed(&service, &mount)?;
        context.journal.will_replace(&service, &mount, &was, missing.leaf())?;
        context.will_install(&service, &mount, missing.leaf(), Purpose::Fault);
        context.cluster.empty_mount(&service, &mount, was.bundle_pem())?;
        context.cluster.order(&service, Order::Restart).await?;
        let leaf = missing.leaf().clone();
        Ok(vec![Injected { service, mount, leaf, shows: Shows::Rejected, ends: None }])
    }
}
