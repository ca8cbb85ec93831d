//! Tries plans side by side, each on a cluster of its own, and asks on until nothing is open.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::{join_all, try_join_all};

use super::{Bed, Choice, Findings, Limits, Order, Plan, Tried, numbered, plans};
use crate::{
    clock::Clock,
    error::{Error, Result},
    history::{History, RunInfo, Way},
    run::RunFolder,
    runner::Interrupt,
    runtime::Runtime,
    system::System,
};

/// Where and how plans are tried.
#[derive(Clone)]
pub struct Trials {
    /// What starts.
    pub system: System,
    /// Where it runs.
    pub runtime: Runtime,
    /// Which plans.
    pub choice: Choice,
    /// Of these only that one, if any: its number.
    pub only: Option<u32>,
    /// How long each may take.
    pub limits: Limits,
    /// How many at the same time.
    pub side_by_side: usize,
    /// The folder in which each cluster gets its own.
    pub runs: PathBuf,
    /// The command that does the same again.
    pub rerun: String,
    /// Told of each plan when it is over, and how many there are by now.
    pub watcher: Option<Watcher>,
}

/// Told of each plan when it is over, and how many there are by now.
pub type Watcher = Arc<dyn Fn(&Plan, usize) + Send + Sync>;

/// What came of all of it.
pub struct Outcome {
    /// The plans that were tried, by their number; one that was tried again is there again.
    pub tried: Vec<Tried>,
    /// What they tell.
    pub findings: Findings,
    /// Whether everything came up in the order that follows from the findings; none if that was not
    /// tried.
    pub order_works: Option<bool>,
    /// The evidence.
    pub folders: Vec<RunFolder>,
    /// What happened in each of them.
    pub histories: Vec<History>,
    /// Why not everything was tried.
    pub error: Option<Error>,
}

/// How often an order is tried again whose failure nothing else confirms.
const AGAIN: usize = 2;
/// More questions than this are asked of no system: there are fewer pairs.
const QUESTIONS: usize = 500;

/// How many clusters fit side by side: three for each core, because most of a start is waiting, and one
/// for each 400 MB, which nine services take with everything around them. A debug build works where
/// another one waits: there it is one for each core. One of Kubernetes is as much as two cores carry, and has some 1 GB.
pub fn fitting(runtime: Runtime) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let available = crate::procfs::available_kib();
    let (side_by_side, kib) = match runtime {
        Runtime::Kubernetes => (cores / 2, 1_000_000),
        Runtime::Processes | Runtime::Containers if cfg!(debug_assertions) => (cores, 400_000),
        Runtime::Processes | Runtime::Containers => (3 * cores, 400_000),
    };
    side_by_side.min(available.map_or(usize::MAX, |there| there / kib)).max(1)
}

impl Trials {
    /// The default choice of plans, on processes, as many side by side as fit, in folders below `runs`.
    pub fn of(system: System, runs: impl Into<PathBuf>) -> Self {
        Self {
            system,
            runtime: Runtime::Processes,
            choice: Choice::default(),
            only: None,
            limits: Limits::default(),
            side_by_side: fitting(Runtime::Processes),
            runs: runs.into(),
            rerun: String::new(),
            watcher: None,
        }
    }

    /// Tries every plan; tries again what fails once; asks about what is open; and starts everything in
    /// the order that follows.
    ///
    /// # Errors
    /// If the choice makes no sense, or no cluster can be made. What goes wrong later is in the outcome.
    pub async fn run(&self, mut interrupt: Interrupt) -> Result<Outcome> {
        let mut all = plans(&self.system, &self.choice)?;
        if let Some(only) = self.only {
            all = vec![numbered(&all, only)?.clone()];
        }
        let beds = self.beds(all.len(), &mut interrupt).await?;
        let mut field = Field { trials: self, beds, count: all.len(), next: next_number(&all) };
        let went = tokio::select! {
            went = async {
                field.prepare().await?;
                field.investigate(all).await
            } => went,
            _ = interrupt.wait_for(|stop| *stop) => Err(Error::interrupted()),
        };
        let tried = field.tried();
        let findings = Findings::of(&self.system, &tried, &self.choice.first);
        let histories = field.beds.iter().map(Bed::history).collect();
        let given_back = join_all(field.beds.into_iter().map(Bed::give_back)).await;
        let (mut folders, mut error) = (Vec::new(), None);
        for folder in given_back {
            match folder {
                Ok(folder) => folders.push(folder),
                Err(left) => error = error.or(Some(left)),
            }
        }
        let (order_works, went) = match went {
            Ok(works) => (works, None),
            Err(error) => (None, Some(error)),
        };
        // Cleaning up never hides the first error.
        Ok(Outcome { tried, findings, order_works, folders, histories, error: went.or(error) })
    }

