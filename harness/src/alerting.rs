//! Tells somebody: when a certificate in use nears its end, and when users notice a failure.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    history::{Alert, AlertRule, Recorder, Tail, What},
    sightings::Sightings,
    system::System,
};

/// How often the rules are looked at.
const EVERY: Duration = Duration::from_millis(20);
/// So many failures in a row of one user-facing operation, and users complain.
const COMPLAINTS: u32 = 5;

/// An alert on certificates that near their end, as seen on the wire, not on disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpiryAlert {
    /// Share of its lifetime that a certificate has left when somebody is told, 0 to 1. A share,
    /// since lifetimes shrink: 30 days were plenty for a year and are all of a 47-day certificate.
    pub below: f64,
}

/// Tells until it is dropped.
pub struct Alerting {
    task: JoinHandle<()>,
}

impl Alerting {
    /// Begins: symptoms always, expiry only if somebody set that alert up.
    pub fn start(system: &System, recorder: &Recorder, expiry: Option<ExpiryAlert>) -> Self {
        let rules = Rules {
            tail: Tail::from_start(recorder),
            recorder: recorder.clone(),
            sightings: Sightings::new(system),
            expiry,
            told: HashSet::new(),
            complained: false,
            failing: HashMap::new(),
        };
        Self { task: tokio::spawn(rules.run()) }
    }
}

impl Drop for Alerting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Rules {
    tail: Tail,
    recorder: Recorder,
    sightings: Sightings,
    expiry: Option<ExpiryAlert>,
    /// Serials that somebody was told about.
    told: HashSet<String>,
    complained: bool,
    /// How often each operation failed in a row.
    failing: HashMap<String, u32>,
}

impl Rules {
    async fn run(mut self) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let mut alerts = self.symptoms();
            alerts.extend(self.expiries(SystemTime::now()));
            for alert in alerts {
                self.recorder.record(What::Alert(alert));
            }
        }
    }

    /// Reads on, and gives the first complaint.
    fn symptoms(&mut self) -> Vec<Alert> {
        let Self { tail, sightings, failing, complained, .. } = self;
        let mut alerts = Vec::new();
        tail.look(|event| {
            sightings.take(event);
            let What::Operation(operation) = &event.what else { return };
            let Some(error) = operation.error.as_ref().filter(|_| operation.user_facing) else {
                failing.remove(&operation.name);
                return;
            };
            let times = failing.entry(operation.name.clone()).or_insert(0);
            *times += 1;
            if *times == COMPLAINTS && !*complained {
                *complained = true;
                alerts.push(Alert {
                    rule: AlertRule::Symptom,
                    service: operation.name.clone(),
                    mount: None,
                    leaf: None,
                    text: format!("users report that {} fails: {error}", operation.name),
                });
            }
        });
        alerts
    }

    fn expiries(&mut self, now: SystemTime) -> Vec<Alert> {
        let Some(rule) = self.expiry else { return Vec::new() };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut alerts = Vec::new();
        for ((service, mount), sighting) in self.sightings.all() {
            let leaf = &sighting.leaf;
            #[expect(clippy::cast_precision_loss, reason = "seconds of any lifetime are exact in f64")]
            let (left, life) =
                ((leaf.not_after + 1) as f64 - now, (leaf.not_after + 1 - leaf.not_before) as f64);
            if left < rule.below * life && self.told.insert(leaf.serial.clone()) {
                let share = (left / life * 100.0).max(0.0);
                alerts.push(Alert {
                    rule: AlertRule::Expiry,
                    service: service.clone(),
                    mount: Some(mount.clone()),
                    leaf: Some(leaf.clone()),
                    text: format!("certificate {mount} of {service} has {share:.0} % of its lifetime left"),
                });
            }
        }
        alerts
    }
}
