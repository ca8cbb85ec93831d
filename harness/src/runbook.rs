//! Repair as typed steps: executed by the harness, and read by people, from the same value.

mod starting;

use std::{collections::HashSet, fmt, time::Duration};

use serde_json::json;

pub(crate) use starting::{restart_each, restart_together};

use crate::{
    context::Context,
    error::{Error, Result},
    fault::Damage,
    history::{Alert, AlertRule, Purpose, StepKind, Tail, What},
    pki::{Credential, Files, Manner, Validity},
    sightings::Sightings,
    supervise::Order,
    system::{Filled, Mount, Span},
};

/// Missed work may be hours of it.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// Repair steps, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runbook {
    steps: Vec<Step>,
}

/// One repair step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Find out which certificates in use have expired or are about to.
    Identify,
    /// Let people take as long as they took in the incident.
    Wait {
        /// What they do meanwhile.
        title: String,
        /// For how long.
        span: Span,
    },
    /// Reissue every credential of a service that people install, with a new key, and install it.
    Rotate {
        /// Whose.
        service: String,
    },
    /// Give whoever issues for an authority a good issuing CA under a good root.
    RenewAuthority {
        /// Which.
        authority: String,
    },
    /// Reissue the credential that a service presents, with a new key, and put it into its mount in this
    /// manner. Nobody is told: whether the service sees it is the question.
    Renew {
        /// Whose.
        service: String,
        /// How its files take the place of the old ones.
        manner: Manner,
    },
    /// The same in a hurry: the key that is put beside the new certificate is another one's. A service should
    /// go on with what it has, and say so.
    RenewWithWrongKey {
        /// Whose.
        service: String,
    },
    /// Put the clock of a service right.
    SetClock {
        /// Whose.
        service: String,
    },
    /// Restart services one after another, each ready before the next.
    RestartEach {
        /// Which, in this order.
        services: Vec<String>,
    },
    /// Restart services all at once, and wait until all are ready.
    RestartAll {
        /// Which.
        services: Vec<String>,
    },
    /// Stop everything and start it in an order, each ready before the next; if one does not come
    /// up, think, and try the next order.
    TryOrders {
        /// The orders that are tried, until one works.
        orders: Vec<Vec<String>>,
        /// How long people think after a failure.
        think: Span,
    },
    /// Ask a service to do missed work again: `POST path`.
    Ask {
        /// What people call it.
        title: String,
        /// Who is asked.
        service: String,
        /// The path, beginning with a slash.
        path: String,
    },
    /// Ask a service to restart what nobody else has charge of, as somebody who works with the system: `POST path`.
    AskForRestart {
        /// What people call it.
        title: String,
        /// Who is asked.
        service: String,
        /// The path, beginning with a slash.
        path: String,
    },
}

impl Runbook {
    /// Nothing to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// People take their time: this much, for that.
    #[must_use]
    pub fn wait(self, title: impl Into<String>, span: Duration) -> Self {
        self.then(Step::Wait { title: title.into(), span: Span(span) })
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Executes all steps. `first` is the number of the first one in this run.
    ///
    /// # Errors
    /// The step that failed, and why; those behind it are not done.
    pub async fn execute(&self, context: &Context, first: u32) -> Result<()> {
        for (number, step) in (first..).zip(&self.steps) {
            let title = step.to_string();
            context.recorder.record(What::StepBegan {
                step: number,
                title: title.clone(),
                kind: step.kind(),
            });
            let done = step.execute(context).await;
            let error = done.as_ref().err().map(ToString::to_string);
            context.recorder.record(What::StepEnded { step: number, error });
            done.map_err(|error| Error::new(format!("repair step {number}, {title}")).because(error))?;
        }
        Ok(())
    }
}

impl Step {
    fn kind(&self) -> StepKind {
        match self {
            Self::Identify => StepKind::Diagnose,
            Self::Wait { .. } => StepKind::Pace,
            Self::Rotate { .. }
            | Self::RenewAuthority { .. }
            | Self::Renew { .. }
            | Self::RenewWithWrongKey { .. } => StepKind::Rotate,
            Self::SetClock { .. } => StepKind::SetClock,
            Self::RestartEach { .. }
            | Self::RestartAll { .. }
            | Self::TryOrders { .. }
            | Self::AskForRestart { .. } => StepKind::Restart,
            Self::Ask { .. } => StepKind::RecoveryRun,
        }
    }