    async fn beds(&self, plans: usize, interrupt: &mut Interrupt) -> Result<Vec<Bed>> {
        let count = self.side_by_side.min(plans).max(1);
        let lay =
            |_| Bed::lay(&self.system, self.runtime, &self.runs, |folder, clock| self.info(folder, clock));
        let laid = tokio::select! {
            laid = join_all((0..count).map(lay)) => laid,
            _ = interrupt.wait_for(|stop| *stop) => return Err(Error::interrupted()),
        };
        let (beds, errors): (Vec<_>, Vec<_>) = laid.into_iter().partition(Result::is_ok);
        if let Some(Err(error)) = errors.into_iter().next() {
            for bed in beds.into_iter().flatten() {
                let _ = bed.give_back().await;
            }
            return Err(error);
        }
        Ok(beds.into_iter().flatten().collect())
    }

    fn info(&self, folder: &RunFolder, clock: Clock) -> RunInfo {
        let wall = clock.wall_at_zero().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        RunInfo {
            id: folder.id().to_owned(),
            scenario: format!("orders/{}", self.system.name),
            about: format!(
                "The services of system `{}` start in many orders{}.",
                self.system.name,
                if self.choice.rotated { ", after every authority and certificate was replaced" } else { "" }
            ),
            runtime: self.runtime.name().to_owned(),
            seed: self.choice.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wall: crate::clock::micros(wall),
            minute_us: 0,
            rerun: self.rerun.clone(),
            expect: crate::check::Expect::Pass,
            stability_us: crate::clock::micros(self.limits.window),
            late_us: 0,
            incident: None,
        }
    }
}

/// The clusters, while plans are tried on them.
struct Field<'a> {
    trials: &'a Trials,
    beds: Vec<Bed>,
    count: usize,
    next: u32,
}

impl Field<'_> {
    /// Everything is rotated, if that is asked for.
    async fn prepare(&mut self) -> Result<()> {
        let Trials { choice, limits, .. } = self.trials;
        let beds = self.beds.iter_mut().filter(|_| choice.rotated);
        try_join_all(beds.map(|bed| bed.rotate(*limits))).await.map(drop)
    }

    /// Gives whether the order that follows works; none if there is none, or one plan was asked for.
    async fn investigate(&mut self, all: Vec<Plan>) -> Result<Option<bool>> {
        let first = all.clone();
        self.spread(all).await?;
        if self.trials.only.is_some() {
            return Ok(None);
        }
        for _ in 0..AGAIN {
            let doubtful = self.findings().doubtful();
            let again: Vec<Plan> =
                first.iter().filter(|plan| doubtful.contains(&plan.number)).cloned().collect();
            if again.is_empty() {
                break;
            }
            self.count += again.len();
            self.spread(again).await?;
        }
        let mut asked = BTreeMap::new();
        while let Some((pair, order)) = self.findings().question(&asked).filter(|_| asked.len() < QUESTIONS) {
            *asked.entry(pair).or_insert(0) += 1;
            self.ask(&order).await?;
        }
        match self.findings().order {
            None => Ok(None),
            Some(order) => {
                let number = self.ask(&order).await?;
                let tried = self.tried();
                let worked = tried.iter().find(|one| one.number == number);
                Ok(worked.map(|one| one.stuck.is_none() && one.crashes() == 0))
            }
        }
    }

    /// One more order, one after another. Gives the number of its plan.
    async fn ask(&mut self, order: &Order) -> Result<u32> {
        let number = self.next;
        self.next += 1;
        self.count += 1;
        let name = |one: &usize| vec![self.trials.system.services[*one].name.clone()];
        let steps = order.iter().map(name).collect();
        self.spread(vec![Plan { number, steps, way: Way::InTurn }]).await?;
        Ok(number)
    }

    /// Tries plans, as many side by side as there are clusters.
    async fn spread(&mut self, plans: Vec<Plan>) -> Result<()> {
        let queue = Mutex::new(VecDeque::from(plans));
        let (trials, count) = (self.trials, self.count);
        let work = self.beds.iter_mut().map(async |bed| {
            loop {
                let Some(plan) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
                    return Ok(());
                };
                bed.attempt(&plan, trials.limits)
                    .await
                    .map_err(|error| Error::new(format!("{plan}")).because(error))?;
                if let Some(watcher) = &trials.watcher {
                    watcher(&plan, count);
                }
            }
        });
        join_all(work).await.into_iter().collect()
    }

    fn tried(&self) -> Vec<Tried> {
        let mut tried: Vec<Tried> = self.beds.iter().flat_map(|bed| Tried::all(&bed.history())).collect();
        tried.sort_by_key(|one| one.number);
        tried
    }

    fn findings(&self) -> Findings {
        Findings::of(&self.trials.system, &self.tried(), &self.trials.choice.first)
    }
}

fn next_number(plans: &[Plan]) -> u32 {
    plans.iter().map(|plan| plan.number).max().map_or(1, |number| number + 1)
}
