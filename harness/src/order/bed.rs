//! A cluster on which plans are tried, one after another, each from a clean state.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep};

use super::Plan;
use crate::{
    clock::Clock,
    error::{Context as _, Error, Result},
    guardian::Guard,
    history::{Event, Health, History, ProcessChange, Purpose, Recorder, RunInfo, Stuck, Tail, Way, What},
    pki::{Pki, Validity},
    prober::Prober,
    run::RunFolder,
    runtime::{Cluster, Order, Runtime, provision},
    stage::last_words,
    system::{Filled, Start, System},
    watch::Watch,
};

/// How long an attempt may take, and when it counts as over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Everything is up by then, or never will be.
    pub within: Duration,
    /// Everything has to stay up for this long.
    pub window: Duration,
}

impl Default for Limits {
    /// 10 s and 100 ms.
    fn default() -> Self {
        Self { within: Duration::from_secs(10), window: Duration::from_millis(100) }
    }
}

/// Certificates outlive every attempt.
const LIFETIME: Duration = Duration::from_hours(24);
/// A probe's answer that takes longer is none.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// How often is looked whether something has changed.
const LOOK: Duration = Duration::from_millis(2);
/// A service that is alive and not ready for three times as long as a start takes here, within these
/// limits, waits for something that comes later.
const SETTLED: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(250)];
/// What is stopped with SIGKILL is gone by then.
const GONE: Duration = Duration::from_secs(20);

/// A cluster on which plans are tried.
pub struct Bed {
    folder: RunFolder,
    recorder: Recorder,
    cluster: Arc<Cluster>,
    pki: Pki,
    prober: Prober,
    watch: Watch,
    guard: Guard,
    seen: Seen,
}

impl Bed {
    /// Makes a cluster of the system, in which nothing runs. `info` says what its history is of.
    ///
    /// # Errors
    /// If the runtime cannot.
    pub async fn lay(
        system: &System,
        runtime: Runtime,
        runs: &Path,
        info: impl FnOnce(&RunFolder, Clock) -> RunInfo,
    ) -> Result<Self> {
        let folder = RunFolder::create(runs, &format!("orders/{}", system.name), 0)?;
        let clock = Clock::start();
        let recorder = Recorder::create(&folder.history(), clock)
            .context(|| format!("cannot write {}", folder.history().display()))?;
        recorder.record_at(0, What::Run(info(&folder, clock)));
        let guard = Guard::post(&folder)?;
        let cluster = Arc::new(runtime.create(system, &folder, &recorder).await?);
        let pki = cluster.authorities()?;
        provision(&cluster, &pki, Validity::lasting(LIFETIME))?;
        let prober = Prober::new(cluster.clone(), recorder.clone(), PROBE_LIMIT);
        let watch = Watch::start(&cluster, &recorder);
        let seen = Seen::new(system, &recorder);
        Ok(Self { folder, recorder, cluster, pki, prober, watch, guard, seen })
    }

    /// What happened so far.
    pub fn history(&self) -> History {
        self.recorder.so_far()
    }

    /// Where its evidence is.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Starts everything, and replaces every authority and every certificate while it runs. What does
    /// not come up in time is rotated all the same.
    ///
    /// # Errors
    /// If a service cannot be started or stopped at all, or a credential not be put where it belongs.
    pub async fn rotate(&mut self, limits: Limits) -> Result<()> {
        self.clean().await?;
        self.start(&self.names()).await?;
        let _ = self.converge(Instant::now() + limits.within, limits.window).await;
        self.pki = self.cluster.authorities()?;
        provision(&self.cluster, &self.pki, Validity::lasting(LIFETIME))
    }

    /// Tries a plan, from nothing: no service runs, and none has stored anything.
    ///
    /// # Errors
    /// If a service cannot be started or stopped at all. That one does not come up is no error.
    pub async fn attempt(&mut self, plan: &Plan, limits: Limits) -> Result<()> {
        self.clean().await?;
        let order = plan.order();
        let together = plan.steps.iter().any(|step| step.len() > 1);
        let groups = if together { plan.steps.iter().map(Vec::len).collect() } else { Vec::new() };
        let tried = What::OrderTried { attempt: plan.number, order, groups, way: plan.way.clone() };
        let deadline = Instant::now() + limits.within;
        let begun = match &plan.way {
            Way::Restarted { .. } => {
                self.start(&self.names()).await?;
                self.converge(deadline, limits.window).await
            }
            Way::Returning { service, .. } => {
                let independent = self.independent_of(service);
                self.start(&independent).await?;
                self.ready(&independent, deadline).await
            }
            Way::InTurn | Way::AtOnce | Way::HeldBack { .. } => Ok(()),
        };
        self.recorder.record(tried);
        let came = match begun {
            Ok(()) => {
                self.go(plan, deadline).await?;
                self.converge(Instant::now() + limits.within, limits.window).await
            }
            Err(stuck) => Err(stuck),
        };
        self.recorder.record(What::OrderEnded { attempt: plan.number, stuck: came.err() });
        self.recorder
            .flush()
            .context(|| format!("the evidence in {} is incomplete", self.folder.path().display()))
    }

