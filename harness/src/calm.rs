//! Whether everything works, and has for a while.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{
    clock::micros,
    error::{Error, Result},
    history::{Event, Health, Micros, Question, Recorder, Tail, What},
    stage::last_words,
    system::System,
    workload::Workload,
};

/// Follows a history and knows what fails.
pub struct Calm {
    tail: Tail,
    recorder: Recorder,
    services: Vec<String>,
    /// Everything that must have worked at least once: operations, hops.
    expected: HashSet<String>,
    state: State,
}

#[derive(Default)]
struct State {
    /// When each operation and hop worked last, and when it failed last, and how.
    tries: HashMap<String, Tries>,
    health: HashMap<String, Health>,
    /// Last words of services that ended by themselves.
    words: HashMap<String, String>,
}

#[derive(Default)]
struct Tries {
    /// When the first try began that worked and after which none failed.
    works_since: Option<Micros>,
    /// When the last one began that failed, and how.
    failed: Option<(Micros, String)>,
}

impl Calm {
    /// Follows the history from its beginning.
    pub fn new(system: &System, recorder: &Recorder) -> Self {
        Self {
            tail: Tail::from_start(recorder),
            recorder: recorder.clone(),
            services: system.services.iter().map(|service| service.name.clone()).collect(),
            expected: system.hops().iter().map(ToString::to_string).collect(),
            state: State::default(),
        }
    }

    /// Every operation of this workload must have worked, too.
    pub fn expect(&mut self, workload: &Workload) {
        self.expected.extend(workload.operations.iter().map(|operation| operation.name.clone()));
    }

    /// Waits until every service is ready.
    ///
    /// # Errors
    /// After `limit`, naming the service and what it waits for or said last.
    pub async fn until_ready(&mut self, limit: Duration) -> Result<()> {
        let Self { tail, services, state, .. } = self;
        tail.until(limit, |tail| {
            tail.look(|event| state.take(event));
            services.iter().find_map(|service| state.unready(service)).map_or(Ok(()), Err)
        })
        .await
        .map_err(hint_at_logs)
    }

    /// Waits until everything that is expected has worked, and nothing failed for a whole window.
    ///
    /// # Errors
    /// After `limit`, naming what fails and how.
    pub async fn until_calm(&mut self, window: Duration, limit: Duration) -> Result<()> {
        let Self { tail, recorder, services, expected, state } = self;
        let clock = recorder.clock();
        let window = micros(window);
        tail.until(limit, |tail| {
            tail.look(|event| state.take(event));
            if let Some(unready) = services.iter().find_map(|service| state.unready(service)) {
                return Err(unready);
            }
            let Some(since) = clock.now().checked_sub(window) else {
                return Err("less than a stability window has passed".into());
            };
            expected.iter().find_map(|name| state.trouble(name, since)).map_or(Ok(()), Err)
        })
        .await
        .map_err(hint_at_logs)
    }
}

impl State {
    fn take(&mut self, event: &Event) {
        match &event.what {
            What::Operation(operation) => {
                let failed = operation.error.clone();
                self.tried(operation.name.clone(), event.at, failed);
            }
            What::Probe(probe) if probe.question == Question::Fresh => {
                let failed = (!probe.outcome.is_served()).then(|| probe.outcome.to_string());
                self.tried(format!("{} -> {}", probe.client, probe.server), event.at, failed);
            }
            What::Health(health) => {
                self.health.insert(health.service.clone(), health.clone());
            }
            What::Process { service, change } => {
                if let Some(words) = last_words(change) {
                    self.words.insert(service.clone(), words);
                }
            }
            _ => {}
        }
    }

    /// Tries overlap: what counts is when they began, not when their answers came.
    fn tried(&mut self, name: String, at: Micros, failed: Option<String>) {
        let tries = self.tries.entry(name).or_default();
        let last = tries.failed.as_ref().map_or(0, |(at, _)| *at);
        match failed {
            Some(error) if at >= last => {
                tries.works_since = tries.works_since.filter(|since| *since > at);
                tries.failed = Some((at, error));
            }
            None if at > last || tries.failed.is_none() => {
                tries.works_since = Some(tries.works_since.map_or(at, |since| since.min(at)));
            }
            _ => {}
        }
    }

    fn unready(&self, service: &str) -> Option<String> {
        let health = self.health.get(service);
        if health.is_some_and(|health| health.ready) {
            return None;
        }
        let why = match health {
            Some(health) if !health.waits_for.is_empty() => {
                format!("it waits for {}", health.waits_for.join(", "))
            }
            _ => self
                .words
                .get(service)
                .cloned()
                .unwrap_or_else(|| "its health endpoint does not answer".into()),
        };
        Some(format!("{service} is not ready: {why}"))
    }

    /// Why this has not worked all the time since then; none if it has.
    fn trouble(&self, name: &str, since: Micros) -> Option<String> {
        match self.tries.get(name) {
            Some(Tries { works_since: Some(works), .. }) if *works <= since => None,
            Some(Tries { works_since: Some(_), .. }) => {
                Some(format!("{name} works, but not for long enough"))
            }
            Some(Tries { failed: Some((_, error)), .. }) => Some(format!("{name} fails: {error}")),
            _ => Some(format!("{name} has not worked once")),
        }
    }
}

fn hint_at_logs(error: Error) -> Error {
    error.hint("what each service said is in logs/ of the run's folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with `op` since 100, after these tries: when each began, and whether it worked.
    fn trouble(tries: &[(Micros, bool)]) -> Option<String> {
        let mut state = State::default();
        for (at, worked) in tries {
            state.tried("op".into(), *at, (!worked).then(|| "refused".into()));
        }
        state.trouble("op", 100)
    }

    #[test]
    fn what_works_since_long_enough_is_no_trouble() {
        assert_eq!(trouble(&[(10, false), (100, true), (190, true)]), None);
    }

    #[test]
    fn what_was_never_tried_has_not_worked() {
        assert_eq!(trouble(&[]).as_deref(), Some("op has not worked once"));
    }

    #[test]
    fn what_works_only_since_a_moment_is_not_calm() {
        assert_eq!(
            trouble(&[(90, false), (101, true)]).as_deref(),
            Some("op works, but not for long enough")
        );
    }

    #[test]
    fn a_failure_begins_the_wait_anew() {
        assert_eq!(trouble(&[(10, true), (50, false)]).as_deref(), Some("op fails: refused"));
        assert_eq!(trouble(&[(10, true), (50, false), (60, true)]), None);
    }

    #[test]
    fn an_answer_that_comes_late_counts_when_its_try_began() {
        // The failure began first and was known last.
        assert_eq!(trouble(&[(90, true), (80, false)]), None);
        // And the other way round: the success began before the failure.
        assert_eq!(trouble(&[(80, false), (70, true)]).as_deref(), Some("op fails: refused"));
    }
}
