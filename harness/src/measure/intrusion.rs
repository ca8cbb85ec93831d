//! Connections that should have been refused: intruders, and certificates past their end.

use crate::history::{Micros, Outcome, Probe, Question, Unreachable};

use super::reading::{Reading, SLEW};

/// What was asked of connections that should have been refused, and what got through.
#[derive(Clone, Debug, Default)]
pub struct Intrusions<'h> {
    /// How often an intruder got an answer: without a certificate, with an expired or a foreign one.
    pub asked: u64,
    /// How often anybody was served without a valid certificate on either side, on a new connection.
    pub accepted: u64,
    /// The first of them.
    pub first: Option<(Micros, &'h Probe)>,
    /// What became of connections that stayed open past the end of a certificate.
    pub open: OpenConnections,
    /// What became of sessions that were resumed past it.
    pub resumed: OpenConnections,
}

/// Connections that were open, or sessions that were resumable, when one of their certificates ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenConnections {
    /// For each request on such a connection: how long past the end it was begun, and whether it was
    /// served.
    pub asked: Vec<(Micros, bool)>,
}

impl OpenConnections {
    /// How many requests were served later than `grace` after the end.
    pub fn served_after(&self, grace: Micros) -> u64 {
        self.asked.iter().filter(|(past, served)| *past > grace && *served).count() as u64
    }

    /// How long past the end the last request was served.
    pub fn longest(&self) -> Option<Micros> {
        self.asked.iter().filter(|(_, served)| *served).map(|(past, _)| *past).max()
    }
}

impl Question {
    /// Whether it is the question of somebody who must be refused.
    pub fn is_intrusion(self) -> bool {
        matches!(self, Self::WithoutCertificate | Self::WithExpired | Self::WithForeign)
    }

    /// As a person would say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fresh => "a fresh handshake",
            Self::Resumed => "a resumed session",
            Self::Open => "an open connection",
            Self::Restarted => "a fresh handshake after a restart",
            Self::WithoutCertificate => "a client without a certificate",
            Self::WithExpired => "a client with an expired certificate",
            Self::WithForeign => "a client with a certificate of a foreign authority",
        }
    }
}

/// What got through, and what was asked.
pub fn intrusions<'h>(reading: &Reading<'h>) -> Intrusions<'h> {
    let mut found = Intrusions::default();
    for &(at, probe) in &reading.others {
        let past = past_end(reading, at, probe);
        match probe.question {
            Question::Open => found.open.asked.extend(past.map(|past| (past, probe.outcome.is_served()))),
            question => {
                if question == Question::Resumed {
                    found.resumed.asked.extend(past.map(|past| (past, probe.outcome.is_served())));
                }
                // Some servers refuse without a word.
                let met = |why: &Unreachable| *why == Unreachable::Closed;
                let answered = !matches!(&probe.outcome, Outcome::Unreachable(why) if !met(why));
                found.asked += u64::from(question.is_intrusion() && answered);
                found.count(at, probe, past);
            }
        }
    }
    for hop in &reading.hops {
        for attempt in hop.tries.iter().filter(|attempt| attempt.ok) {
            let past =
                attempt.leaves.into_iter().filter_map(|leaf| attempt.at.checked_sub(reading.ends(leaf)));
            found.count(attempt.at, attempt.of, past.max());
        }
    }
    found
}

impl<'h> Intrusions<'h> {
    /// How often anybody was served without a valid certificate; unknown if nobody tried to be.
    pub fn known(&self) -> Option<u64> {
        (self.asked + self.accepted > 0).then_some(self.accepted)
    }

    fn count(&mut self, at: Micros, probe: &'h Probe, past: Option<Micros>) {
        let ended = past.is_some_and(|past| past > SLEW);
        if probe.outcome.is_served() && (probe.question.is_intrusion() || ended) {
            self.accepted += 1;
            if self.first.is_none_or(|(earlier, _)| at < earlier) {
                self.first = Some((at, probe));
            }
        }
    }
}

/// How long past the end of either certificate a probe was begun; none if both were still valid.
fn past_end(reading: &Reading<'_>, at: Micros, probe: &Probe) -> Option<Micros> {
    [&probe.shown, &probe.presented]
        .into_iter()
        .flatten()
        .filter_map(|leaf| at.checked_sub(reading.end_of(leaf)))
        .max()
}
