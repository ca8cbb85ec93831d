//! When which hop is asked: at a fixed cadence, within a budget of handshakes a second.

use std::{collections::BTreeSet, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{Intruder, Pace, Prober};
use crate::{history::Question, system::Hop};

/// Asks all hops of a cluster until it is dropped.
pub struct Schedule {
    tasks: JoinSet<()>,
}

impl Schedule {
    /// Begins to ask: every hop with fresh handshakes, and, in turn, every server whether it lets an
    /// intruder in.
    pub fn start(prober: &Prober, hops: Vec<Hop>, pace: Pace, intruders: Vec<(Question, Intruder)>) -> Self {
        let mut tasks = JoinSet::new();
        let tempo = pace.of_hops(hops.len());
        let servers: BTreeSet<String> = hops.iter().map(|hop| hop.server.clone()).collect();
        let count = u32::try_from(hops.len()).unwrap_or(u32::MAX).max(1);
        for (number, hop) in (0_u32..).zip(hops) {
            let prober = prober.clone();
            // Spread over the interval, so that they do not come in bursts.
            let (mut tempo, offset) = (tempo, tempo.idle * number / count);
            tasks.spawn(async move {
                tokio::time::sleep(offset).await;
                let mut next = Instant::now();
                loop {
                    let probe = prober.fresh(&hop).await;
                    tempo.answered(probe.outcome.is_served());
                    next += tempo.gap();
                    // A late probe is not made up for by a burst.
                    next = next.max(Instant::now() + Duration::from_millis(1));
                    tokio::time::sleep_until(next).await;
                }
            });
        }
        // Without anybody to ask, the turns would never wait, and could not be ended.
        if !intruders.is_empty() && !servers.is_empty() {
            let prober = prober.clone();
            tasks.spawn(async move {
                let mut tick = tokio::time::interval(tempo.idle.max(Duration::from_millis(25)));
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    for (question, intruder) in &intruders {
                        for server in &servers {
                            tick.tick().await;
                            prober.intrude(server, *question, intruder).await;
                        }
                    }
                }
            });
        }
        Self { tasks }
    }

    /// Ends, and waits until nothing is asked any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
