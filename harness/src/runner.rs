//! The way of a run.

use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::watch, time::timeout};

use crate::{
    check::{Overall, judge_all},
    clock::Clock,
    context::Context,
    error::{Context as _, Error, Result, words_of},
    guardian::Guard,
    history::{History, Phase, Recorder, RunInfo, What},
    run::RunFolder,
    runtime::Runtime,
    scenario::Scenario,
    stage::Stage,
};

/// Where, with which seed, and how far.
#[derive(Clone)]
pub struct Plan {
    /// Where the system runs.
    pub runtime: Runtime,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// The folder in which the run gets its own.
    pub runs: PathBuf,
    /// The command that runs it again.
    pub rerun: String,
    /// Whether to keep the cluster as it is after a phase, until the interrupt.
    pub hold: Option<Hold>,
    /// Told when a phase begins.
    pub watcher: Option<Watcher>,
}

impl Plan {
    /// With seed 0, once and to the end, watched by nobody, in a new folder below `runs`.
    pub fn new(runtime: Runtime, runs: impl Into<PathBuf>) -> Self {
        Self { runtime, seed: 0, runs: runs.into(), rerun: String::new(), hold: None, watcher: None }
    }
}

/// Told when a phase of a run begins, and where its evidence is.
pub type Watcher = Arc<dyn Fn(&RunFolder, Phase) + Send + Sync>;

/// Keeps a broken cluster up for somebody to look at.
#[derive(Clone)]
pub struct Hold {
    /// The last phase that is gone through.
    pub after: Phase,
    /// Told when it holds.
    pub show: Show,
}

/// Shows a cluster that is held, and where its evidence is.
pub type Show = Arc<dyn Fn(&Context, &RunFolder) + Send + Sync>;

/// What is left of a run.
pub struct Finished {
    /// Its evidence.
    pub folder: RunFolder,
    /// What happened.
    pub history: History,
    /// What the checks say.
    pub overall: Overall,
    /// Why a phase did not end in order; the verdict is unknown then.
    pub error: Option<Error>,
}

/// Tells a run that it must end: a change to `true`.
pub type Interrupt = watch::Receiver<bool>;

/// How much later than a phase's own limit it is ended from outside.
const SLACK: Duration = Duration::from_secs(5);

/// The phases that may go wrong; the others always run.
pub const WAY: [Phase; 8] = [
    Phase::Start,
    Phase::Steady,
    Phase::Inject,
    Phase::Landed,
    Phase::Observe,
    Phase::Repair,
    Phase::Recover,
    Phase::Drain,
];

/// Runs one scenario once.
///
/// # Errors
/// If nothing could begin: no folder, no guardian, or the evidence could not be kept.
pub async fn run(scenario: &Scenario, plan: &Plan, mut interrupt: Interrupt) -> Result<Finished> {
    let folder = RunFolder::create(&plan.runs, &scenario.name, plan.seed)?;
    let recorder = begin(scenario, plan, &folder)?;
    let guard = Guard::post(&folder)?;
    let mut stage = Stage::new(scenario, plan.runtime, &folder, &recorder);

    let enter = |phase| {
        recorder.record(What::PhaseBegan { phase });
        if let Some(watcher) = &plan.watcher {
            watcher(&folder, phase);
        }
    };
    let went = go(scenario, plan, &mut stage, &enter, &mut interrupt).await;
    enter(Phase::Judge);
    let overall = judge_all(&recorder.so_far(), &scenario.checks);
    for (check, verdict) in overall.checks.clone() {
        recorder.record(What::Judged { check, verdict });
    }
    recorder.record(What::PhaseEnded { phase: Phase::Judge, error: None });
    enter(Phase::Heal);
    let healed = always(&recorder, Phase::Heal, stage.heal()).await;
    enter(Phase::TearDown);
    let torn_down = always(&recorder, Phase::TearDown, stage.tear_down()).await;

    if torn_down.is_ok() {
        guard.release().await;
    } // Otherwise the guardians remove what we could not.
    recorder.flush().context(|| format!("the evidence in {} is incomplete", folder.path().display()))?;
    // Cleaning up never hides the first error.
    Ok(Finished { folder, history: recorder.so_far(), overall, error: went.and(healed).and(torn_down).err() })
}

async fn go(
    scenario: &Scenario,
    plan: &Plan,
    stage: &mut Stage<'_>,
    enter: &(dyn Fn(Phase) + Sync),
    interrupt: &mut Interrupt,
) -> Result<()> {
    let (folder, recorder) = (stage.folder(), stage.recorder());
    for phase in WAY {
        enter(phase);
        let limit = scenario.limits.of(phase);
        // A panic must not keep the cluster from being torn down.
        // A phase that knows its limit says what it waited for; this one ends those that do not.
        let act = AssertUnwindSafe(timeout(limit + SLACK, stage.act(phase))).catch_unwind();
        let went = tokio::select! {
            went = act => went,
            _ = interrupt.wait_for(|stop| *stop) => Ok(Ok(Err(Error::interrupted()))),
        };
        let went = match went {
            Ok(Ok(went)) => went,
            Ok(Err(_)) => Err(Error::new(format!("not over after {limit:?}"))),
            Err(panic) => Err(Error::bug(words_of(&*panic))),
        };
        let went = went.and_then(|()| recorder.flush().context(|| "cannot write the history".into()));
        let error = went.as_ref().err().map(ToString::to_string);
        recorder.record(What::PhaseEnded { phase, error });
        went.map_err(|error| error.during(phase))?;
        if let Some(hold) = plan.hold.as_ref().filter(|hold| hold.after == phase) {
            stage.quiet().await;
            (hold.show)(stage.context()?, folder);
            let _ = interrupt.wait_for(|stop| *stop).await;
            return Err(Error::interrupted());
        }
    }
    Ok(())
}

async fn always(recorder: &Recorder, phase: Phase, act: impl Future<Output = Result<()>>) -> Result<()> {
    let went = AssertUnwindSafe(act).catch_unwind().await;
    let went = went.unwrap_or_else(|panic| Err(Error::bug(words_of(&*panic))));
    let error = went.as_ref().err().map(ToString::to_string);
    recorder.record(What::PhaseEnded { phase, error });
    went.map_err(|error| error.during(phase))
}

fn begin(scenario: &Scenario, plan: &Plan, folder: &RunFolder) -> Result<Recorder> {
    let clock = Clock::start();
    let recorder = Recorder::create(&folder.history(), clock)
        .context(|| format!("cannot write {}", folder.history().display()))?;
    let wall = clock.wall_at_zero().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    recorder.record_at(
        0,
        What::Run(RunInfo {
            id: folder.id().to_owned(),
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            runtime: plan.runtime.name().to_owned(),
            seed: plan.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wall: crate::clock::micros(wall),
            minute_us: crate::clock::micros(scenario.minute.0),
            rerun: plan.rerun.clone(),
            expect: scenario.expect.clone(),
            stability_us: crate::clock::micros(scenario.stability.0),
            late_us: scenario
                .workload
                .ledger
                .as_ref()
                .map_or(0, |ledger| crate::clock::micros(ledger.late.0)),
            incident: scenario.incident.clone(),
        }),
    );
    Ok(recorder)
}
