//! What each phase of a run does, and everything that runs meanwhile.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::{OptionFuture, try_join_all};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    alerting::Alerting,
    calm::Calm,
    context::Context,
    error::{Error, Result},
    fault::{AnyFault, Injected},
    history::{AlertRule, Micros, Phase, ProcessChange, Question, Recorder, Tail, What},
    http::Client,
    journal::Journal,
    landing,
    pki::{Authority, Identity, Pki, Validity},
    prober::{Intruder, OpenConnections, Pacer, Prober, ResumedSessions, Schedule},
    run::RunFolder,
    runbook,
    runtime::{Runtime, provision},
    scenario::{Aftermath, Begins, Scenario},
    supervise::Order,
    system::System,
    watch::Watch,
    workload::{self, Ledger},
};

/// A probe's answer that takes longer is none.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// A kubelet that says that it is ready asks whom it may serve first.
const SERVED_EVERY: Duration = Duration::from_millis(100);
/// Users wait longer: a lost packet costs a second, and is no outage.
const USER_LIMIT: Duration = Duration::from_secs(3);
/// An account or a recovery run may take longer than a user waits.
const WORK_LIMIT: Duration = Duration::from_secs(20);
/// A ledger that has not filled up for this long never will.
const STALLED: Duration = Duration::from_secs(10);
/// How long certificates last that nobody breaks.
const LIFETIME: Duration = Duration::from_hours(24);
/// Who calls on behalf of users and operators.
const USER: &str = "user";
/// Nothing that ends takes longer, though nine containers on a starved machine take half of it.
const END_LIMIT: Duration = Duration::from_mins(1);

/// A scenario while it runs.
pub struct Stage<'a> {
    scenario: &'a Scenario,
    runtime: Runtime,
    folder: &'a RunFolder,
    recorder: &'a Recorder,
    running: Option<Running>,
    injected: Vec<Injected>,
    /// When the fault was injected.
    since: Micros,
    /// One for each time that something was injected.
    expiries: Vec<JoinHandle<Result<()>>>,
}

/// Everything that runs while a scenario does.
struct Running {
    context: Arc<Context>,
    watch: Watch,
    _alerting: Alerting,
    schedule: Option<Schedule>,
    open: Option<OpenConnections>,
    resumed: Option<ResumedSessions>,
    workload: Option<workload::Running>,
}

impl<'a> Stage<'a> {
    /// Nothing runs yet.
    pub fn new(
        scenario: &'a Scenario,
        runtime: Runtime,
        folder: &'a RunFolder,
        recorder: &'a Recorder,
    ) -> Self {
        Self {
            scenario,
            runtime,
            folder,
            recorder,
            running: None,
            injected: Vec::new(),
            since: 0,
            expiries: Vec::new(),
        }
    }

