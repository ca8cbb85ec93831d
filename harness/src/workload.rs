//! What clients keep doing while things break: operations at a fixed cadence, and the ledger.

mod ledger;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::Method;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at},
};

pub use ledger::{Endpoint, Ledger};

use crate::{
    history::{self, Recorder, What},
    http::{Client, Failure},
    prober::{Answer, Pacer, Tempo},
};

/// Tries of one operation that may wait for an answer at once. Beyond that none is begun, so that a
/// slow machine is not buried; the gap shows in the resolution.
const IN_FLIGHT: usize = 8;
/// The same while the operation fails, for [`PATIENCE`] at most: when a system comes back its first answers
/// are slow, and a burst of tries makes them slower.
const IN_FLIGHT_WHILE_IT_FAILS: usize = 2;
/// How long a try waits for the answers of those before it.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often the ledger's newest record is looked up.
const LOOK: Duration = Duration::from_millis(25);

/// What clients keep doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The authority whose client certificate the users show.
    pub authority: String,
    /// What they do.
    pub operations: Vec<Operation>,
    /// The account of every record, if the system keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// One thing that clients do over and over, as an HTTP request. It succeeded if the answer is 200.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What a user would call it.
    pub name: String,
    /// Which service is asked.
    pub service: String,
    /// GET or POST.
    pub method: String,
    /// The path. `{n}` is the number of the try; `{recent}` is the newest record that was sent at
    /// least the ledger's `late` ago, so that it has to be there.
    pub path: String,
    /// What is sent; `{n}` in strings as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// Whether a user would notice a failure.
    pub user_facing: bool,
}

/// Clients that do their work until they are stopped.
pub struct Running {
    tasks: JoinSet<()>,
}

impl Workload {
    /// Begins. Each try is begun at its time, whether or not the one before was answered: a slow
    /// answer must not hide the failures behind it.
    pub fn start(&self, client: &Client, recorder: &Recorder, pacer: &Pacer) -> Running {
        let mut tasks = JoinSet::new();
        let recent = Arc::new(Recent::default());
        if let Some(ledger) = self.ledger.clone() {
            let (client, recent) = (client.clone(), recent.clone());
            tasks.spawn(async move {
                let mut tick = interval(LOOK);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tick.tick().await;
                    // While the source does not answer, the newest record stays what it was.
                    if let Ok(sent) = ledger.latest(&client).await {
                        recent.saw(sent, ledger.late.0);
                    }
                }
            });
        }
        let tempo = pacer.of_operations(self.operations.len());
        let count = u32::try_from(self.operations.len()).unwrap_or(u32::MAX).max(1);
        for (number, operation) in (0_u32..).zip(&self.operations) {
            let tries = Tries {
                operation: operation.clone(),
                client: client.clone(),
                recorder: recorder.clone(),
                recent: recent.clone(),
                tempo: tempo.clone(),
            };
            // Spread over the interval, so that they do not come in bursts.
            tasks.spawn(tries.repeat(tempo.idle * number / count));
        }
        Running { tasks }
    }
}

