//! The course of the run: its phases, the repair steps, the orders that were tried.

use crate::history::{Micros, Phase, StepKind, Stuck, What};

use super::reading::Reading;

/// The course of the run: its phases, the repair steps, the orders that were tried.
#[derive(Clone, Debug, Default)]
pub struct Course<'h> {
    /// The phases that began, in their order.
    pub phases: Vec<PhaseSpan<'h>>,
    /// The repair steps that began, by their number.
    pub steps: Vec<Step<'h>>,
    /// The orders in which services were asked to start, by attempt.
    pub attempts: Vec<Attempt<'h>>,
}

/// One phase of the run.
#[derive(Clone, Debug)]
pub struct PhaseSpan<'h> {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub began: Micros,
    /// When it ended; none if the run died in it.
    pub ended: Option<Micros>,
    /// What went wrong in it.
    pub error: Option<&'h str>,
}

/// One repair step.
#[derive(Clone, Debug)]
pub struct Step<'h> {
    /// Its number, from 0.
    pub number: u32,
    /// What a person would call it.
    pub title: &'h str,
    /// What kind of step it is.
    pub kind: StepKind,
    /// When it began.
    pub began: Micros,
    /// When it ended; none if it did not.
    pub ended: Option<Micros>,
    /// What went wrong in it.
    pub error: Option<&'h str>,
}

/// One attempt to start services in an order.
#[derive(Clone, Debug)]
pub struct Attempt<'h> {
    /// Its number, from 1.
    pub number: u32,
    /// The order.
    pub order: &'h [String],
    /// When it began.
    pub began: Micros,
    /// When it ended; none if it did not.
    pub ended: Option<Micros>,
    /// Which service did not come up and why.
    pub stuck: Option<&'h Stuck>,
}

impl Step<'_> {
    /// Whether it changes the system, and so can be what repaired it.
    pub fn repairs(&self) -> bool {
        matches!(self.kind, StepKind::Rotate | StepKind::Restart | StepKind::SetClock)
    }
}

impl<'h> Course<'h> {
    /// Gathers the course from what was read.
    pub fn of(reading: &Reading<'h>) -> Self {
        let mut course = Self::default();
        // Begins first: at equal instants an end may have been recorded before its begin.
        for event in &reading.rare {
            course.begin(event.at, &event.what);
        }
        for event in &reading.rare {
            course.end(event.at, &event.what);
        }
        course.phases.sort_by_key(|phase| (phase.began, phase.phase));
        course.steps.sort_by_key(|step| step.number);
        course.attempts.sort_by_key(|attempt| attempt.number);
        course
    }

    /// How long people took their time before `until`: steps that wait at the incident's pace, and the
    /// thought between two orders of start.
    pub fn paused(&self, until: Micros) -> Micros {
        let waits = self.steps.iter().filter(|step| step.kind == StepKind::Pace && step.began < until);
        let waits = waits.filter_map(|step| Some(step.ended? - step.began));
        waits.chain((0..self.attempts.len()).map(|index| self.thought_after(index))).sum()
    }

    /// The time between the end of an attempt to start and the begin of the next within the same step.
    pub fn thought_after(&self, attempt: usize) -> Micros {
        let [one, next] = &self.attempts.get(attempt..attempt + 2).unwrap_or_default() else { return 0 };
        let Some(ended) = one.ended.filter(|ended| *ended <= next.began) else { return 0 };
        let within =
            |step: &Step<'_>| step.began <= one.began && step.ended.is_none_or(|end| next.began <= end);
        if self.steps.iter().any(within) { next.began - ended } else { 0 }
    }

    /// A phase, if it began.
    pub fn phase(&self, wanted: Phase) -> Option<&PhaseSpan<'h>> {
        self.phases.iter().find(|phase| phase.phase == wanted)
    }

    /// The first phase up to the judging that ended with an error: whatever the checks say, they
    /// judge a run that did not go its way.
    pub fn broken(&self) -> Option<&PhaseSpan<'h>> {
        self.phases.iter().find(|phase| phase.phase < Phase::Judge && phase.error.is_some())
    }

    fn begin(&mut self, at: Micros, what: &'h What) {
        match what {
            What::PhaseBegan { phase } => {
                self.phases.push(PhaseSpan { phase: *phase, began: at, ended: None, error: None });
            }
            What::StepBegan { step, title, kind } => self.steps.push(Step {
                number: *step,
                title,
                kind: *kind,
                began: at,
                ended: None,
                error: None,
            }),
            What::OrderTried { attempt, order, .. } => {
                self.attempts.push(Attempt { number: *attempt, order, began: at, ended: None, stuck: None });
            }
            _ => {}
        }
    }

    fn end(&mut self, at: Micros, what: &'h What) {
        match what {
            What::PhaseEnded { phase, error } => {
                if let Some(span) = self.phases.iter_mut().find(|span| span.phase == *phase) {
                    span.ended = Some(at);
                    span.error = error.as_deref();
                }
            }
            What::StepEnded { step, error } => {
                if let Some(span) = self.steps.iter_mut().find(|span| span.number == *step) {
                    span.ended = Some(at);
                    span.error = error.as_deref();
                }
            }
            What::OrderEnded { attempt, stuck } => {
                if let Some(span) = self.attempts.iter_mut().find(|span| span.number == *attempt) {
                    span.ended = Some(at);
                    span.stuck = stuck.as_ref();
                }
            }
            _ => {}
        }
    }
}
