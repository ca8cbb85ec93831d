//! When which hop is asked: at a fixed cadence, within a budget of handshakes a second.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Answer, Intruder, Pacer, Prober};
use crate::{
    history::{Outcome, Question, Unreachable},
    system::Hop,
};

/// Between two intruders at least, while users are served.
const NEXT_INTRUDER: Duration = Duration::from_millis(25);

/// Asks all hops of a cluster until it is dropped.
pub struct Schedule {
    tasks: JoinSet<()>,
    intruders: Arc<Intruders>,
}

/// Who must be refused, and by whom.
struct Intruders {
    prober: Prober,
    with: Vec<(Question, Intruder)>,
    /// The number of an intruder, and the server that he tries.
    turns: Vec<(usize, String)>,
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
        let turns = (0..intruders.len())
            .flat_map(|number| servers.iter().map(move |server| (number, server.clone())))
            .filter(|(number, server)| prober.can_intrude(server, &intruders[*number].1))
            .collect();
        let intruders = Arc::new(Intruders { prober: prober.clone(), with: intruders, turns });
        // Without anybody to ask, the turns would never wait, and could not be ended.
        if !intruders.turns.is_empty() {
            let intruders = intruders.clone();
            tasks.spawn(async move {
                loop {
                    intruders.take_turns(tick).await;
                }
            });
        }
        Self { tasks, intruders }
    }

    /// Tries every server once with everything that must be refused: all servers at once, with one intruder after
    /// the other.
    pub async fn intrude_everywhere(&self) {
        for turns in self.intruders.turns.chunk_by(|one, next| one.0 == next.0) {
            join_all(turns.iter().map(|turn| self.intruders.take(turn))).await;
        }
    }

    /// Ends, and waits until nothing is asked any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Intruders {
    async fn take_turns(&self, tick: Duration) {
        let mut tick = tokio::time::interval(tick.max(NEXT_INTRUDER));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for turn in &self.turns {
            tick.tick().await;
            self.take(turn).await;
        }
    }

    async fn take(&self, (number, server): &(usize, String)) {
        let (question, intruder) = &self.with[*number];
        self.prober.intrude(server, *question, intruder).await;
    }
}

fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Unreachable(Unreachable::ConnectionRefused) => Answer::Nobody,
        outcome if outcome.is_served() => Answer::Well,
        _ => Answer::Failed,
    }
}
