//! One named test, which waits for its turn.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::LocalBoxFuture};
use libtest_mimic::{Completion, Failed};
use tokio::sync::{OnceCell, Semaphore};

use super::must_hold;
use crate::{
    error::{Context, Result, words_of},
    runtime::Runtime,
    scenario::Scenario,
};

/// One named test.
pub struct Trial {
    name: String,
    runtime: Option<Runtime>,
    /// How many services it starts, if that is known.
    services: Option<usize>,
    body: Body,
}

/// A system of so few services spends most of a run waiting: another one fits beside it.
const FEW: usize = 4;

/// Why a test was not done, if it was not, or the words of its failure.
type Outcome = Result<Option<String>, String>;
type Body = Box<dyn FnOnce() -> LocalBoxFuture<'static, Outcome> + Send>;

impl Trial {
    /// A test of one's own, which fails with these words.
    pub fn new<F>(name: impl Into<String>, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        let body: Body = Box::new(|| Box::pin(async { body().await.map(|()| None) }));
        Self { name: name.into(), runtime: None, services: None, body }
    }

    /// The same, where something may be missing: it says why it was not done, if it was not.
    pub fn ignorable<F>(name: impl Into<String>, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Option<String>, String>> + 'static,
    {
        Self { name: name.into(), runtime: None, services: None, body: Box::new(|| Box::pin(body())) }
    }

    /// A test of one's own that needs `what` beside a runtime, which is `missing` for a reason or is not. It
    /// is ignored with that reason, unless `NOTAFTER_REQUIRE` names `what`.
    pub fn with<F>(
        what: &'static str,
        missing: Option<String>,
        name: impl Into<String>,
        body: impl FnOnce() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        Self::ignorable(name, async move || match missing {
            Some(why) if super::requires(what) => Err(format!("{} asks for `{what}`: {why}", super::REQUIRE)),
            Some(why) => Ok(Some(why)),
            None => body().await.map(|()| None),
        })
    }

    /// A test that a scenario gives the verdict that it must give in a runtime. The name of the test is
    /// `{name}::{runtime}`; it is ignored if the runtime is missing or cannot do what the scenario needs.
    pub fn of(
        runtime: Runtime,
        name: impl Into<String>,
        scenario: impl FnOnce() -> Scenario + Send + 'static,
    ) -> Self {
        let body = async move || {
            let scenario = scenario();
            let required = scenario.lacking(runtime).is_none() && super::requires(super::SERVERS);
            match scenario.cannot_run(runtime) {
                Some(why) if required => {
                    Err(format!("{} asks for `{}`: {why}", super::REQUIRE, super::SERVERS))
                }
                Some(why) => Ok(Some(why)),
                None => must_hold(&scenario, runtime).await.map(|()| None),
            }
        };
        let name = format!("{}::{}", name.into(), runtime.name());
        Self { name, runtime: Some(runtime), services: None, body: Box::new(|| Box::pin(body())) }
    }

    /// A test of one's own in a runtime. The name of the test is `{name}::{runtime}`; it is ignored if the
    /// runtime is missing.
    pub fn on_runtime<F>(
        runtime: Runtime,
        name: impl Into<String>,
        body: impl FnOnce() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        let trial = Self::new(format!("{}::{}", name.into(), runtime.name()), body);
        Self { runtime: Some(runtime), ..trial }
    }

    /// The same, which starts a system of so many services.
    pub(super) fn starting(self, services: usize) -> Self {
        Self { services: Some(services), ..self }
    }

    /// For libtest's arguments and output.
    pub(super) fn on(self, bench: &Arc<Bench>) -> libtest_mimic::Trial {
        let Self { name, runtime, services, body } = self;
        let bench = bench.clone();
        libtest_mimic::Trial::ignorable_test(name, move || {
            let outcome = bench.tokio.block_on(async {
                if let Some(why) = bench.missing(runtime).await? {
                    return Ok(Some(why));
                }
                let weight = bench.weight(runtime, services);
                // First come, first served, so that heavy ones do not starve.
                let _turn = bench.room.acquire_many(weight).await.map_err(|gone| gone.to_string())?;
                // A panic is a failure of this one only.
                let done = AssertUnwindSafe(async { body().await }).catch_unwind().await;
                done.unwrap_or_else(|panic| Err(format!("panicked: {}", words_of(&*panic))))
            });
            match outcome {
                Ok(None) => Ok(Completion::Completed),
                Ok(Some(why)) => Ok(Completion::ignored_with(why)),
                Err(words) => Err(Failed::from(words)),
            }
        })
    }
}

/// What all tests share.
pub(super) struct Bench {
    tokio: tokio::runtime::Runtime,
    /// Halves of a run.
    room: Semaphore,
    jobs: u32,
    required: Vec<Runtime>,
    /// Why a runtime does not work here.
    missing: HashMap<Runtime, OnceCell<Option<String>>>,
}

/// A place for so many runs at once.
pub(super) fn bench(jobs: Result<u32>, required: Result<Vec<Runtime>>) -> Result<Arc<Bench>> {
    let jobs = jobs?;
    Ok(Arc::new(Bench {
        tokio: tokio::runtime::Runtime::new().context(|| "cannot start".into())?,
        room: Semaphore::new(2 * jobs as usize),
        jobs,
        required: required?,
        missing: Runtime::ALL.into_iter().map(|runtime| (runtime, OnceCell::new())).collect(),
    }))
}

impl Bench {
    /// Why a test in this runtime cannot be done here; none if it can.
    async fn missing(&self, runtime: Option<Runtime>) -> Result<Option<String>, String> {
        let Some((runtime, known)) = runtime.and_then(|one| Some((one, self.missing.get(&one)?))) else {
            return Ok(None);
        };
        let ask = || async { runtime.available().await.err().map(|error| error.to_string()) };
        match known.get_or_init(ask).await {
            Some(why) if self.required.contains(&runtime) => {
                Err(format!("{} asks for runtime `{}`: {why}", super::REQUIRE, runtime.name()))
            }
            // A reason stands in one line of libtest's output.
            why => Ok(why.as_ref().map(|why| why.replace('\n', "; "))),
        }
    }

    /// What a test takes of the room. Containers are started by a daemon, which takes cores, too.
    fn weight(&self, runtime: Option<Runtime>, services: Option<usize>) -> u32 {
        let is_small = services.is_some_and(|count| count <= FEW);
        let halves = match runtime {
            None => 1,
            Some(_) if is_small => 1,
            Some(Runtime::Processes) => 2,
            Some(Runtime::Containers) => 3,
            // Pods in a cluster of their own, which want all that there is.
            Some(Runtime::Kubernetes) => 2 * self.jobs,
        };
        halves.min(2 * self.jobs)
    }
}
