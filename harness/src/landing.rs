//! Proves that a fault shows on the wire, everywhere, and says when it bites.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::task::JoinHandle;

use crate::{
    context::Context,
    error::Result,
    fault::{Injected, Shows},
    history::{Landed, Micros, Tail, What, Witness},
    scenario::Aftermath,
    sightings::{Key, Sighting, Sightings},
    supervise::Order,
};

/// A change is not an edge: nginx serves old and new side by side for 100 ms after a reload. Only
/// what has been the same for this long is stable.
const SETTLED: Micros = 150_000;

/// Waits until every injected credential is seen on the wire, by handshakes that began after it was
/// installed, and no other any more; records each landing.
///
/// # Errors
/// After `limit`, naming what has not landed: an injection that has not landed is never judged.
pub async fn wait(context: &Context, injected: &[Injected], since: Micros, limit: Duration) -> Result<()> {
    let mut landings: HashMap<Key, Landing> = injected
        .iter()
        .map(|one| ((one.service.clone(), one.mount.clone()), Landing::new(one, since)))
        .collect();
    let mut sightings = Sightings::new(context.system());
    let clock = context.recorder.clock();
    let waited = Tail::from_start(&context.recorder)
        .until(limit, |tail| {
            tail.look(|event| {
                if let What::Rejected { service, mount, .. } = &event.what
                    && let Some(landing) = landings.get_mut(&(service.clone(), mount.clone()))
                {
                    landing.reject(event.at);
                }
                if let Some((key, sighting)) = sightings.take(event)
                    && let Some(landing) = landings.get_mut(&key)
                {
                    landing.take(&sighting);
                }
            });
            let now = clock.now();
            let missing = landings.values().filter(|landing| !landing.is_stable(now)).count();
            let first = landings.values().find(|landing| !landing.is_stable(now));
            first.map_or(Ok(()), |landing| Err(landing.missing(missing, landings.len())))
        })
        .await;
    waited.map_err(|error| {
        error.hint(
            "a service that reads its credential only at its start does not show a new one: see `reload`",
        )
    })?;
    for landing in landings.into_values() {
        if let Some(landed) = landing.landed {
            context.recorder.record_at(landed.stable_since, What::Landed(landed));
        }
    }
    Ok(())
}

/// Says for each injected credential, at the first instant at which it is no longer valid and has
/// landed, whether it is still in use, and lets the platform do what it does then. Ends when all have
/// ended.
pub fn watch_expiry(
    context: Arc<Context>,
    injected: Vec<Injected>,
    aftermath: Aftermath,
) -> JoinHandle<Result<()>> {
    let landed_at = context.recorder.clock().now();
    let mut by_end: BTreeMap<i64, Vec<Injected>> = BTreeMap::new();
    for one in injected {
        if let Some(ends) = one.ends {
            by_end.entry(ends).or_default().push(one);
        }
    }
    tokio::spawn(async move {
        for (not_after, ending) in by_end {
            // notAfter is inclusive: the certificate ends with its last second.
            let over = not_after + 1;
            let end = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(over).unwrap_or(0));
            tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
            let at = context.recorder.clock().at_unix(over).max(landed_at);
            let expired = record_expiry(&context, ending, at);
            if aftermath == Aftermath::RefreshExpired {
                let restarts = expired.iter().map(|service| context.cluster.order(service, Order::Restart));
                futures_util::future::try_join_all(restarts).await?;
            }
        }
        Ok(())
    })
}

/// Records the end of these credentials; gives the services that still use one of them.
fn record_expiry(context: &Context, ending: Vec<Injected>, at: Micros) -> BTreeSet<String> {
    let mut sightings = Sightings::new(context.system());
    Tail::from_start(&context.recorder).look(|event| drop(sightings.take(event)));
    let mut expired = BTreeSet::new();
    for Injected { service, mount, leaf, ends, .. } in ending {
        let key = (service, mount);
        let in_use = sightings.of(&key).is_some_and(|sighting| sighting.leaf == leaf);
        let (service, mount) = key;
        if in_use {
            expired.insert(service.clone());
        }
        let chain_ends = ends.filter(|ends| *ends != leaf.not_after);
        context.recorder.record_at(at, What::Expired { service, mount, leaf, in_use, chain_ends });
    }
    expired
}

struct Landing {
    service: String,
    mount: String,
    leaf: crate::history::Leaf,
    shows: Shows,
    since: Micros,
    last_old: Option<Micros>,
    landed: Option<Landed>,
}

impl Landing {
    fn new(one: &Injected, since: Micros) -> Self {
        Self {
            service: one.service.clone(),
            mount: one.mount.clone(),
            leaf: one.leaf.clone(),
            shows: one.shows,
            since,
            last_old: None,
            landed: None,
        }
    }

    /// The service says that it will not use what it found.
    fn reject(&mut self, at: Micros) {
        if self.shows == Shows::Rejected && at >= self.since && self.landed.is_none() {
            self.landed = Some(Landed {
                service: self.service.clone(),
                mount: self.mount.clone(),
                leaf: self.leaf.clone(),
                seen_by: Witness::Service,
                first_new: at,
                last_old: None,
                stable_since: at,
            });
        }
    }

