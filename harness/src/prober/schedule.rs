//! When which hop is asked: at a fixed cadence, within a budget of handshakes a second.

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Answer, Intruder, Pacer, Prober};
use crate::{
    history::{Outcome, Question, Unreachable},
    system::Hop,
};

/// Asks all hops of a cluster until it is dropped.
pub struct Schedule {
    tasks: JoinSet<()>,
}

impl Schedule {
    /// Begins to ask: every hop with fresh handshakes, and, in turn, every server whether it lets an
    /// intruder in.
    pub fn start(
        prober: &Prober,
        hops: Vec<Hop>,
        pacer: &Pacer,
        intruders: Vec<(Question, Intruder)>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let tempo = pacer.of_hops(hops.len());
        let tick = tempo.idle;
        let servers: BTreeSet<String> = hops.iter().map(|hop| hop.server.clone()).collect();
        let count = u32::try_from(hops.len()).unwrap_or(u32::MAX).max(1);
        for (number, hop) in (0_u32..).zip(hops) {
            let prober = prober.clone();
            // Spread over the interval, so that they do not come in bursts.
            let (mut tempo, offset) = (tempo.clone(), tempo.idle * number / count);
            tasks.spawn(async move {
                tokio::time::sleep(offset).await;
                let (mut next, mut others) = (Instant::now(), tempo.others());
                loop {
                    others.seen();
                    let asked = Instant::now();
                    let probe = prober.fresh(&hop).await;
                    tempo.answered(answer(&probe.outcome));
                    next += tempo.gap();
                    // A late probe is not made up for by a burst.
                    next = next.max(Instant::now() + Duration::from_millis(1));
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = others.recover(), if tempo.fails() => {
                            next = next.min(asked + tempo.every);
                            sleep_until(next).await;
                        }
                    }
                }
            });
        }
        let turns: Vec<(usize, String)> = (0..intruders.len())
            .flat_map(|number| servers.iter().map(move |server| (number, server.clone())))
            .filter(|(number, server)| prober.can_intrude(server, &intruders[*number].1))
            .collect();
        // Without anybody to ask, the turns would never wait, and could not be ended.
        if !turns.is_empty() {
            let prober = prober.clone();
            tasks.spawn(async move {
                let mut tick = tokio::time::interval(tick.max(Duration::from_millis(25)));
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    for (number, server) in &turns {
                        tick.tick().await;
                        let (question, intruder) = &intruders[*number];
                        prober.intrude(server, *question, intruder).await;
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

fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Unreachable(Unreachable::ConnectionRefused) => Answer::Nobody,
        outcome if outcome.is_served() => Answer::Well,
        _ => Answer::Failed,
    }
}