    /// Ends everything and removes it, but for the evidence.
    ///
    /// # Errors
    /// What could not be removed; the guardians try again.
    pub async fn give_back(self) -> Result<RunFolder> {
        self.watch.stop().await;
        self.cluster.tear_down().await?;
        self.guard.release().await;
        Ok(self.folder)
    }

    async fn go(&mut self, plan: &Plan, deadline: Instant) -> Result<()> {
        match &plan.way {
            Way::InTurn => {
                for step in &plan.steps {
                    self.start(step).await?;
                    self.settled(step, deadline).await;
                }
            }
            Way::AtOnce => self.start(&self.names()).await?,
            Way::HeldBack { service, by_ms } => {
                let mut others = self.names();
                others.retain(|name| name != service);
                self.start(&others).await?;
                sleep(Duration::from_millis(*by_ms)).await;
                self.start(std::slice::from_ref(service)).await?;
            }
            Way::Restarted { services, renewed } => {
                if *renewed {
                    self.renew(services)?;
                }
                self.order(services, Order::Restart).await?;
            }
            Way::Returning { service, after_ms } => {
                self.order(std::slice::from_ref(service), Order::Stop).await?;
                let independent = self.independent_of(service);
                let mut dependents = self.names();
                dependents.retain(|name| !independent.contains(name));
                self.start(&dependents).await?;
                sleep(Duration::from_millis(*after_ms)).await;
                self.start(std::slice::from_ref(service)).await?;
            }
        }
        Ok(())
    }

    /// Nothing runs, and nothing is left of what ran.
    async fn clean(&mut self) -> Result<()> {
        let names = self.names();
        self.order(&names, Order::End).await?;
        let limit = Instant::now() + GONE;
        while self.seen.look().values().any(|one| one.runs || one.live) {
            if Instant::now() > limit {
                return Err(Error::new("services still answer after they were killed")
                    .hint("does somebody else listen at their addresses?"));
            }
            sleep(LOOK).await;
        }
        for service in &self.cluster.system().services {
            self.cluster.forget(&service.name)?;
            for (name, mount) in &service.mounts {
                if mount.filled == Filled::ByItself {
                    let bundle = self.pki.authority(&mount.authority)?.bundle();
                    self.cluster.empty_mount(&service.name, name, &bundle)?;
                }
            }
        }
        self.seen.forget();
        Ok(())
    }

    async fn start(&self, services: &[String]) -> Result<()> {
        self.order(services, Order::Start).await
    }

    async fn order(&self, services: &[String], order: Order) -> Result<()> {
        try_join_all(services.iter().map(|service| self.cluster.order(service, order))).await.map(drop)
    }

    /// New certificates, by an operator: in the mounts that services fill themselves, too.
    fn renew(&self, services: &[String]) -> Result<()> {
        let known = services.iter().filter_map(|name| self.cluster.system().service(name));
        for (service, (name, mount)) in known.flat_map(|one| one.mounts.iter().map(move |mount| (one, mount)))
        {
            let credential =
                self.pki.issue(&mount.authority, &service.name, name, Validity::lasting(LIFETIME))?;
            self.recorder.record(What::Installed {
                service: service.name.clone(),
                mount: name.clone(),
                leaf: credential.leaf().clone(),
                why: Purpose::Repair,
            });
            self.cluster.install(&service.name, name, &credential)?;
        }
        Ok(())
    }

    /// Waits until each of these is ready, has ended, or waits for something that comes later. Who exits
    /// when a need does not answer waits for nobody: on a busy machine it would else have come to ask
    /// only after the next one was up, and got away with it.
    async fn settled(&mut self, services: &[String], deadline: Instant) {
        let began = Instant::now();
        let waits: Vec<bool> = services.iter().map(|name| self.waits_for_needs(name)).collect();
        let patience = (self.seen.usual * 3).clamp(SETTLED[0], SETTLED[1]);
        loop {
            let seen = self.seen.look();
            let open = services.iter().zip(&waits).any(|(name, waits)| {
                seen.get(name).is_some_and(|one| {
                    let is_waiting = *waits && one.live && began.elapsed() >= patience;
                    !one.ready && one.ended == 0 && !is_waiting
                })
            });
            if !open {
                break;
            }
            if Instant::now() > deadline {
                return;
            }
            sleep(LOOK).await;
        }
        if services.iter().all(|name| self.seen.services.get(name).is_some_and(|one| one.ready)) {
            self.seen.usual = (self.seen.usual * 3 + began.elapsed()) / 4;
        }
    }

