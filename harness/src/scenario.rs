//! A scenario is a value: system, faults, repair, checks, budgets, and the verdict it must give.

use std::time::Duration;

use crate::{
    alerting::ExpiryAlert,
    check::{Check, Expect},
    fault::AnyFault,
    history::Phase,
    incident::Incident,
    prober::Pace,
    profile::Server,
    runbook::Runbook,
    runtime::{Ability, Runtime},
    system::{Span, System},
    workload::Workload,
};

/// What happens, in which order, and what must come of it. Readable before it runs.
pub struct Scenario {
    /// `family/variant`.
    pub name: String,
    /// One paragraph: the chain, the only defect, what is expected.
    pub about: String,
    /// What is under test.
    pub system: System,
    /// What clients keep doing.
    pub workload: Workload,
    /// How often is asked and tried.
    pub pace: Pace,
    /// Whether connections that stay open are asked all the time, beside fresh handshakes.
    pub ask_open_connections: bool,
    /// Whether sessions that are resumed are, too.
    pub ask_resumed_sessions: bool,
    /// Who is told before a certificate ends.
    pub alert: Option<ExpiryAlert>,
    /// Abilities that the runtime must have, beside those that the faults need.
    pub needs: Vec<Ability>,
    /// Servers that others wrote and that must be installed, because services of the system are such.
    pub servers: Vec<Server>,
    /// What is broken.
    pub faults: Vec<Box<dyn AnyFault>>,
    /// What the platform does with a service whose credential ended while it was in use.
    pub aftermath: Aftermath,
    /// How long is watched after the fault bit, before the repair may begin.
    pub observe: Span,
    /// Who repairs, and when.
    pub repair: Repair,
    /// What breaks as people begin to repair, before their first step is done.
    pub during_repair: Vec<Box<dyn AnyFault>>,
    /// What is done again after the recovery, so that the ledger gets whole.
    pub recovery_runs: Runbook,
    /// How long every operation must succeed before the system counts as recovered.
    pub stability: Span,
    /// What is judged.
    pub checks: Vec<Box<dyn Check>>,
    /// The verdict that it must give.
    pub expect: Expect,
    /// How long each phase may take before the run is unknown.
    pub limits: Limits,
    /// The incident that it reproduces.
    pub incident: Option<Incident>,
    /// What one minute of the incident takes here.
    pub minute: Span,
}

/// What the platform does with a service whose credential ended while it was in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aftermath {
    /// It leaves it alone: connections that are open live on.
    #[default]
    Nothing,
    /// It restarts it, as a node refresh would, which cuts its connections.
    RefreshExpired,
    /// It restarts every service of one's own once the fault has landed, whatever has ended.
    RefreshAll,
    /// It restarts whom a fault hit, as soon as the fault has landed: what is read only at the start is read
    /// then, and connections are cut.
    RestartBroken,
}

/// Who repairs, and when.
#[derive(Default)]
pub struct Repair {
    /// When it begins.
    pub begins: Begins,
    /// What is done; nothing if the system must heal itself.
    pub runbook: Runbook,
}

/// When a repair begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begins {
    /// Once the fault bit and was watched for as long as the scenario says.
    #[default]
    AfterObserving,
    /// As soon as the fault has landed, before it bites.
    AtLanding,
    /// At the first alert that a certificate will end, whether or not it has.
    AtExpiryAlert,
}

/// How long each phase may take before the run is unknown. Generous: they end a hang, they measure nothing.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From nothing to every service ready.
    pub start: Duration,
    /// From ready to every operation and hop well.
    pub steady: Duration,
    /// From the injection to the fault on the wire everywhere.
    pub landed: Duration,
    /// From the landing to the end of the watch.
    pub observe: Duration,
    /// All of the runbook.
    pub repair: Duration,
    /// From the repair to a stable recovery.
    pub recover: Duration,
    /// From the recovery to a whole ledger.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            start: seconds(60),
            steady: seconds(60),
            landed: seconds(20),
            observe: seconds(60),
            repair: seconds(120),
            recover: seconds(60),
            drain: seconds(60),
        }
    }
}

impl Limits {
    /// How long this phase may take.
    pub fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Start => self.start,
            Phase::Steady => self.steady,
            Phase::Observe => self.observe,
            Phase::Repair => self.repair,
            Phase::Recover => self.recover,
            Phase::Drain => self.drain,
            _ => self.landed,
        }
    }
}

impl Scenario {
    /// A scenario of this name on this system, with nothing broken and nothing judged.
    pub fn new(name: impl Into<String>, system: System) -> Self {
        Self {
            name: name.into(),
            about: String::new(),
            system,
            workload: Workload::default(),
            pace: Pace::default(),
            ask_open_connections: false,
            ask_resumed_sessions: false,
            alert: None,
            needs: Vec::new(),
            servers: Vec::new(),
            faults: Vec::new(),
            aftermath: Aftermath::default(),
            observe: Span(Duration::from_millis(500)),
            repair: Repair::default(),
            during_repair: Vec::new(),
            recovery_runs: Runbook::default(),
            stability: Span(Duration::from_millis(500)),
            checks: Vec::new(),
            expect: Expect::default(),
            limits: Limits::default(),
            incident: None,
            minute: Span(Duration::ZERO),
        }
    }

    /// The same as a control, which must fail these checks and no other.
    #[must_use]
    pub fn failing(self, caught_by: &[&str]) -> Self {
        Self { expect: Expect::Fail(caught_by.iter().map(ToString::to_string).collect()), ..self }
    }

    /// Why this scenario cannot run there and on this machine; none if it can.
    pub fn cannot_run(&self, runtime: Runtime) -> Option<String> {
        let missing = || Some(runtime.lacks(&self.servers)?.to_string().replace('\n', "; "));
        self.lacking(runtime).or_else(missing)
    }

    /// Why this scenario cannot run there, on any machine; none if it can.
    pub fn lacking(&self, runtime: Runtime) -> Option<String> {
        let faults = self.faults.iter().chain(&self.during_repair);
        let needed = faults.flat_map(|fault| fault.needs()).chain(&self.needs);
        // Whoever cannot run the system at all says so, and not what else it cannot.
        let needed = [Ability::to_run(&self.system)].into_iter().chain(needed.copied());
        let lacking = needed.into_iter().find_map(|ability| runtime.cannot(ability));
        lacking.or_else(|| runtime.cannot_serve(&self.servers))
    }
}

impl Repair {
    /// After the fault was watched, by this runbook.
    pub fn by(runbook: Runbook) -> Self {
        Self { begins: Begins::AfterObserving, runbook }
    }

    /// As soon as the fault has landed, before it bites, by this runbook.
    pub fn at_landing(runbook: Runbook) -> Self {
        Self { begins: Begins::AtLanding, runbook }
    }

    /// At the first alert that a certificate will end, by this runbook.
    pub fn at_expiry_alert(runbook: Runbook) -> Self {
        Self { begins: Begins::AtExpiryAlert, runbook }
    }
}
