//! Looks at the certificates of a running cluster as `notafter watch` does, and tells when one is due.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    clock::micros,
    error::Result,
    history::{Alert, AlertRule, Leaf, Recorder, What},
    inventory::{
        Certificate, Inventory, Level, Owners, Role,
        cluster::{self, Member},
        endpoint,
    },
    runtime::Cluster,
    system::Span,
    words,
};

/// An alert on certificates that near their end: what `notafter watch` sees, on disk and on the wire, judged
/// by the levels of `notafter alerts`. Somebody is told at [`Level::Page`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpiryAlert {
    /// How long before the end somebody is told at the latest, as `notafter alerts --lead` takes it; where
    /// a twentieth of the lifetime is more, that counts.
    pub lead: Span,
    /// How often is looked.
    pub every: Span,
}

/// What looks and tells, until it is dropped.
///
/// # Errors
/// Never, for a cluster that is up.
pub(super) fn watch(
    alert: ExpiryAlert,
    cluster: &Arc<Cluster>,
    recorder: &Recorder,
) -> Result<impl Future<Output = ()> + Send + use<>> {
    let members: Arc<[Member]> = cluster::held(cluster)?.into();
    let recorder = recorder.clone();
    let mut told = HashSet::new();
    Ok(async move {
        let mut tick = interval(alert.every.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for one in look(&members, alert.lead.0).await {
                // Once about each certificate, wherever it is.
                if told.insert(one.leaf.clone()) {
                    recorder.record(What::Alert(one));
                }
            }
        }
    })
}

/// Everything that is due now.
async fn look(members: &Arc<[Member]>, lead: Duration) -> Vec<Alert> {
    let targets = members.iter().filter_map(|member| member.target.clone()).collect();
    let reading = members.clone();
    let scanning = spawn_blocking(move || cluster::look(&reading, &[]));
    let mut asked = endpoint::ask_all(targets).await;
    // It panics on nothing that it reads.
    let Ok(mut scanned) = scanning.await else { return Vec::new() };
    scanned.sources.append(&mut asked);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let inventory = Inventory::of(scanned.sources, scanned.files, &Owners::default(), seconds);
    due(&inventory, members, now, lead)
}

fn due(inventory: &Inventory, members: &[Member], now: Duration, lead: Duration) -> Vec<Alert> {
    let leaves = inventory.certificates.iter().filter(|entry| {
        !matches!(entry.certificate.role, Role::Root | Role::Issuing)
            && entry.lifetime().level_with(micros(now).into(), micros(lead).into()) >= Level::Page
    });
    let alerts = leaves.filter_map(|entry| {
        let (service, mount) = entry.places.iter().find_map(|place| {
            let service = place.service.as_deref()?;
            let member = members.iter().find(|member| member.service == service)?;
            Some((service, member.mount_at(&place.at)?))
        })?;
        let end = u64::try_from(entry.certificate.not_after.saturating_add(1)).unwrap_or(0);
        let text = match Duration::from_secs(end).checked_sub(now) {
            Some(left) => format!("certificate {mount} of {service} ends in {}", words::span(micros(left))),
            None => format!("certificate {mount} of {service} has ended"),
        };
        Some(Alert {
            rule: AlertRule::Expiry,
            service: service.to_owned(),
            mount: Some(mount.to_owned()),
            leaf: Some(leaf(&entry.certificate)),
            text,
        })
    });
    alerts.collect()
}

fn leaf(certificate: &Certificate) -> Leaf {
    let Certificate { serial, not_before, not_after, .. } = certificate;
    Leaf { serial: serial.to_string(), not_before: *not_before, not_after: *not_after }
}
