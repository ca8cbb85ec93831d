//! Writes histories by hand, for the tests of whatever reads one. All times are milliseconds.
//!
//! A script is a run of seven seconds that went its way: steady until 1000, injected and landed until
//! 1050, observed until 3000, repaired until 5000, recovered until 6000, drained and judged at 7000.
//! Operations and hops are tried every 5 ms and succeed unless the script says otherwise.

use std::{collections::BTreeMap, ops::Range};

use super::{
    Alert, AlertRule, Event, Health, History, Landed, Leaf, Micros, Operation, Outcome, Phase, Probe,
    ProcessChange, Purpose, Question, Record, Refusal, RunInfo, Side, StepKind, Stuck, Unreachable, Way,
    What, Witness,
};
use crate::check::Expect;

/// When the certificates that [`Script::fault`] installs are no longer valid.
pub const EXPIRY: Micros = 2_000;

/// When a script is judged.
pub const JUDGED: Micros = 7_000;

const CADENCE: usize = 5;
const WALL: u64 = 1_700_000_000;

/// A history that is being written.
#[derive(Clone)]
#[must_use]
pub struct Script {
    /// What the run is.
    pub info: RunInfo,
    events: Vec<Event>,
    operations: Vec<(String, bool)>,
    hops: Vec<(String, String)>,
    failures: Vec<(String, Range<Micros>, Outcome)>,
    errors: Vec<(String, Range<Micros>, String)>,
    leaves: BTreeMap<String, Vec<(Micros, Leaf)>>,
    records: u64,
}

/// The certificate of a service: the `generation`-th, valid for a year.
pub fn leaf(service: &str, generation: u32) -> Leaf {
    let number = service.bytes().fold(u64::from(generation), |sum, byte| sum * 31 + u64::from(byte));
    let not_before = WALL.cast_signed() - 60;
    Leaf { serial: format!("{number:x}"), not_after: not_before + 31_536_000, not_before }
}

/// The certificate that a fault installs: its last valid second is the one before [`EXPIRY`].
pub fn bad_leaf(service: &str) -> Leaf {
    let not_after = (WALL + EXPIRY / 1_000 - 1).cast_signed();
    Leaf { not_after, ..leaf(service, 666) }
}

impl Script {
    /// A run that went its way, in which nothing was tried yet.
    pub fn new() -> Self {
        let info = RunInfo {
            id: "20260101-090000-abcd".into(),
            scenario: "expiry/server-leaf".into(),
            about: "The certificate of archive expires while records flow.".into(),
            runtime: "processes".into(),
            seed: 7,
            version: "0.1.0".into(),
            wall: WALL * 1_000_000,
            minute_us: 0,
            rerun: "notafter run expiry/server-leaf --seed 7".into(),
            expect: Expect::Pass,
            stability_us: 500_000,
            late_us: 1_000_000,
            incident: None,
        };
        let script = Self {
            info,
            events: Vec::new(),
            operations: Vec::new(),
            hops: Vec::new(),
            failures: Vec::new(),
            errors: Vec::new(),
            leaves: BTreeMap::new(),
            records: 0,
        };
        script.phases(&[
            (Phase::Start, 0),
            (Phase::Steady, 100),
            (Phase::Inject, 1_000),
            (Phase::Landed, 1_020),
            (Phase::Observe, 1_050),
            (Phase::Repair, 3_000),
            (Phase::Recover, 5_000),
            (Phase::Drain, 6_000),
            (Phase::Judge, JUDGED),
        ])
    }

    /// A run with one user-facing operation and one hop, whose server's certificate reaches its end
    /// while in use and lands in time; nothing fails.
    pub fn expiry() -> Self {
        Self::new().operation("search").hop("search", "archive").fault("archive").expires("archive", true)
    }

    /// The same, with what such an expiry does: nothing works from the end of the certificate until it
    /// is rotated, from 4000 to 4200; 10 ms later everything works again.
    pub fn outage() -> Self {
        Self::expiry()
            .fails("search", EXPIRY..4_210, "archive: certificate expired")
            .refuses("search", "archive", EXPIRY..4_210, Refusal::Expired)
            .step(0, StepKind::Rotate, "rotate archive", 4_000..4_200)
            .rotated("archive", 4_150..4_210)
    }

    /// Something that happened.
    pub fn at(mut self, ms: Micros, what: What) -> Self {
        self.events.push(Event { at: ms * 1_000, what });
        self
    }

    /// Forgets what happened, if `which` says so.
    pub fn without(mut self, which: impl Fn(&What) -> bool) -> Self {
        self.events.retain(|event| !which(&event.what));
        self
    }

    /// The run dies: nothing later than this happened, and nobody judged.
    pub fn dies(mut self, ms: Micros) -> Self {
        self.events.retain(|event| event.at <= ms * 1_000);
        self
    }

