//! What orders of start tell, as one JSON object.

use serde::Serialize;

use super::Orders;
use crate::{history::Way, order::Tried, words};

/// Names the shape of the JSON object; it changes when a field goes or means something else.
pub const SCHEMA: &str = "notafter/orders/1";

impl Orders<'_> {
    /// As one JSON object in one line: `schema`, `system`, `runtime`, `seed`, `rotated`, `verdict`, `evidence`,
    /// `plans`, `precedences`, `one_of`, `not_identifiable`, `deadlocks`, `flaky`, `sentences`, `order`,
    /// `order_works`, `rerun`. Times are milliseconds; `null` is what did not happen.
    ///
    /// # Panics
    /// Never: the object has a JSON form.
    pub fn json(&self) -> String {
        let findings = &self.outcome.findings;
        let found = &findings.precedences;
        let pair =
            |(first, then): (usize, usize)| Pair { first: findings.name(first), then: findings.name(then) };
        let object = Object {
            schema: SCHEMA,
            system: self.system,
            runtime: self.runtime,
            seed: self.seed,
            rotated: self.rotated,
            verdict: self.verdict.summary().word(),
            evidence: self.verdict.evidence(),
            plans: self.outcome.tried.iter().map(|tried| self.plan(tried)).collect(),
            precedences: found
                .proven
                .iter()
                .map(|one| Proven {
                    first: findings.name(one.first),
                    then: findings.name(one.then),
                    fails: findings.name(one.fails),
                    why: &one.why,
                    plan: self.id(u32::try_from(one.order).unwrap_or(0)),
                })
                .collect(),
            one_of: found
                .one_of
                .iter()
                .map(|one| Alternatives {
                    first: one.among.iter().map(|first| findings.name(*first)).collect(),
                    then: findings.name(one.service),
                })
                .collect(),
            not_identifiable: findings.not_identifiable().into_iter().map(pair).collect(),
            deadlocks: findings
                .deadlocks
                .iter()
                .map(|(a, b)| [findings.name(*a), findings.name(*b)])
                .collect(),
            flaky: findings
                .flaky
                .iter()
                .map(|one| FlakyStart {
                    service: findings.name(one.service),
                    plan: self.id(one.plan),
                    failed: one.failed,
                    of: one.of,
                })
                .collect(),
            sentences: self.sentences(),
            order: findings.order.as_ref().map(|order| order.iter().map(|one| findings.name(*one)).collect()),
            order_works: self.outcome.order_works,
            rerun: self.rerun,
        };
        serde_json::to_string(&object).expect("the object has a JSON form")
    }

    fn plan<'t>(&self, tried: &'t Tried) -> PlanResult<'t> {
        let services = tried.services.iter().map(|(name, course)| ServiceResult {
            service: name,
            ready_ms: course.ready.map(|at| words::millis(at.saturating_sub(course.spawned))),
            crashes: &course.crashes,
        });
        PlanResult {
            id: self.id(tried.number),
            way: &tried.way,
            order: &tried.steps,
            up: tried.stuck.is_none(),
            took_ms: tried.took().map(words::millis),
            waited_ms: words::millis(tried.waited),
            crashes: tried.crashes(),
            services: services.collect(),
        }
    }
}

#[derive(Serialize)]
struct Object<'a> {
    schema: &'static str,
    system: &'a str,
    runtime: &'a str,
    seed: u64,
    rotated: bool,
    verdict: &'static str,
    evidence: &'a str,
    plans: Vec<PlanResult<'a>>,
    precedences: Vec<Proven<'a>>,
    one_of: Vec<Alternatives<'a>>,
    not_identifiable: Vec<Pair<'a>>,
    deadlocks: Vec<[&'a str; 2]>,
    flaky: Vec<FlakyStart<'a>>,
    sentences: Vec<String>,
    order: Option<Vec<&'a str>>,
    order_works: Option<bool>,
    rerun: &'a str,
}

#[derive(Serialize)]
struct PlanResult<'a> {
    id: String,
    way: &'a Way,
    order: &'a [Vec<String>],
    up: bool,
    took_ms: Option<f64>,
    waited_ms: f64,
    crashes: usize,
    services: Vec<ServiceResult<'a>>,
}

#[derive(Serialize)]
struct ServiceResult<'a> {
    service: &'a str,
    ready_ms: Option<f64>,
    crashes: &'a [String],
}

#[derive(Serialize)]
struct Proven<'a> {
    first: &'a str,
    then: &'a str,
    fails: &'a str,
    why: &'a str,
    plan: String,
}

#[derive(Serialize)]
struct Alternatives<'a> {
    first: Vec<&'a str>,
    then: &'a str,
}

#[derive(Serialize)]
struct Pair<'a> {
    first: &'a str,
    then: &'a str,
}

#[derive(Serialize)]
struct FlakyStart<'a> {
    service: &'a str,
    plan: String,
    failed: usize,
    of: usize,
}
