//! Renews credentials while they are still valid.

use std::{sync::Arc, time::Duration};

use notafter::{history::Leaf, system::Reload};

use crate::{
    client::MANAGER,
    clock,
    credentials::Mount,
    enrol::{self, Applicant},
    service::{Role, Service},
    wait::{Backoff, jittered},
};

/// How often a service looks whether a credential is due.
const LOOK: Duration = Duration::from_millis(100);

/// How long nobody tries again where that is a defect.
const HOUR: Duration = Duration::from_hours(1);

/// Renews each credential when it is due, and keeps trying where that fails.
pub async fn renew<R: Role>(service: &Service, role: &R) {
    let has_issuer = service.config.needs.contains_key(MANAGER) || !service.config.issues.is_empty();
    if !service.settings.renewal || !has_issuer {
        return;
    }
    let mut backoff = Backoff::new();
    loop {
        tokio::time::sleep(jittered(LOOK)).await;
        for mount in service.mounts.values() {
            // What is on disk decides: a service that never reloads has not taken it into use.
            let leaf = match service.config.reload {
                Reload::OnChange => mount.in_use().map(|in_use| in_use.leaf.clone()),
                Reload::OnSignal | Reload::Never => mount.leaf_on_disk().ok(),
            };
            if !leaf.is_some_and(|leaf| is_due(&leaf)) {
                continue;
            }
            match renew_one(service, role, mount).await {
                Ok(()) => backoff.reset(),
                Err(why) => {
                    service.log.say(&format!("{} credential is not renewed: {why}", mount.name));
                    if service.settings.backs_off_for_hours {
                        tokio::time::sleep(HOUR).await;
                    }
                    backoff.wait().await;
                }
            }
        }
    }
}

async fn renew_one<R: Role>(service: &Service, role: &R, mount: &Arc<Mount>) -> Result<(), String> {
    let name = &service.config.service;
    let applicant = Applicant::new(name, &mount.name)?;
    match role.issue_own(&applicant.application) {
        Some(issued) => applicant.install(mount, &issued?).map_err(|error| error.to_string())?,
        None => enrol::enrol(&service.client, name, mount).await.map_err(|error| error.to_string())?,
    }
    if service.config.reload != Reload::Never {
        let leaf = mount.load()?;
        service.log.say(&format!("{} credential renewed: now serial {}", mount.name, leaf.serial));
    }
    Ok(())
}

/// Whether it is time: when between two thirds and five sixths of its life are over. Services that
/// got their credentials together must not all ask for new ones together (a kubelet draws from 70 to
/// 90 % for the same reason). Serials are random (RFC 5280, 4.1.2.2), so they are the dice.
fn is_due(leaf: &Leaf) -> bool {
    let life_us = i128::from(leaf.not_after.saturating_sub(leaf.not_before).max(0)) * 1_000_000;
    let last_byte = leaf.serial.get(leaf.serial.len().saturating_sub(2)..).unwrap_or_default();
    let dice = i128::from(u8::from_str_radix(last_byte, 16).unwrap_or(0));
    let due_us = i128::from(leaf.not_before) * 1_000_000 + life_us * (4 * 256 + dice) / (6 * 256);
    i128::from(clock::unix_us()) >= due_us
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::unix_seconds;

    fn leaf(serial: &str, begins_ago: i64, ends_in: i64) -> Leaf {
        let now = unix_seconds();
        Leaf { serial: serial.into(), not_before: now - begins_ago, not_after: now + ends_in }
    }

    #[test]
    fn no_credential_is_due_before_two_thirds_of_its_life() {
        assert!(!is_due(&leaf("5a00", 190, 110)));
        assert!(is_due(&leaf("5a00", 210, 90)));
    }

    #[test]
    fn every_credential_is_due_after_five_sixths_of_its_life() {
        assert!(!is_due(&leaf("5aff", 240, 60)));
        assert!(is_due(&leaf("5aff", 255, 45)));
    }

    #[test]
    fn an_expired_credential_is_due() {
        assert!(is_due(&leaf("ff", 100, -1)));
    }

    #[test]
    fn a_credential_that_has_not_begun_is_not_due() {
        assert!(!is_due(&leaf("00", -10, 20)));
    }
}
