//! Connections that stay open, and sessions that are resumed: one a hop, asked again and again.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::Prober;
use crate::system::Hop;

/// How often each connection is asked, and each session resumed.
const EVERY: Duration = Duration::from_millis(50);

/// One open connection a hop, until it is stopped.
pub struct OpenConnections {
    tasks: JoinSet<()>,
}

impl OpenConnections {
    /// Opens one connection a hop and asks it again and again. One that was closed stays closed, and
    /// says so each time.
    pub fn start(prober: &Prober, hops: Vec<Hop>) -> Self {
        let mut tasks = JoinSet::new();
        for hop in hops {
            let prober = prober.clone();
            tasks.spawn(async move {
                let Ok(mut connection) = prober.open(&hop).await else { return };
                let mut tick = interval(EVERY);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tick.tick().await;
                    connection.ask().await;
                }
            });
        }
        Self { tasks }
    }

    /// Closes them.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// One session a hop, resumed again and again until it is stopped.
pub struct ResumedSessions {
    tasks: JoinSet<()>,
}

impl ResumedSessions {
    /// Makes one session a hop with a full handshake, and resumes it again and again.
    pub fn start(prober: &Prober, hops: Vec<Hop>) -> Self {
        let mut tasks = JoinSet::new();
        for hop in hops {
            let prober = prober.clone();
            tasks.spawn(async move {
                let mut tick = interval(EVERY);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tick.tick().await;
                    prober.resumed(&hop).await;
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
