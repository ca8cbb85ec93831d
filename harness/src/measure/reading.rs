//! One pass over a history that sorts its events by what they are about, for every check and report.

use std::collections::HashMap;

use crate::history::{
    Event, Health, History, Leaf, Micros, Operation, Phase, Probe, Question, RunInfo, What,
};

use super::ledger::Records;

/// How far the wall clock may be slewed against the monotonic one within a run without being told, in
/// microseconds. Nobody is blamed for a certificate that ended less than this ago.
pub const SLEW: Micros = 100_000;

/// The events of a history, sorted by what they are about.
#[derive(Clone, Debug)]
pub struct Reading<'h> {
    /// What was read.
    pub history: &'h History,
    /// What the run is; none if it died before its first event.
    pub info: Option<&'h RunInfo>,
    /// The end of the steady phase: from here on failures count. None if it never ended.
    pub since: Option<Micros>,
    /// The begin of judging (else of healing, else the last event): tries answered later do not count.
    pub until: Micros,
    /// Until when failures count: the ledger was whole (else `until`). What comes then, the final account
    /// of every record, is load of the harness's own making.
    pub watched: Micros,
    /// Everything that is not a probe, an operation or a record, in the order of recording.
    pub rare: Vec<&'h Event>,
    /// Every operation, by name.
    pub operations: Vec<Stream<'h, Operation>>,
    /// Every hop (client, server), with its fresh handshakes.
    pub hops: Vec<Stream<'h, Probe>>,
    /// Every probe that asked something else than for a fresh handshake.
    pub others: Vec<(Micros, &'h Probe)>,
    /// The final account of the records.
    pub records: Records,
    leaves: Leaves<'h>,
}

/// Everything that was tried under one name, ascending by begin.
#[derive(Clone, Debug)]
pub struct Stream<'h, T> {
    /// The operation, or the client of the hop.
    pub name: &'h str,
    /// The server of the hop; empty for an operation.
    pub server: &'h str,
    /// The tries.
    pub tries: Vec<Try<'h, T>>,
}

/// One try of an operation, or one fresh handshake.
#[derive(Clone, Copy, Debug)]
pub struct Try<'h, T> {
    /// When it was begun.
    pub at: Micros,
    /// When it was answered.
    pub answered: Micros,
    /// Whether it succeeded: no error, or served with an HTTP status of 2xx.
    pub ok: bool,
    /// The leaves shown and presented, as [`Reading::leaf`] numbers them.
    pub leaves: [LeafId; 2],
    /// What was recorded.
    pub of: &'h T,
}

/// A small number for a serial; 0 is no leaf at all.
pub type LeafId = u32;

/// The leaves that fresh handshakes carried, numbered from 1.
#[derive(Clone, Debug, Default)]
struct Leaves<'h> {
    numbers: HashMap<&'h str, LeafId>,
    all: Vec<&'h Leaf>,
    ends: Vec<Micros>,
}

impl<'h> Reading<'h> {
    /// Reads the history once.
    pub fn of(history: &'h History) -> Self {
        let mut reading = Self {
            history,
            info: None,
            since: history.ended(Phase::Steady),
            until: judged(history),
            watched: judged(history),
            rare: Vec::new(),
            operations: Vec::new(),
            hops: Vec::new(),
            others: Vec::new(),
            records: Records::default(),
            leaves: Leaves::default(),
        };
        let mut index = Index::default();
        for event in &history.events {
            reading.sort(event, &mut index);
        }
        let drained = |event: &&&Event| event.what == What::Drained && event.at <= reading.until;
        reading.watched = reading.rare.iter().find(drained).map_or(reading.until, |event| event.at);
        // A failure before a success of the same instant: the order of recording says nothing then.
        for stream in &mut reading.operations {
            stream.tries.sort_by_key(|attempt| (attempt.at, attempt.ok));
        }
        for stream in &mut reading.hops {
            stream.tries.sort_by_key(|attempt| (attempt.at, attempt.ok));
        }
        reading.operations.sort_by_key(|stream| stream.name);
        reading.hops.sort_by_key(|stream| (stream.name, stream.server));
        reading.leaves.ends = reading.leaves.all.iter().map(|leaf| reading.end_of(leaf)).collect();
        reading.records.close(reading.info.map_or(Micros::MAX, |info| info.late_us), history);
        reading
    }

    /// The number of a leaf; none if no fresh handshake of a hop carried it.
    pub fn leaf(&self, leaf: &Leaf) -> Option<LeafId> {
        self.leaves.numbers.get(leaf.serial.as_str()).copied()
    }

    /// When the leaf of this number ends, as [`Self::end_of`] says; never for no leaf at all.
    pub fn ends(&self, leaf: LeafId) -> Micros {
        leaf.checked_sub(1).and_then(|at| self.leaves.ends.get(at as usize)).copied().unwrap_or(Micros::MAX)
    }

