//! Behaviour profiles: what a TLS server does with certificates, found out by experiment.
//!
//! A profile is a list of questions with an answer each. Answers are categories and can be compared;
//! evidence, with its times, is for people. Each experiment has a server of its own, so that they run
//! side by side.

mod accepting;
mod amqp;
mod client;
mod described;
pub(crate) mod instance;
mod lab;
mod page;
mod program;
mod protocol;
mod reloading;
mod running;
mod server;
mod socket;
mod table;
mod telling;

use std::pin::Pin;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

pub use client::Client;
pub use described::EXAMPLE;
pub use page::page;
pub use program::Program;
pub use protocol::{Denial, Protocol};
pub use server::{Server, Signal, Way};
pub use table::{comparison, listed, markdown, table};

use crate::error::Result;
use accepting::{End, Flaw};
use lab::Lab;
use reloading::Broken;

/// What one server does with certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Which server.
    pub server: String,
    /// What it says its version is.
    pub version: String,
    /// Every question, in a fixed order.
    pub cells: Vec<Cell>,
}

/// One question, its answer, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What was asked.
    pub question: String,
    /// A category, the same each time: `unknown` if the experiment did not come to its end.
    pub answer: String,
    /// What was seen, with its times; differs from time to time.
    pub evidence: Vec<String>,
}

/// A cell in which two profiles differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What was asked.
    pub question: String,
    /// The answer of the first; none if it was not asked.
    pub before: Option<String>,
    /// The answer of the second; none if it was not asked.
    pub after: Option<String>,
}

/// The answer of an experiment that did not come to its end.
pub const UNKNOWN: &str = "unknown";

impl Profile {
    /// How many cells nobody could find out.
    pub fn unknown(&self) -> usize {
        self.cells.iter().filter(|cell| cell.answer == UNKNOWN).count()
    }

    /// The cells in which a later profile differs from this one. Unknown is like nothing, itself included.
    pub fn differences(&self, later: &Self) -> Vec<Difference> {
        let answer = |profile: &Self, question: &str| {
            let cell = profile.cells.iter().find(|cell| cell.question == question);
            cell.map(|cell| cell.answer.clone())
        };
        let missing = later.cells.iter().filter(|cell| answer(self, &cell.question).is_none());
        self.cells
            .iter()
            .chain(missing)
            .map(|cell| Difference {
                question: cell.question.clone(),
                before: answer(self, &cell.question),
                after: answer(later, &cell.question),
            })
            .filter(|one| one.before != one.after || one.before.as_deref() == Some(UNKNOWN))
            .collect()
    }
}

/// Finds out what a server does.
///
/// # Errors
/// If the server is not installed, or there is no place to run it. An experiment that fails is a cell
/// that is unknown, with the reason.
pub async fn profile(server: &Server) -> Result<Profile> {
    let lab = Lab::open(server).await?;
    let cells = stream::iter(experiments(&lab)).buffered(server.at_once).concat().await;
    let version = lab.program.version.clone();
    lab.close().await?;
    Ok(Profile { server: server.name.into(), version, cells })
}

/// What an experiment tells: an answer, and what was seen.
#[derive(Debug)]
struct Finding {
    answer: String,
    evidence: Vec<String>,
}

impl Finding {
    fn new(answer: impl Into<String>) -> Self {
        Self { answer: answer.into(), evidence: Vec::new() }
    }

    fn unknown(why: impl Into<String>) -> Self {
        Self::new(UNKNOWN).seen(why)
    }

    fn seen(self, what: impl Into<String>) -> Self {
        self.seen_all([what.into()])
    }

    fn seen_all(mut self, what: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(what);
        self
    }
}

type Experiment<'l> = Pin<Box<dyn Future<Output = Vec<Cell>> + 'l>>;

