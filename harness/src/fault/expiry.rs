//! Certificates that end: at once, or while they are in use.

use std::time::{Duration, SystemTime};

use super::{AnyFault, Fault, Injected};
use crate::{
    context::Context,
    error::Result,
    history::Purpose,
    pki::Validity,
    runtime::Ability,
    supervise::Order,
    system::{Reload, System},
};

/// Which credentials a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that a service presents to those who call it.
    Served(String),
    /// Every mount of every service of one's own: what a container management system that forgot
    /// to renew does.
    All,
}

/// Leaves, and only the leaves, are expired or about to.
#[derive(Clone, Debug)]
pub struct Expire {
    which: Which,
    /// How long they live on.
    lead: Duration,
    /// How long they have lived already.
    age: Duration,
}

/// The leaf that `service` presents has expired: `root -> issuing -> leaf`, nothing else is wrong.
pub fn expire(service: impl Into<String>) -> Box<dyn AnyFault> {
    let (lead, age) = (Duration::ZERO, Duration::from_hours(1));
    Box::new(Expire { which: Which::Served(service.into()), lead, age })
}

/// The leaves reach their not-after while they are in use: issued `age` ago, they end `lead` from now
/// (up to a second later: certificates end on whole seconds). Nothing else is wrong.
pub fn run_out(which: Which, age: Duration, lead: Duration) -> Box<dyn AnyFault> {
    Box::new(Expire { which, lead, age })
}

impl Fault for Expire {
    fn describe(&self) -> String {
        let when =
            if self.lead.is_zero() { "has expired".into() } else { format!("expires in {:?}", self.lead) };
        match &self.which {
            Which::Served(service) => format!("the certificate that {service} presents {when}"),
            Which::All => format!("every certificate {when}"),
        }
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Install]
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let validity = self.validity();
        let mut injected = Vec::new();
        for (service, mount) in self.which.targets(context.system()) {
            let was = context.cluster.installed(&service, &mount)?;
            let authority = context.system().authority_of(&service, &mount)?;
            let credential = context.pki.issue(&authority, &service, validity)?;
            context.journal.will_replace(&service, &mount, &was, credential.leaf())?;
            context.install(&service, &mount, &credential, Purpose::Fault)?;
            injected.push(Injected { service, mount, leaf: credential.leaf().clone() });
        }
        signal_reload(context, injected.iter().map(|one| one.service.as_str())).await?;
        Ok(injected)
    }
}

impl Expire {
    fn validity(&self) -> Validity {
        let now = SystemTime::now();
        let end = if self.lead.is_zero() {
            // Well past: the last second in which it is valid must be over everywhere.
            now - Duration::from_mins(1)
        } else {
            next_second(now + self.lead)
        };
        Validity::between(now - self.age, end)
    }
}

impl Which {
    /// The mounts that are meant.
    fn targets(&self, system: &System) -> Vec<(String, String)> {
        match self {
            Self::Served(name) => {
                // A name that is not there gets its error, with the names that are, from the cluster.
                let mount = system.service(name).map_or_else(String::new, |service| service.serves.clone());
                vec![(name.clone(), mount)]
            }
            Self::All => system
                .own()
                .flat_map(|service| service.mounts.keys().map(|mount| (service.name.clone(), mount.clone())))
                .collect(),
        }
    }
}

/// Tells services that read their credentials again at a signal. Those that watch see it by
/// themselves, and those that never do keep what they have.
async fn signal_reload(context: &Context, services: impl Iterator<Item = &str>) -> Result<()> {
    let mut told: Vec<&str> = Vec::new();
    for service in services {
        let on_signal = context.system().service(service).is_some_and(|one| one.reload == Reload::OnSignal);
        if on_signal && !told.contains(&service) {
            context.cluster.order(service, Order::Reload).await?;
            told.push(service);
        }
    }
    Ok(())
}

fn next_second(at: SystemTime) -> SystemTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let whole = if since.subsec_nanos() == 0 { since.as_secs() } else { since.as_secs() + 1 };
    SystemTime::UNIX_EPOCH + Duration::from_secs(whole)
}