    /// Where its evidence goes.
    pub fn folder(&self) -> &'a RunFolder {
        self.folder
    }

    /// What writes its history.
    pub fn recorder(&self) -> &'a Recorder {
        self.recorder
    }

    /// What is in hand while it runs.
    ///
    /// # Errors
    /// If nothing runs.
    pub fn context(&self) -> Result<&Arc<Context>> {
        let running = self.running.as_ref().ok_or_else(|| Error::new("the cluster does not run"))?;
        Ok(&running.context)
    }

    /// Goes through one phase.
    ///
    /// # Errors
    /// Why it did not end in order.
    pub async fn act(&mut self, phase: Phase) -> Result<()> {
        match phase {
            Phase::Start => self.start().await,
            Phase::Steady => self.steady().await,
            Phase::Inject => self.inject().await,
            Phase::Landed => self.landed().await,
            Phase::Observe => self.observe().await,
            Phase::Repair => self.repair().await,
            Phase::Recover => self.recover().await,
            Phase::Drain => self.drain().await,
            Phase::Judge | Phase::Heal | Phase::TearDown => Ok(()),
        }
    }

    /// Every service is started, ready, and every declared hop was verified once.
    async fn start(&mut self) -> Result<()> {
        let Self { scenario, folder, recorder, .. } = *self;
        let until = Instant::now() + scenario.limits.start;
        let cluster = Arc::new(self.runtime.create(&scenario.system, folder, recorder).await?);
        let pki = cluster.authorities()?;
        let prober = Prober::new(cluster.clone(), recorder.clone(), PROBE_LIMIT);
        let user = pki.authority(&scenario.workload.authority)?;
        let user = user.issue(&Identity::client(USER), Validity::lasting(LIFETIME))?;
        let client = Client::new(cluster.clone(), &user, USER_LIMIT)?;
        let journal = Journal::create(folder)?;
        let context = Context { cluster, pki, prober, client, recorder: recorder.clone(), journal };
        let context = Arc::new(context);
        self.running = Some(Running {
            watch: Watch::start(&context.cluster, recorder),
            _alerting: Alerting::start(&context.cluster, recorder, scenario.alert)?,
            context: context.clone(),
            schedule: None,
            open: None,
            resumed: None,
            workload: None,
        });
        provision(&context.cluster, &context.pki, Validity::lasting(LIFETIME))?;
        runbook::start_everything(&context).await?;
        let mut calm = Calm::new(&scenario.system, recorder);
        calm.until_ready(scenario.limits.start).await?;
        let hops = scenario.system.hops();
        loop {
            let asked = hops.iter().map(|hop| context.prober.fresh(hop));
            let answers = futures_util::future::join_all(asked).await;
            match answers.into_iter().find(|probe| !probe.outcome.is_served()) {
                None => return Ok(()),
                Some(_) if Instant::now() < until => tokio::time::sleep(SERVED_EVERY).await,
                Some(probe) => {
                    return Err(Error::new(format!(
                        "every service is ready, yet {} -> {} is not: {}",
                        probe.client, probe.server, probe.outcome
                    )));
                }
            }
        }
    }

    /// The control: every kind of operation and every hop works for a whole stability window.
    async fn steady(&mut self) -> Result<()> {
        let Self { scenario, recorder, .. } = *self;
        let running = self.running.as_mut().ok_or_else(|| Error::new("the cluster does not run"))?;
        let Context { pki, prober, client, .. } = &*running.context;
        let hops = scenario.system.hops();
        let intruders = intruders(&scenario.system, pki)?;
        let pacer = Pacer::new(scenario.pace);
        running.workload = Some(scenario.workload.start(client, recorder, &pacer));
        running.schedule = Some(Schedule::start(prober, hops, &pacer, intruders));
        let mut calm = Calm::new(&scenario.system, recorder);
        calm.expect(&scenario.workload);
        calm.until_calm(scenario.stability.0, scenario.limits.steady).await
    }

    async fn inject(&mut self) -> Result<()> {
        self.since = self.recorder.clock().now();
        self.injected = inject_all(&self.scenario.faults, self.context()?).await?;
        Ok(())
    }

    async fn landed(&mut self) -> Result<()> {
        let context = self.context()?.clone();
        landing::wait(&context, &self.injected, self.since, self.scenario.limits.landed).await?;
        if self.scenario.aftermath == Aftermath::RestartBroken {
            let broken: BTreeSet<&String> = self.injected.iter().map(|one| &one.service).collect();
            let restarts = broken.into_iter().map(|service| context.cluster.order(service, Order::Restart));
            futures_util::future::try_join_all(restarts).await?;
        }
        if let Some(running) = self.running.as_mut().filter(|_| self.scenario.ask_open_connections) {
            // Now, so that what will end is what they were opened with.
            running.open = Some(OpenConnections::start(&context.prober, self.scenario.system.hops()));
        }
        if let Some(running) = self.running.as_mut().filter(|_| self.scenario.ask_resumed_sessions) {
            running.resumed = Some(ResumedSessions::start(&context.prober, self.scenario.system.hops()));
        }
        if self.scenario.aftermath == Aftermath::RefreshAll {
            let own = context.system().own();
            try_join_all(own.map(|one| context.cluster.order(&one.name, Order::Restart))).await?;
        }
        self.expiries.push(landing::watch_expiry(context, self.injected.clone(), self.scenario.aftermath));
        Ok(())
    }

    /// Until the repair may begin.
    async fn observe(&mut self) -> Result<()> {
        match self.scenario.repair.begins {
            Begins::AfterObserving => {
                self.expired().await?;
                tokio::time::sleep(self.scenario.observe.0).await;
                Ok(())
            }
            Begins::AtLanding => Ok(()),
            Begins::AtExpiryAlert => {
                let mut told = false;
                Tail::from_start(self.recorder)
                    .until(self.scenario.limits.observe, |tail| {
                        tail.look(|event| {
                            told |=
                                matches!(&event.what, What::Alert(alert) if alert.rule == AlertRule::Expiry);
                        });
                        if told { Ok(()) } else { Err("nobody was told that a certificate will end".into()) }
                    })
                    .await
            }
        }
    }

    async fn repair(&mut self) -> Result<()> {
        if !self.scenario.during_repair.is_empty() {
            let (context, since) = (self.context()?.clone(), self.recorder.clock().now());
            let injected = inject_all(&self.scenario.during_repair, &context).await?;
            landing::wait(&context, &injected, since, self.scenario.limits.landed).await?;
            self.expiries.push(landing::watch_expiry(context, injected, self.scenario.aftermath));
        }
        self.scenario.repair.runbook.execute(self.context()?, 0).await
    }

    /// Every operation and every hop works for a whole stability window, after the fault has bitten. A
    /// system that does not get there is a finding for the checks, not an error of the run.
    async fn recover(&mut self) -> Result<()> {
        let window = self.scenario.stability.0;
        let until = Instant::now() + self.scenario.limits.recover;
        if !self.expiries.is_empty() {
            self.expired().await?;
            // It bites now; what worked until now says nothing.
            tokio::time::sleep(window).await;
        }
        let mut calm = Calm::new(&self.scenario.system, self.recorder);
        calm.expect(&self.scenario.workload);
        let left = until.saturating_duration_since(Instant::now());
        if let Err(error) = calm.until_calm(window, left).await {
            self.recorder.record(What::NotRecovered { why: error.to_string() });
        }
        Ok(())
    }

    /// Every record sent until now is stored, and every intruder has tried every server.
    async fn drain(&mut self) -> Result<()> {
        let context = self.context()?.clone();
        let client = context.client.patient(WORK_LIMIT);
        let ledger = self.scenario.workload.ledger.as_ref();
        let whole = OptionFuture::from(ledger.map(|ledger| self.until_whole(ledger, &client)));
        // In a short run their turn has not come to every server, and whoever lets in anybody must not be overlooked.
        let schedule = self.running.as_ref().and_then(|running| running.schedule.as_ref());
        let tried = OptionFuture::from(schedule.map(Schedule::intrude_everywhere));
        let (horizon, _) = tokio::join!(whole, tried);
        let horizon = horizon.transpose()?;
        // The account is closed in peace: users would only slow it down.
        if let Some(running) = &mut self.running {
            running.quiet().await;
        }
        match ledger.zip(horizon) {
            Some((ledger, horizon)) => ledger.close(&client, self.recorder, horizon).await,
            None => Ok(()),
        }
    }

    /// Waits until every record sent until now is stored, or none is any more. Gives the last one's number.
    async fn until_whole(&self, ledger: &Ledger, client: &Client) -> Result<u64> {
        let horizon = ledger.latest(client).await?;
        let first = u32::try_from(self.scenario.repair.runbook.steps().len()).unwrap_or(u32::MAX);
        self.scenario.recovery_runs.execute(self.context()?, first).await?;
        let whole = async {
            let mut least = u64::MAX;
            let mut since = Instant::now();
            loop {
                let missing = ledger.missing(client, horizon).await?;
                if missing == 0 {
                    self.recorder.record(What::Drained);
                    return Ok::<(), Error>(());
                }
                if missing < least {
                    (least, since) = (missing, Instant::now());
                } else if since.elapsed() > STALLED {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // A ledger that never gets whole is a finding for the checks, not an error of the run.
        timeout(self.scenario.limits.drain / 2, whole).await.unwrap_or(Ok(()))?;
        Ok(horizon)
    }

    /// Asks nothing and does nothing any more, but leaves the cluster as it is.
    pub async fn quiet(&mut self) {
        self.recorder.hush();
        if let Some(running) = &mut self.running {
            running.quiet().await;
        }
    }

    /// Puts back what faults put there. Idempotent, and right in every phase.
    ///
    /// # Errors
    /// What could not be put back.
    pub async fn heal(&mut self) -> Result<()> {
        for expiry in self.expiries.drain(..) {
            expiry.abort();
        }
        if let Some(running) = &mut self.running {
            running.quiet().await;
            let Context { cluster, journal, .. } = &*running.context;
            journal.undo(cluster, self.recorder)?;
        }
        Ok(())
    }

    /// Ends everything that runs and removes everything that the run made, but its evidence.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn tear_down(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return self.folder.remove_secrets() };
        running.quiet().await;
        running.watch.stop().await;
        let torn_down = timeout(END_LIMIT, running.context.cluster.tear_down()).await;
        torn_down
            .unwrap_or_else(|_| Err(Error::new(format!("the cluster is still there after {END_LIMIT:?}"))))
    }

    /// Every injected credential has ended.
    async fn expired(&mut self) -> Result<()> {
        for expiry in self.expiries.drain(..) {
            expiry.await.map_err(|error| Error::new("watching the expiry").because(error))??;
        }
        Ok(())
    }
}

impl Running {
    async fn quiet(&mut self) {
        if let Some(schedule) = self.schedule.take() {
            schedule.stop().await;
        }
        if let Some(open) = self.open.take() {
            open.stop().await;
        }
        if let Some(resumed) = self.resumed.take() {
            resumed.stop().await;
        }
        if let Some(workload) = self.workload.take() {
            workload.stop().await;
        }
    }
}

/// Injects one fault after the other; gives what they put where.
async fn inject_all(faults: &[Box<dyn AnyFault>], context: &Context) -> Result<Vec<Injected>> {
    let mut all = Vec::new();
    for fault in faults {
        let injected = fault.inject(context).await;
        all.extend(injected.map_err(|error| Error::new(fault.describe()).because(error))?);
    }
    Ok(all)
}

/// Those who must not get in, for each authority: without a certificate, with an expired one, with a foreign one.
fn intruders(system: &System, pki: &Pki) -> Result<Vec<(Question, Intruder)>> {
    let foreign = Authority::new("foreign")?;
    let identity = Identity::client("intruder");
    let mut all = Vec::new();
    for authority in &system.authorities {
        let trusted = pki.authority(authority)?;
        let expired = trusted.issue(&identity, Validity::ended(Duration::from_mins(1)))?;
        let strange = foreign.issue(&identity, Validity::lasting(LIFETIME))?.with_bundle(trusted.bundle());
        all.extend([
            (Question::WithoutCertificate, Intruder::without_certificate(authority, &trusted.bundle())?),
            (Question::WithExpired, Intruder::showing(authority, &expired)?),
            (Question::WithForeign, Intruder::showing(authority, &strange)?),
        ]);
    }
    Ok(all)
}

/// The last thing that a service said, for whoever waits for it.
pub(crate) fn last_words(change: &ProcessChange) -> Option<String> {
    match change {
        ProcessChange::Exited { asked: false, code, signal, last_words } => {
            let with = match (code, signal) {
                (Some(code), _) => format!("exits with code {code}"),
                (None, Some(_)) => "exits with a signal".into(),
                // Whoever saw it end was not its parent.
                (None, None) => "ended".into(),
            };
            Some(format!("it {with}: {last_words}"))
        }
        ProcessChange::NotSpawned { error } => Some(format!("it cannot be started: {error}")),
        _ => None,
    }
}