impl Running {
    /// Ends, and waits until nothing is tried any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The tries of one operation.
struct Tries {
    operation: Operation,
    client: Client,
    recorder: Recorder,
    recent: Arc<Recent>,
    tempo: Tempo,
}

impl Tries {
    async fn repeat(self, offset: Duration) {
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        let (every, mut others) = (self.tempo.every, self.tempo.others());
        let tempo = Arc::new(Mutex::new(self.tempo));
        let (failed, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut tries = JoinSet::new();
        let mut next = Instant::now() + offset;
        let mut last = next;
        for number in 0_u64.. {
            loop {
                let fails = lock(&tempo).fails();
                tokio::select! {
                    () = sleep_until(next) => break,
                    // The next try was put off for as long as everything is well.
                    () = failed.notified() => next = next.min(Instant::now() + lock(&tempo).gap()),
                    () = others.recover(), if fails => next = next.min(last + every),
                }
            }
            let crowded = || {
                let unanswered = IN_FLIGHT - room.available_permits();
                unanswered >= IN_FLIGHT_WHILE_IT_FAILS && lock(&tempo).fails()
            };
            let patience = Instant::now() + PATIENCE;
            while crowded() && timeout_at(patience, answered.notified()).await.is_ok() {}
            others.seen();
            last = Instant::now();
            next += lock(&tempo).gap();
            // A late try is not made up for by a burst.
            next = next.max(Instant::now());
            while tries.try_join_next().is_some() {}
            let Ok(place) = room.clone().try_acquire_owned() else { continue };
            let Some(request) = self.operation.request(number, &self.recent) else { continue };
            let (client, recorder) = (self.client.clone(), self.recorder.clone());
            let (tempo, failed, answered) = (tempo.clone(), failed.clone(), answered.clone());
            let (name, user_facing) = (self.operation.name.clone(), self.operation.user_facing);
            let at = recorder.clock().now();
            tries.spawn(async move {
                let failure = request.send(&client).await.err();
                lock(&tempo).answered(match &failure {
                    None => Answer::Well,
                    Some(failure) if failure.nobody => Answer::Nobody,
                    Some(_) => Answer::Failed,
                });
                if failure.is_some() {
                    failed.notify_one();
                }
                let error = failure.map(|failure| failure.words);
                let took = recorder.clock().now() - at;
                recorder
                    .record_at(at, What::Operation(history::Operation { name, user_facing, took, error }));
                drop(place);
                answered.notify_one();
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    method: Method,
    service: String,
    path: String,
    body: Option<serde_json::Value>,
}

impl Operation {
    /// The request of one try; none as long as it asks for a record and there is none yet.
    fn request(&self, number: u64, recent: &Recent) -> Option<Request> {
        let mut path = self.path.replace("{n}", &number.to_string());
        if path.contains("{recent}") {
            path = path.replace("{recent}", &recent.get()?.to_string());
        }
        let mut body = self.body.clone();
        if let Some(serde_json::Value::Object(fields)) = &mut body {
            for value in fields.values_mut() {
                if let serde_json::Value::String(text) = value {
                    *text = text.replace("{n}", &number.to_string());
                }
            }
        }
        let method = if self.method.eq_ignore_ascii_case("post") { Method::POST } else { Method::GET };
        Some(Request { method, service: self.service.clone(), path, body })
    }
}

impl Request {
    async fn send(&self, client: &Client) -> Result<(), Failure> {
        let (status, body) =
            client.request(&self.method, &self.service, &self.path, self.body.as_ref()).await?;
        if status.as_u16() == 200 {
            return Ok(());
        }
        let words: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        let words = format!("{}: {} {words}", self.service, status.as_u16());
        Err(Failure { words, nobody: false })
    }
}

/// The newest record that has to be there by now.
#[derive(Default)]
struct Recent {
    /// When which number was the newest.
    seen: Mutex<VecDeque<(Instant, u64)>>,
    due: AtomicU64,
}

impl Recent {
    fn saw(&self, number: u64, late: Duration) {
        let mut seen = lock(&self.seen);
        seen.push_back((Instant::now(), number));
        while seen.front().is_some_and(|(at, _)| at.elapsed() >= late) {
            if let Some((_, number)) = seen.pop_front() {
                self.due.store(number, Ordering::Relaxed);
            }
        }
    }

    fn get(&self) -> Option<u64> {
        Some(self.due.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(path: &str, body: Option<serde_json::Value>) -> Operation {
        Operation {
            name: "op".into(),
            service: "gateway".into(),
            method: "post".into(),
            path: path.into(),
            body,
            user_facing: true,
        }
    }

    #[test]
    fn the_number_of_the_try_fills_the_path_and_the_body() {
        let operation = operation("/v1/holds/{n}", Some(json!({ "name": "case-{n}", "count": 3 })));
        let request = operation.request(7, &Recent::default()).expect("a request");
        assert_eq!((request.method, request.path.as_str()), (Method::POST, "/v1/holds/7"));
        assert_eq!(request.body, Some(json!({ "name": "case-7", "count": 3 })));
    }

    #[test]
    fn there_is_no_request_for_a_record_as_long_as_none_is_due() {
        let operation = operation("/v1/records/{recent}", None);
        let recent = Recent::default();
        recent.saw(3, Duration::MAX);
        assert!(operation.request(0, &recent).is_none());
        recent.saw(4, Duration::ZERO);
        let request = operation.request(0, &recent).expect("a request");
        assert_eq!(request.path, "/v1/records/4");
    }
}