    /// The run's phases, one after the other.
    pub fn phases(mut self, begins: &[(Phase, Micros)]) -> Self {
        let phase = |what: &What| matches!(what, What::PhaseBegan { .. } | What::PhaseEnded { .. });
        self.events.retain(|event| !phase(&event.what));
        for (index, &(phase, began)) in begins.iter().enumerate() {
            self = self.at(began, What::PhaseBegan { phase });
            if let Some((_, next)) = begins.get(index + 1) {
                self = self.at(*next, What::PhaseEnded { phase, error: None });
            }
        }
        self
    }

    /// A phase ended with an error.
    pub fn breaks(mut self, broken: Phase, words: &str) -> Self {
        for event in &mut self.events {
            match &mut event.what {
                What::PhaseEnded { phase, error } if *phase == broken => *error = Some(words.into()),
                _ => {}
            }
        }
        self
    }

    /// A user-facing operation, tried all the time.
    pub fn operation(mut self, name: &str) -> Self {
        self.operations.push((name.into(), true));
        self
    }

    /// An operation that no user sees, tried all the time.
    pub fn background(mut self, name: &str) -> Self {
        self.operations.push((name.into(), false));
        self
    }

    /// The operation fails, when begun in this span.
    pub fn fails(mut self, name: &str, span: Range<Micros>, error: &str) -> Self {
        self.errors.push((name.into(), span, error.into()));
        self
    }

    /// A hop, probed with fresh handshakes all the time.
    pub fn hop(mut self, client: &str, server: &str) -> Self {
        self.hops.push((client.into(), server.into()));
        self
    }

    /// Handshakes of the hop are refused by the client, when begun in this span.
    pub fn refuses(self, client: &str, server: &str, span: Range<Micros>, reason: Refusal) -> Self {
        self.answers(client, server, span, Outcome::Refused { by: Side::Client, reason })
    }

    /// The server of the hop is gone in this span.
    pub fn unreachable(self, client: &str, server: &str, span: Range<Micros>) -> Self {
        self.answers(client, server, span, Outcome::Unreachable(Unreachable::ConnectionRefused))
    }

    /// Handshakes of the hop have this outcome, when begun in this span.
    pub fn answers(mut self, client: &str, server: &str, span: Range<Micros>, outcome: Outcome) -> Self {
        self.failures.push((format!("{client} -> {server}"), span, outcome));
        self
    }

    /// One probe that asks something else than for a fresh handshake, and its HTTP status; without one
    /// it was refused.
    pub fn asks(self, ms: Micros, question: Question, status: Option<u16>) -> Self {
        let refused = Outcome::Refused { by: Side::Server, reason: Refusal::NoCertificate };
        let mut probe = self.probe("search", "archive", ms);
        probe.question = question;
        probe.outcome = status.map_or(refused, Outcome::Served);
        self.at(ms, What::Probe(probe))
    }

    /// A fault puts a certificate that ends at [`EXPIRY`] into `service`; it shows from 1010 and alone
    /// from 1030.
    pub fn fault(mut self, service: &str) -> Self {
        let bad = bad_leaf(service);
        self.carry(service, 1_010, bad.clone());
        let installed = What::Installed {
            service: service.into(),
            mount: "mesh".into(),
            leaf: bad.clone(),
            why: Purpose::Fault,
        };
        let landed = Landed {
            service: service.into(),
            mount: "mesh".into(),
            leaf: bad,
            seen_by: Witness::Prober,
            first_new: 1_010_000,
            last_old: Some(1_025_000),
            stable_since: 1_030_000,
        };
        self.at(1_000, installed).at(1_040, What::Landed(landed))
    }

    /// The end of the certificate that a fault installed is seen to pass.
    pub fn expires(self, service: &str, in_use: bool) -> Self {
        let (mount, leaf) = ("mesh".into(), bad_leaf(service));
        self.at(EXPIRY, What::Expired { service: service.into(), mount, leaf, in_use, chain_ends: None })
    }

    /// A repair puts a good certificate into `service` at the begin of the span; it shows at its end.
    pub fn rotated(mut self, service: &str, span: Range<Micros>) -> Self {
        let (mount, leaf) = ("mesh".to_owned(), leaf(service, 1));
        self.carry(service, span.end, leaf.clone());
        let (whose, why) = (service.to_owned(), Purpose::Repair);
        let installed = What::Installed { service: whose, mount: mount.clone(), leaf: leaf.clone(), why };
        let using = What::Using { service: service.into(), mount, leaf };
        self.at(span.start, installed).at(span.end, using)
    }

    /// `service` shows its `generation`-th certificate from then on.
    pub fn carries(mut self, service: &str, ms: Micros, generation: u32) -> Self {
        self.carry(service, ms, leaf(service, generation));
        self
    }

    /// `service` renews its certificate by itself.
    pub fn renews(mut self, service: &str, ms: Micros) -> Self {
        let leaf = leaf(service, 2);
        self.carry(service, ms, leaf.clone());
        self.at(ms, What::Using { service: service.into(), mount: "mesh".into(), leaf })
    }