    async fn execute(&self, context: &Context) -> Result<()> {
        match self {
            Self::Identify => identify(context),
            Self::Wait { span, .. } => {
                tokio::time::sleep(span.0).await;
                Ok(())
            }
            Self::Rotate { service } => rotate(context, service),
            Self::RenewAuthority { authority } => renew_authority(context, authority),
            Self::Renew { service, manner } => renew(context, service, *manner, |good, _| good.files()),
            Self::RenewWithWrongKey { service } => {
                renew(context, service, Manner::Swap, |good, other| Damage::KeyOfAnother.files(good, other))
            }
            Self::SetClock { service } => context.set_clock(service, 0),
            Self::RestartEach { services } => starting::restart_each(context, services).await,
            Self::RestartAll { services } => starting::restart_all(context, services).await,
            Self::TryOrders { orders, think } => starting::try_orders(context, orders, think.0).await,
            Self::Ask { service, path, .. } | Self::AskForRestart { service, path, .. } => {
                ask(context, service, path).await
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identify => write!(f, "identify the certificates that ended or are about to"),
            Self::Wait { title, .. } | Self::Ask { title, .. } | Self::AskForRestart { title, .. } => {
                f.write_str(title)
            }
            Self::Rotate { service } => write!(f, "reissue and install the certificate of {service}"),
            Self::RenewAuthority { authority } => {
                write!(f, "give a good issuing CA to whoever issues for authority {authority}")
            }
            Self::Renew { service, manner } => {
                let how = match manner {
                    Manner::Swap => "swapped as a folder",
                    Manner::Rename => "moved over the old ones one by one",
                    Manner::InPlace => "written where the old ones are",
                };
                write!(f, "renew the certificate of {service}: new files, {how}")
            }
            Self::RenewWithWrongKey { service } => {
                write!(f, "renew the certificate of {service}, with the key of another one by mistake")
            }
            Self::SetClock { service } => write!(f, "put the clock of {service} right"),
            Self::RestartEach { services } => {
                write!(f, "restart one after another: {}", services.join(", "))
            }
            Self::RestartAll { services } => write!(f, "restart all at once: {}", services.join(", ")),
            Self::TryOrders { orders, .. } => {
                write!(f, "stop everything, start it in one order after another ({} in mind)", orders.len())
            }
        }
    }
}

/// Looks at every certificate that is in use on the wire. There must be one to complain about.
fn identify(context: &Context) -> Result<()> {
    let mut sightings = Sightings::new(context.system());
    let mut told = HashSet::new();
    Tail::from_start(&context.recorder).look(|event| {
        sightings.take(event);
        if let What::Alert(Alert { rule: AlertRule::Expiry, leaf: Some(leaf), .. }) = &event.what {
            told.insert(leaf.clone());
        }
    });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let ending = sightings.all().filter(|(_, sighting)| {
        let leaf = &sighting.leaf;
        // Whoever was told of one looks at it. Else it is worth a look past the middle of its life; renewal is
        // due at two thirds.
        told.contains(leaf) || now - leaf.not_before > (leaf.not_after - leaf.not_before) / 2
    });
    if ending.count() == 0 {
        return Err(Error::new("no certificate in use has ended or is about to: something else is wrong"));
    }
    Ok(())
}

fn rotate(context: &Context, service: &str) -> Result<()> {
    let known = context.system().service(service).ok_or_else(|| {
        Error::usage(format!("system `{}` has no service `{service}`", context.system().name))
    })?;
    for (name, mount) in known.mounts.iter().filter(|(_, mount)| mount.filled == Filled::Beforehand) {
        let validity = Validity::lasting(Duration::from_hours(24));
        let credential = context.pki.issue(&mount.authority, service, name, validity)?;
        context.install(service, name, &credential, Purpose::Repair)?;
    }
    Ok(())
}

/// The bundles of those who fill their mounts by themselves are laid out as before their first start: without
/// trust in the issuer nobody gets anything from it.
fn renew_authority(context: &Context, name: &str) -> Result<()> {
    let authority = context.pki.authority(name)?;
    for service in context.system().own() {
        if service.issues.iter().any(|issued| issued == name) {
            context.cluster.install_issuer(&service.name, authority)?;
        }
        let by_itself = |mount: &&Mount| mount.authority == name && mount.filled == Filled::ByItself;
        for (mount, _) in service.mounts.iter().filter(|(_, mount)| by_itself(mount)) {
            context.cluster.empty_mount(&service.name, mount, &authority.bundle())?;
        }
    }
    Ok(())
}

/// Writes what `files` makes of a new credential, and of another one.
fn renew(
    context: &Context,
    service: &str,
    manner: Manner,
    files: impl Fn(&Credential, &Credential) -> Files,
) -> Result<()> {
    let serves = context.system().service(service).map_or_else(String::new, |one| one.serves.clone());
    let authority = context.system().authority_of(service, &serves)?;
    let issue =
        || context.pki.issue(&authority, service, &serves, Validity::lasting(Duration::from_hours(24)));
    let credential = issue()?;
    context.will_install(service, &serves, credential.leaf(), Purpose::Repair);
    context.cluster.write_files(service, &serves, &files(&credential, &issue()?), manner)
}

async fn ask(context: &Context, service: &str, path: &str) -> Result<()> {
    let failed = |why: String| Error::new(format!("POST {service}{path}: {why}"));
    let client = context.client.patient(ASK_LIMIT);
    let asked = client.request(&hyper::Method::POST, service, path, Some(&json!({}))).await;
    match asked.map_err(|failure| failed(failure.words))? {
        (status, _) if status.is_success() => Ok(()),
        (status, body) => Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body)))),
    }
}

/// Starts everything for the first time, all at once, in the order in which the system lists it.
///
/// # Errors
/// If a service cannot be started.
pub(crate) async fn start_everything(context: &Context) -> Result<()> {
    let starts = context.system().services.iter().map(|one| context.cluster.order(&one.name, Order::Start));
    futures_util::future::try_join_all(starts).await.map(drop)
}
