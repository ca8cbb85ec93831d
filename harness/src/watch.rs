//! Watches what every service says about itself, and what its peers saw of it on the wire.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{interval, sleep},
};

use crate::{
    history::{Health, Leaf, Recorder, What},
    http::get_plain,
    runtime::Cluster,
    service::Status,
    system::System,
};

/// How often a service that is ready is asked.
const EVERY: Duration = Duration::from_millis(25);
/// How often one that is not is asked: it will be, any moment.
const WHILE_UNREADY: Duration = Duration::from_millis(4);
/// Longer than this, and a health endpoint counts as dead.
const LIMIT: Duration = Duration::from_secs(1);
/// A wall clock that is further off than this was moved by somebody.
const DRIFT_MS: i64 = 500;

/// Watches until it is stopped.
pub struct Watch {
    tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to watch every service, and the clock.
    pub fn start(cluster: &Arc<Cluster>, recorder: &Recorder) -> Self {
        let mut tasks = JoinSet::new();
        for service in &cluster.system().services {
            tasks.spawn(watch(service.name.clone(), cluster.clone(), recorder.clone()));
        }
        tasks.spawn(watch_clock(recorder.clone()));
        Self { tasks }
    }

    /// Ends, and waits until nothing is asked any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn watch(service: String, cluster: Arc<Cluster>, recorder: Recorder) {
    let Ok(address) = cluster.health(&service) else { return };
    let mut last: Option<Health> = None;
    let mut seen: HashMap<String, Leaf> = HashMap::new();
    loop {
        let ready = last.as_ref().is_some_and(|health| health.ready);
        sleep(if ready { EVERY } else { WHILE_UNREADY }).await;
        let status = get_plain::<Status>(address, "/status", LIMIT).await.ok();
        let health = Health {
            service: service.clone(),
            live: status.is_some(),
            ready: status.as_ref().is_some_and(|status| status.ready),
            waits_for: status.as_ref().map(|status| status.waits_for.clone()).unwrap_or_default(),
        };
        if last.as_ref() != Some(&health) {
            recorder.record(What::Health(health.clone()));
            last = Some(health);
        }
        for (client, leaf) in status.map(|status| status.clients).unwrap_or_default() {
            if seen.get(&client) != Some(&leaf) {
                if let Some((service, mount)) = mount_of(cluster.system(), &client) {
                    recorder.record(What::Using { service, mount, leaf: leaf.clone() });
                }
                seen.insert(client, leaf);
            }
        }
    }
}

/// Whose mount a client's certificate came from: `archive@mesh` is the mount of `archive` whose
/// authority is `mesh`. None for users, probes and strangers.
fn mount_of(system: &System, client: &str) -> Option<(String, String)> {
    let (name, authority) = client.split_once('@')?;
    let service = system.service(name)?;
    let (mount, _) = service.mounts.iter().find(|(_, mount)| mount.authority == authority)?;
    Some((name.to_owned(), mount.clone()))
}

async fn watch_clock(recorder: Recorder) {
    let mut known = 0;
    let mut tick = interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        // A full disk is found out by whoever flushes last; evidence on disk is never older than this.
        let _ = recorder.flush();
        let drift = recorder.clock().drift_ms();
        if (drift - known).abs() > DRIFT_MS {
            recorder.record(What::ClockJumped { by_ms: drift - known });
            known = drift;
        }
    }
}