/// Every experiment, in the order of the table.
fn experiments<'l>(lab: &'l Lab<'_>) -> Vec<Experiment<'l>> {
    let ways = lab.server.ways;
    // Who cannot be told does what it does untold; a change that must have come needs a restart.
    let usual = ways.first();
    let by_force = usual.unwrap_or(&Way::Restart);
    let told: Vec<Option<&Way>> = std::iter::once(None).chain(ways.iter().map(Some)).collect();
    let words = |way: Option<&Way>| way.map_or_else(|| "without a signal".into(), Way::words);

    let mut all: Vec<Experiment<'l>> = Vec::new();
    all.push(one("starts with an expired certificate of its own".into(), reloading::starts_expired(lab)));
    for &way in &told {
        all.push(one(format!("serves a new certificate {}", words(way)), reloading::serves_new(lab, way)));
    }
    let restart = ways.is_empty().then_some(Some(&Way::Restart));
    for way in told.iter().copied().chain(restart) {
        all.push(one(
            format!("honours a new client CA {}", words(way)),
            reloading::honours_authority(lab, way),
        ));
    }
    if let Some(way) = usual {
        all.push(one(
            format!("a connection that is open {}", words(usual)),
            reloading::open_on_reload(lab, way),
        ));
    }
    for (broken, what) in
        [(Broken::Mismatched, "the key of another certificate"), (Broken::Torn, "half a certificate")]
    {
        let questions = [format!("{what} {}", words(usual)), format!("opens again after {what}")];
        all.push(several(questions, reloading::broken(lab, broken, usual)));
    }
    for flaw in Flaw::ALL {
        all.push(one(format!("client certificate: {}", flaw.words()), accepting::accepts(lab, flaw)));
    }
    all.push(one(
        "resumes a session after the client's certificate has expired".into(),
        accepting::resumes(lab, End::Expiry),
    ));
    all.push(one(
        format!("resumes a session after the client's CA was replaced, {}", by_force.words()),
        accepting::resumes(lab, End::Authority(by_force)),
    ));
    all.push(one(
        "an open connection outlives the client's certificate".into(),
        accepting::outlives_expiry(lab),
    ));
    all
}

fn one<'l>(question: String, experiment: impl Future<Output = Result<Finding>> + 'l) -> Experiment<'l> {
    several([question], async { experiment.await.map(|finding| [finding]) })
}

/// An experiment that answers several questions; if it fails, all of them are unknown.
fn several<'l, const N: usize>(
    questions: [String; N],
    experiment: impl Future<Output = Result<[Finding; N]>> + 'l,
) -> Experiment<'l> {
    Box::pin(async move {
        let findings = experiment.await.unwrap_or_else(|error| {
            let why = error.to_string();
            std::array::from_fn(|_| Finding::unknown(why.clone()))
        });
        let cell = |(question, Finding { answer, evidence })| Cell { question, answer, evidence };
        questions.into_iter().zip(findings).map(cell).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(answers: &[(&str, &str)]) -> Profile {
        let cell = |(question, answer): &(&str, &str)| Cell {
            question: (*question).into(),
            answer: (*answer).into(),
            evidence: vec!["stable since 12 ms".into()],
        };
        Profile { server: "s".into(), version: "1".into(), cells: answers.iter().map(cell).collect() }
    }

    #[test]
    fn profiles_differ_in_answers_and_not_in_evidence_or_order() {
        let a = profile(&[("reload", "yes"), ("torn", "keeps the old one")]);
        let mut b = profile(&[("torn", "keeps the old one"), ("reload", "yes")]);
        b.cells[0].evidence = vec!["stable since 80 ms".into()];
        assert_eq!(a.differences(&b), []);
        b.cells[0].answer = "exits".into();
        let difference = Difference {
            question: "torn".into(),
            before: Some("keeps the old one".into()),
            after: Some("exits".into()),
        };
        assert_eq!(a.differences(&b), [difference]);
    }

    #[test]
    fn a_question_that_one_side_does_not_have_is_a_difference() {
        let (a, b) = (profile(&[("reload", "yes")]), profile(&[]));
        assert_eq!(a.differences(&b).len(), 1);
        assert_eq!(b.differences(&a)[0].after.as_deref(), Some("yes"));
    }

    #[test]
    fn unknown_is_never_as_expected() {
        let a = profile(&[("reload", UNKNOWN)]);
        assert_eq!(a.differences(&a).len(), 1);
        assert_eq!(a.unknown(), 1);
    }
}