    /// Somebody is told: that the certificate nears its end, or what is wrong.
    pub fn alert(self, ms: Micros, rule: AlertRule, service: &str) -> Self {
        let expiry = rule == AlertRule::Expiry;
        self.at(
            ms,
            What::Alert(Alert {
                rule,
                service: service.into(),
                mount: expiry.then(|| "mesh".into()),
                leaf: expiry.then(|| bad_leaf(service)),
                text: format!("{service}: look at it"),
            }),
        )
    }

    /// What a service says about itself.
    pub fn health(self, ms: Micros, service: &str, waits_for: &[&str]) -> Self {
        let waits_for: Vec<String> = waits_for.iter().map(|&wait| wait.to_owned()).collect();
        let ready = waits_for.is_empty();
        self.at(ms, What::Health(Health { service: service.into(), live: true, ready, waits_for }))
    }

    /// What a supervisor saw.
    pub fn process(self, ms: Micros, service: &str, change: ProcessChange) -> Self {
        self.at(ms, What::Process { service: service.into(), change })
    }

    /// A repair step.
    pub fn step(self, step: u32, kind: StepKind, title: &str, span: Range<Micros>) -> Self {
        self.at(span.start, What::StepBegan { step, title: title.into(), kind })
            .at(span.end, What::StepEnded { step, error: None })
    }

    /// An attempt to start services in an order; `stuck` is the service that did not come up and why.
    pub fn order(
        self,
        attempt: u32,
        span: Range<Micros>,
        order: &[&str],
        stuck: Option<(&str, &str)>,
    ) -> Self {
        let order = order.iter().map(|&service| service.to_owned()).collect();
        let stuck = stuck.map(|(service, why)| Stuck { service: service.into(), why: why.into() });
        self.at(span.start, What::OrderTried { attempt, order, groups: Vec::new(), way: Way::InTurn })
            .at(span.end, What::OrderEnded { attempt, stuck })
    }

    /// A record, sent at `sent` and stored at `stored` if it was.
    pub fn record(mut self, sent: Micros, stored: Option<Micros>) -> Self {
        let number = self.records;
        self.records += 1;
        let copies = u32::from(stored.is_some());
        let (acked, stored) = (Some(sent * 1_000 + 500), stored.map(|ms| ms * 1_000));
        let record = Record { number, sent: sent * 1_000, acked, stored, copies, found: stored.is_some() };
        self.at(6_900, What::Record(record))
    }

    /// Records sent every 10 ms in this span, each stored 5 ms later.
    pub fn records(self, span: Range<Micros>) -> Self {
        span.step_by(10).fold(self, |script, sent| script.record(sent, Some(sent + 5)))
    }

    /// The history, in the order in which it happened.
    pub fn history(self) -> History {
        let last = self.events.iter().map(|event| event.at).max().unwrap_or(0);
        let mut events = self.events.clone();
        for ms in (100..last / 1_000).step_by(CADENCE) {
            events.extend(self.operations.iter().map(|(name, user_facing)| {
                let error = self.errors.iter().rev().find(|(of, span, _)| of == name && span.contains(&ms));
                let error = error.map(|(_, _, words)| words.clone());
                let operation = Operation { name: name.clone(), user_facing: *user_facing, took: 900, error };
                Event { at: ms * 1_000, what: What::Operation(operation) }
            }));
            events.extend(self.hops.iter().map(|(client, server)| Event {
                at: ms * 1_000,
                what: What::Probe(self.probe(client, server, ms)),
            }));
        }
        events.sort_by_key(|event| event.at);
        events.insert(0, Event { at: 0, what: What::Run(self.info) });
        History { events }
    }

    fn probe(&self, client: &str, server: &str, ms: Micros) -> Probe {
        let hop = format!("{client} -> {server}");
        let outcome = self.failures.iter().rev().find(|(of, span, _)| *of == hop && span.contains(&ms));
        let outcome = outcome.map_or(Outcome::Served(200), |(_, _, outcome)| outcome.clone());
        let reached = !matches!(outcome, Outcome::Unreachable(_));
        Probe {
            client: client.into(),
            server: server.into(),
            question: Question::Fresh,
            took: 700,
            shown: Some(self.carried(client, ms)),
            presented: reached.then(|| self.carried(server, ms)),
            outcome,
        }
    }

    fn carry(&mut self, service: &str, from: Micros, leaf: Leaf) {
        self.leaves.entry(service.into()).or_default().push((from, leaf));
    }

    fn carried(&self, service: &str, ms: Micros) -> Leaf {
        let changes = self.leaves.get(service).into_iter().flatten();
        let latest = changes.filter(|(from, _)| *from <= ms).max_by_key(|(from, _)| *from);
        latest.map_or_else(|| leaf(service, 0), |(_, leaf)| leaf.clone())
    }
}