    /// When a leaf ends on the run's own clock: the first instant at which it is no longer valid.
    /// Not-after is inclusive and whole seconds, so that is one second after it.
    pub fn end_of(&self, leaf: &Leaf) -> Micros {
        let Some(info) = self.info else { return Micros::MAX };
        let ends = u64::try_from(leaf.not_after.saturating_add(1)).unwrap_or(0).saturating_mul(1_000_000);
        ends.saturating_sub(info.wall)
    }

    /// The last thing that each service said about itself before `when`, by its name.
    pub fn health_before(&self, when: Micros) -> HashMap<&'h str, &'h Health> {
        let mut latest: HashMap<&str, (Micros, &Health)> = HashMap::new();
        for event in self.rare.iter().filter(|event| event.at <= when) {
            if let What::Health(health) = &event.what {
                let entry = latest.entry(&health.service).or_insert((event.at, health));
                if event.at >= entry.0 {
                    *entry = (event.at, health);
                }
            }
        }
        latest.into_iter().map(|(service, (_, health))| (service, health)).collect()
    }

    fn sort(&mut self, event: &'h Event, index: &mut Index<'h>) {
        match &event.what {
            What::Operation(of) if event.at + of.took <= self.until => {
                let answered = event.at + of.took;
                let attempt = Try { at: event.at, answered, ok: of.error.is_none(), leaves: [0; 2], of };
                index.operation(&mut self.operations, &of.name).push(attempt);
            }
            What::Probe(of) if event.at + of.took <= self.until => {
                if of.question != Question::Fresh {
                    self.others.push((event.at, of));
                    return;
                }
                let answered = event.at + of.took;
                let leaves = [&of.shown, &of.presented].map(|leaf| self.leaves.number(leaf.as_ref()));
                let attempt = Try { at: event.at, answered, ok: of.outcome.is_served(), leaves, of };
                index.hop(&mut self.hops, of).push(attempt);
            }
            What::Operation(_) | What::Probe(_) => {}
            What::Record(record) => self.records.add(record),
            what => {
                if let What::Run(info) = what {
                    self.info.get_or_insert(info);
                }
                self.rare.push(event);
            }
        }
    }
}

impl<T> Stream<'_, T> {
    /// Begin and success of every try that was answered by `until`.
    pub fn outcomes(&self, until: Micros) -> impl Iterator<Item = (Micros, bool)> {
        let answered = self.tries.iter().filter(move |attempt| attempt.answered <= until);
        answered.map(|attempt| (attempt.at, attempt.ok))
    }

    /// The longest time between two tries within the span: a failure shorter than that may be unseen.
    pub fn longest_gap(&self, since: Micros, until: Micros) -> Micros {
        let inside = self.tries.iter().map(|attempt| attempt.at).filter(|at| (since..=until).contains(at));
        inside.clone().zip(inside.skip(1)).map(|(one, next)| next - one).max().unwrap_or(0)
    }
}

/// Where in the lists each name is.
#[derive(Default)]
struct Index<'h> {
    operations: HashMap<&'h str, usize>,
    hops: HashMap<(&'h str, &'h str), usize>,
}

impl<'h> Index<'h> {
    fn operation<'a>(
        &mut self,
        streams: &'a mut Vec<Stream<'h, Operation>>,
        name: &'h str,
    ) -> &'a mut Vec<Try<'h, Operation>> {
        let at = *self.operations.entry(name).or_insert_with(|| {
            streams.push(Stream { name, server: "", tries: Vec::new() });
            streams.len() - 1
        });
        &mut streams[at].tries
    }

    fn hop<'a>(
        &mut self,
        streams: &'a mut Vec<Stream<'h, Probe>>,
        probe: &'h Probe,
    ) -> &'a mut Vec<Try<'h, Probe>> {
        let (name, server) = (probe.client.as_str(), probe.server.as_str());
        let at = *self.hops.entry((name, server)).or_insert_with(|| {
            streams.push(Stream { name, server, tries: Vec::new() });
            streams.len() - 1
        });
        &mut streams[at].tries
    }
}

impl<'h> Leaves<'h> {
    fn number(&mut self, leaf: Option<&'h Leaf>) -> LeafId {
        let Some(leaf) = leaf else { return 0 };
        let next = LeafId::try_from(self.all.len() + 1).unwrap_or(LeafId::MAX);
        let number = *self.numbers.entry(&leaf.serial).or_insert(next);
        if number == next {
            self.all.push(leaf);
        }
        number
    }
}

/// When judging began: healing and tearing down break things on purpose.
fn judged(history: &History) -> Micros {
    let end = |wanted| history.began(wanted);
    end(Phase::Judge)
        .or_else(|| end(Phase::Heal))
        .or_else(|| end(Phase::TearDown))
        .or_else(|| history.events.iter().map(|event| event.at).max())
        .unwrap_or(0)
}
