//! Tells somebody: when a certificate nears its end, and when users notice a failure.

mod expiry;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    error::Result,
    history::{Alert, AlertRule, Phase, Recorder, Tail, What},
    runtime::Cluster,
};

pub use expiry::ExpiryAlert;

/// How often is read what users saw.
const EVERY: Duration = Duration::from_millis(20);
/// So many failures in a row of one user-facing operation, and users complain.
const COMPLAINTS: u32 = 5;

/// Tells until it is dropped.
pub struct Alerting {
    _tasks: JoinSet<()>,
}

impl Alerting {
    /// Begins: symptoms always, expiry only if somebody set that alert up.
    ///
    /// # Errors
    /// Never, for a cluster that is up.
    pub fn start(cluster: &Arc<Cluster>, recorder: &Recorder, expiry: Option<ExpiryAlert>) -> Result<Self> {
        let mut tasks = JoinSet::new();
        tasks.spawn(Symptoms::new(recorder).run());
        if let Some(alert) = expiry {
            tasks.spawn(expiry::watch(alert, cluster, recorder)?);
        }
        Ok(Self { _tasks: tasks })
    }
}

/// What users notice.
struct Symptoms {
    tail: Tail,
    recorder: Recorder,
    complained: bool,
    /// How often each operation failed in a row.
    failing: HashMap<String, u32>,
}

impl Symptoms {
    fn new(recorder: &Recorder) -> Self {
        let tail = Tail::from_start(recorder);
        Self { tail, recorder: recorder.clone(), complained: false, failing: HashMap::new() }
    }

    async fn run(mut self) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for alert in self.read() {
                self.recorder.record(What::Alert(alert));
            }
        }
    }

    /// Reads on, and gives the first complaint, and the first one since everything worked: what users said while
    /// the system came up is over then.
    fn read(&mut self) -> Vec<Alert> {
        let Self { tail, failing, complained, .. } = self;
        let mut alerts = Vec::new();
        tail.look(|event| {
            if let What::PhaseEnded { phase: Phase::Steady, .. } = &event.what {
                failing.clear();
                *complained = false;
            }
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
}
