//! How it stands with each service that one calls.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How it stands with each need, by its name.
#[derive(Debug)]
pub struct Needs(Mutex<BTreeMap<String, Standing>>);

#[derive(Debug)]
enum Standing {
    NotAsked,
    Answered(Instant),
    Failed(String),
}

impl Needs {
    /// Needs of which nothing is known yet.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        Self(Mutex::new(names.into_iter().map(|name| (name.clone(), Standing::NotAsked)).collect()))
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
        let needs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(needs.get(need), Some(Standing::Answered(at)) if at.elapsed() < within)
    }

    /// Those that do not answer, each with the reason: `manager: certificate expired`.
    pub fn waits_for(&self) -> Vec<String> {
        let needs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = needs.iter().filter_map(|(need, standing)| match standing {
            Standing::NotAsked => Some(format!("{need}: not asked yet")),
            Standing::Failed(why) => Some(format!("{need}: {why}")),
            Standing::Answered(_) => None,
        });
        waits.collect()
    }

    fn set(&self, need: &str, standing: Standing) {
        let mut needs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = needs.get_mut(need) {
            *known = standing;
        }
    }
}
