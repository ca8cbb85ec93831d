//! Every check on hand-written histories: one that passes, one that fails, one that cannot tell.

mod availability;
mod clock;
mod control;
mod ledger;
mod order;
mod overall;
mod recovery;
mod refusal;
mod replacement;

use std::time::Duration;

use crate::history::{
    AlertRule, Outcome, Phase, ProcessChange, Question, Record, Refusal, Side, StepKind, Way, What,
    script::{EXPIRY, JUDGED, Script},
};

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[track_caller]
fn passes(check: &dyn Check, script: Script, words: &str) {
    said(Summary::Passed, check, script, words);
}

#[track_caller]
fn fails(check: &dyn Check, script: Script, words: &str) {
    said(Summary::Failed, check, script, words);
}

#[track_caller]
fn cannot_tell(check: &dyn Check, script: Script, words: &str) {
    said(Summary::Unknown, check, script, words);
}

#[track_caller]
fn said(wanted: Summary, check: &dyn Check, script: Script, words: &str) {
    let verdict = check.judge(&script.history());
    assert!(verdict.summary() == wanted && verdict.evidence().contains(words), "{}: {verdict}", check.name());
}

fn jumped(script: Script) -> Script {
    script.at(3_500, What::ClockJumped { by_ms: 60_000 })
}

fn unsteady(script: Script) -> Script {
    script.without(|what| matches!(what, What::PhaseEnded { phase: Phase::Steady, .. }))
}
