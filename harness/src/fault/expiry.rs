//! Certificates that end: at once, or while they are in use.

use std::time::{Duration, SystemTime};

use super::{AnyFault, Fault, Injected, Which, replace_for, signal_reload};
use crate::{context::Context, error::Result, history::Purpose, pki::Validity};

/// Leaves, and only the leaves, are expired or about to.
#[derive(Clone, Debug)]
pub struct Expire {
    which: Which,
    /// How long they live on.
    lead: Duration,
    /// How long they have lived already.
    age: Duration,
    /// Whether somebody is there who sees them.
    seen: bool,
}

/// The leaf that `service` presents has expired: `root -> issuing -> leaf`, nothing else is wrong.
pub fn expire(service: impl Into<String>) -> Box<dyn AnyFault> {
    expired(Which::Served(service.into()))
}

/// The leaves have expired.
pub fn expired(which: Which) -> Box<dyn AnyFault> {
    let (lead, age) = (Duration::ZERO, Duration::from_hours(1));
    Box::new(Expire { which, lead, age, seen: true })
}

/// The leaves have expired, and nobody is there who could tell: what a client shows to a server that it has refused
/// before, or to nobody at all. Nothing waits for them to show, so there has to be another fault that does.
pub fn expired_unseen(which: Which) -> Box<dyn AnyFault> {
    let (lead, age) = (Duration::ZERO, Duration::from_hours(1));
    Box::new(Expire { which, lead, age, seen: false })
}

/// The leaves reach their not-after while they are in use: issued `age` ago, they end `lead` from now
/// (up to a second later: certificates end on whole seconds). Nothing else is wrong.
pub fn run_out(which: Which, age: Duration, lead: Duration) -> Box<dyn AnyFault> {
    Box::new(Expire { which, lead, age, seen: true })
}

/// The same as [`run_out`] where nobody is there who could tell, as in [`expired_unseen`].
pub fn run_out_unseen(which: Which, age: Duration, lead: Duration) -> Box<dyn AnyFault> {
    Box::new(Expire { which, lead, age, seen: false })
}

impl Fault for Expire {
    fn describe(&self) -> String {
        let when =
            if self.lead.is_zero() { "has expired".into() } else { format!("expires in {:?}", self.lead) };
        format!("{} {when}", self.which)
    }

    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let validity = self.validity();
        let mut injected = Vec::new();
        for (service, mount) in self.which.targets(context.system()) {
            let authority = context.system().authority_of(&service, &mount)?;
            let credential = context.pki.issue(&authority, &service, &mount, validity)?;
            let ends = Some(credential.leaf().not_after);
            let why = if self.seen { Purpose::Fault } else { Purpose::Companion };
            injected.push(replace_for(context, (service, mount), &credential, why, ends)?);
        }
        signal_reload(context, &injected).await?;
        Ok(if self.seen { injected } else { Vec::new() })
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

fn next_second(at: SystemTime) -> SystemTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let whole = if since.subsec_nanos() == 0 { since.as_secs() } else { since.as_secs() + 1 };
    SystemTime::UNIX_EPOCH + Duration::from_secs(whole)
}