    fn take(&mut self, sighting: &Sighting) {
        let at = sighting.at;
        if at < self.since || self.shows != Shows::OnTheWire {
            return;
        }
        let is_new = sighting.leaf == self.leaf;
        match &mut self.landed {
            None if is_new => {
                self.landed = Some(Landed {
                    service: self.service.clone(),
                    mount: self.mount.clone(),
                    leaf: self.leaf.clone(),
                    seen_by: sighting.by,
                    first_new: at,
                    last_old: self.last_old,
                    stable_since: at,
                });
            }
            None => self.last_old = Some(at),
            // Both are served: not stable until the new one alone is.
            Some(landed) if !is_new => {
                landed.last_old = Some(at);
                landed.stable_since = Micros::MAX;
            }
            Some(landed) => landed.stable_since = landed.stable_since.min(at),
        }
    }

    fn is_stable(&self, now: Micros) -> bool {
        self.landed.as_ref().is_some_and(|landed| now.saturating_sub(landed.stable_since) >= SETTLED)
    }

    fn missing(&self, missing: usize, all: usize) -> String {
        let Self { service, mount, leaf, .. } = self;
        let seen = match (&self.landed, self.last_old) {
            (None, _) if self.shows == Shows::Rejected => "it has not said that it will not use it",
            (Some(_), _) => "the new certificate shows, but not for long enough, or beside the old one",
            (None, Some(_)) => "handshakes still show another certificate",
            (None, None) => "nobody saw it show any certificate",
        };
        format!(
            "{missing} of {all} injected credentials have not landed; {service} ({mount}), serial {}: {seen}",
            leaf.serial
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Leaf;

    fn leaf(serial: &str) -> Leaf {
        Leaf { serial: serial.into(), not_before: 0, not_after: 1 }
    }

    /// A landing of `new`, installed at 100, that saw these.
    fn landing(sightings: &[(Micros, &str)]) -> Landing {
        let (service, mount, shows) = ("archive".into(), "workload".into(), Shows::OnTheWire);
        let injected = Injected { service, mount, leaf: leaf("new"), shows, ends: None };
        let mut landing = Landing::new(&injected, 100);
        for (at, serial) in sightings {
            landing.take(&Sighting { leaf: leaf(serial), at: *at, by: Witness::Prober });
        }
        landing
    }

    #[test]
    fn nothing_seen_is_not_landed() {
        assert!(!landing(&[]).is_stable(Micros::MAX));
    }

    #[test]
    fn the_old_certificate_alone_is_not_landed() {
        let landing = landing(&[(110, "old"), (120, "old")]);
        assert!(!landing.is_stable(Micros::MAX));
        assert!(landing.missing(1, 1).contains("handshakes still show another certificate"));
    }

    #[test]
    fn what_was_seen_before_the_install_does_not_count() {
        assert!(!landing(&[(99, "new")]).is_stable(Micros::MAX));
    }

    #[test]
    fn it_is_stable_once_the_new_one_alone_was_seen_for_long_enough() {
        let landing = landing(&[(110, "old"), (120, "new"), (130, "new")]);
        assert!(!landing.is_stable(120 + SETTLED - 1));
        assert!(landing.is_stable(120 + SETTLED));
        let landed = landing.landed.expect("landed");
        assert_eq!((landed.first_new, landed.last_old, landed.stable_since), (120, Some(110), 120));
    }

    #[test]
    fn two_generations_side_by_side_are_not_stable() {
        let landing = landing(&[(120, "new"), (130, "old")]);
        assert!(!landing.is_stable(Micros::MAX));
    }

    #[test]
    fn the_last_old_one_begins_the_wait_anew() {
        let landing = landing(&[(120, "new"), (130, "old"), (140, "new")]);
        assert!(!landing.is_stable(120 + SETTLED));
        assert!(landing.is_stable(140 + SETTLED));
        let landed = landing.landed.expect("landed");
        assert_eq!((landed.first_new, landed.last_old, landed.stable_since), (120, Some(130), 140));
    }

    #[test]
    fn what_a_service_will_not_use_has_landed_when_it_says_so_and_not_before() {
        let (service, mount, shows) = ("archive".into(), "workload".into(), Shows::Rejected);
        let injected = Injected { service, mount, leaf: leaf("new"), shows, ends: None };
        let mut landing = Landing::new(&injected, 100);
        landing.take(&Sighting { leaf: leaf("old"), at: 120, by: Witness::Prober });
        landing.reject(90);
        assert!(!landing.is_stable(Micros::MAX));
        assert!(landing.missing(1, 1).contains("it has not said that it will not use it"));
        landing.reject(130);
        landing.take(&Sighting { leaf: leaf("old"), at: 140, by: Witness::Prober });
        assert!(landing.is_stable(130 + SETTLED));
    }
}