    async fn ready(&mut self, services: &[String], deadline: Instant) -> Result<(), Stuck> {
        loop {
            let seen = self.seen.look();
            let unready = services.iter().find_map(|name| Some((name, seen.get(name)?.why_unready()?)));
            let Some((service, why)) = unready else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(Stuck { service: service.clone(), why });
            }
            sleep(LOOK).await;
        }
    }

    /// Everything is ready, every declared hop was verified, and it stays so for a whole window.
    async fn converge(&mut self, deadline: Instant, window: Duration) -> Result<(), Stuck> {
        let names = self.names();
        let hops = self.cluster.system().hops();
        loop {
            self.ready(&names, deadline).await?;
            let ended = self.seen.ended();
            let answers = join_all(hops.iter().map(|hop| self.prober.fresh(hop))).await;
            if let Some(refused) = answers.into_iter().find(|probe| !probe.outcome.is_served()) {
                if Instant::now() > deadline {
                    let why = format!("{} cannot call it: {}", refused.client, refused.outcome);
                    return Err(Stuck { service: refused.server, why });
                }
                sleep(LOOK).await;
                continue;
            }
            let until = Instant::now() + window;
            loop {
                let calm = self.seen.look().values().all(|one| one.ready);
                if !calm || self.seen.ended() != ended {
                    break;
                }
                if Instant::now() >= until {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        }
    }

    fn waits_for_needs(&self, name: &str) -> bool {
        self.cluster.system().service(name).is_none_or(|service| service.start == Start::InAnyOrder)
    }

    fn names(&self) -> Vec<String> {
        self.cluster.system().services.iter().map(|service| service.name.clone()).collect()
    }

    /// This service, and all that can be ready without it.
    fn independent_of(&self, service: &str) -> Vec<String> {
        let mut dependents = vec![service.to_owned()];
        let services = &self.cluster.system().services;
        while let Some(next) = services.iter().find(|one| {
            !dependents.contains(&one.name) && one.needs.keys().any(|need| dependents.contains(need))
        }) {
            dependents.push(next.name.clone());
        }
        let independent =
            self.names().into_iter().filter(|name| name == service || !dependents.contains(name));
        independent.collect()
    }
}

/// What is known of every service at this moment, from the history.
struct Seen {
    tail: Tail,
    services: HashMap<String, One>,
    /// How long a start takes which nothing stands in the way of: a moving average.
    usual: Duration,
}

#[derive(Default)]
struct One {
    runs: bool,
    live: bool,
    ready: bool,
    /// How often it ended by itself in this attempt.
    ended: u32,
    words: Option<String>,
    waits_for: Vec<String>,
}

impl Seen {
    fn new(system: &System, recorder: &Recorder) -> Self {
        let services = system.services.iter().map(|service| (service.name.clone(), One::default())).collect();
        Self { tail: Tail::from_start(recorder), services, usual: Duration::ZERO }
    }

    fn look(&mut self) -> &HashMap<String, One> {
        let Self { tail, services, .. } = self;
        tail.look(|event| take(services, event));
        services
    }

    fn forget(&mut self) {
        self.look();
        self.services.values_mut().for_each(|one| *one = One::default());
    }

    fn ended(&self) -> u32 {
        self.services.values().map(|one| one.ended).sum()
    }
}

fn take(services: &mut HashMap<String, One>, event: &Event) {
    match &event.what {
        What::Process { service, change } => {
            let Some(one) = services.get_mut(service) else { return };
            match change {
                ProcessChange::Spawned { .. } => one.runs = true,
                ProcessChange::Exited { asked, .. } => {
                    (one.runs, one.ready) = (false, false);
                    one.ended += u32::from(!asked);
                }
                ProcessChange::NotSpawned { .. } => one.ended += 1,
                ProcessChange::BackingOff { .. } => {}
            }
            one.words = last_words(change).or(one.words.take());
        }
        What::Health(Health { service, live, ready, waits_for }) => {
            let Some(one) = services.get_mut(service) else { return };
            (one.live, one.ready) = (*live, *ready && one.runs);
            one.waits_for.clone_from(waits_for);
        }
        _ => {}
    }
}

impl One {
    fn why_unready(&self) -> Option<String> {
        if self.ready {
            return None;
        }
        Some(match &self.words {
            _ if self.live && !self.waits_for.is_empty() => {
                format!("it waits for {}", self.waits_for.join(", "))
            }
            Some(words) => words.clone(),
            None => "its health endpoint does not answer".into(),
        })
    }
}
