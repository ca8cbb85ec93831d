//! How it stands with each service that one calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How it stands with each need, by its name.
#[derive(Debug)]
pub struct Needs {
    standing: Mutex<BTreeMap<String, Standing>>,
    changes: Arc<Notify>,
}

#[derive(Debug)]
enum Standing {
    NotAsked,
    Answered(Instant),
    Failed(String),
}

impl Needs {
    /// Needs of which nothing is known yet. `changes` is told when it stands otherwise with one.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a String>, changes: Arc<Notify>) -> Self {
        let standing = names.into_iter().map(|name| (name.clone(), Standing::NotAsked)).collect();
        Self { standing: Mutex::new(standing), changes }
    }

    /// It answered, whatever it said.
    pub fn answered(&self, need: &str) {
        self.set(need, Standing::Answered(Instant::now()));
    }

    /// It did not answer, and why.
    pub fn failed(&self, need: &str, why: &str) {
        self.set(need, Standing::Failed(why.into()));
    }

    /// Whether it has answered within this time.
    pub fn is_fresh(&self, need: &str, within: Duration) -> bool {
        let needs = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(needs.get(need), Some(Standing::Answered(at)) if at.elapsed() < within)
    }

    /// Those that do not answer, each with the reason: `manager: certificate expired`.
    pub fn waits_for(&self) -> Vec<String> {
        let needs = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let waits =
            needs.iter().filter_map(|(need, standing)| Some(format!("{need}: {}", standing.trouble()?)));
        waits.collect()
    }

    fn set(&self, need: &str, standing: Standing) {
        let mut needs = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = needs.get_mut(need) else { return };
        let is_new = known.trouble() != standing.trouble();
        *known = standing;
        if is_new {
            self.changes.notify_waiters();
        }
    }
}

impl Standing {
    /// Why it cannot be relied on; none if it can.
    fn trouble(&self) -> Option<&str> {
        match self {
            Self::NotAsked => Some("not asked yet"),
            Self::Failed(why) => Some(why),
            Self::Answered(_) => None,
        }
    }
}
