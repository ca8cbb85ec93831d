//! A run as one JSON object.

use serde::Serialize;

use crate::{
    check::{Overall, Verdict},
    history::{History, Micros},
    measure::{Measurements, Milestones, PhaseSpan, Records},
    words,
};

use super::facts;

/// Names the shape of the object; it changes when a field goes or means something else.
pub const SCHEMA: &str = "notafter/run/1";

/// A run as one JSON object in one line, in this order: `schema`, `scenario`, `runtime`, `seed`, `verdict`,
/// `expected`, `checks`, `phases`, `milestones`, `measurements`, `attribution`, `rerun`, and `rejudged_by`
/// if the history was judged again, by that version. Times are milliseconds since the run began, durations
/// milliseconds, both with up to three decimals; `null` is what did not happen or could not be measured.
/// `expected` says whether the scenario gave the verdict that it must give.
///
/// # Panics
/// Never: the object has a JSON form.
pub fn json(history: &History) -> String {
    let measured = Measurements::of(history);
    let overall = Overall::of(&measured);
    let info = measured.reading.info;
    let run = Run {
        schema: SCHEMA,
        scenario: info.map(|info| info.scenario.as_str()),
        runtime: info.map(|info| info.runtime.as_str()),
        seed: info.map(|info| info.seed),
        verdict: overall.verdict.word(),
        expected: overall.as_expected,
        checks: overall.checks.iter().map(CheckResult::of).collect(),
        phases: measured.course.phases.iter().map(PhaseResult::of).collect(),
        milestones: MilestonesMs::of(&measured.milestones),
        measurements: MeasurementsMs::of(&measured),
        attribution: AttributionResult {
            by: measured.attribution.by(),
            what: measured.attribution.to_string(),
        },
        rerun: info.map(|info| info.rerun.as_str()),
        rejudged_by: facts::rejudged_by(&measured),
    };
    serde_json::to_string(&run).expect("the object has a JSON form")
}

#[derive(Serialize)]
struct Run<'a> {
    schema: &'static str,
    scenario: Option<&'a str>,
    runtime: Option<&'a str>,
    seed: Option<u64>,
    verdict: &'static str,
    expected: bool,
    checks: Vec<CheckResult<'a>>,
    phases: Vec<PhaseResult>,
    milestones: MilestonesMs,
    measurements: MeasurementsMs,
    attribution: AttributionResult,
    rerun: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejudged_by: Option<&'a str>,
}

#[derive(Serialize)]
struct CheckResult<'a> {
    name: &'a str,
    verdict: &'static str,
    evidence: &'a str,
}

#[derive(Serialize)]
struct PhaseResult {
    name: &'static str,
    started_ms: f64,
    ended_ms: Option<f64>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the names of the object's fields")]
struct MilestonesMs {
    expired_ms: Option<f64>,
    first_failure_ms: Option<f64>,
    notified_ms: Option<f64>,
    cause_found_ms: Option<f64>,
    repair_began_ms: Option<f64>,
    repair_deployed_ms: Option<f64>,
    propagated_ms: Option<f64>,
    recovered_ms: Option<f64>,
    drained_ms: Option<f64>,
}

#[derive(Serialize)]
struct MeasurementsMs {
    time_to_detect_ms: Option<f64>,
    outage_ms: Option<f64>,
    propagation_gap_ms: Option<f64>,
    time_to_recover_ms: Option<f64>,
    resolution_ms: Option<f64>,
    time_to_drain_ms: Option<f64>,
    records: RecordCounts,
    accepted_unauthenticated: Option<u64>,
}

#[derive(Serialize)]
struct RecordCounts {
    sent: Option<u64>,
    stored: Option<u64>,
    lost: Option<u64>,
    duplicated: Option<u64>,
    late: Option<u64>,
}

#[derive(Serialize)]
struct AttributionResult {
    by: &'static str,
    what: String,
}

impl<'a> CheckResult<'a> {
    fn of((name, verdict): &'a (String, Verdict)) -> Self {
        Self { name, verdict: verdict.summary().word(), evidence: verdict.evidence() }
    }
}

impl PhaseResult {
    fn of(phase: &PhaseSpan<'_>) -> Self {
        Self { name: phase.phase.name(), started_ms: words::millis(phase.began), ended_ms: ms(phase.ended) }
    }
}

impl MilestonesMs {
    fn of(milestones: &Milestones) -> Self {
        Self {
            expired_ms: ms(milestones.expired),
            first_failure_ms: ms(milestones.first_failure),
            notified_ms: ms(milestones.notified),
            cause_found_ms: ms(milestones.cause_found),
            repair_began_ms: ms(milestones.repair_began),
            repair_deployed_ms: ms(milestones.repair_deployed),
            propagated_ms: ms(milestones.propagated),
            recovered_ms: ms(milestones.recovered),
            drained_ms: ms(milestones.drained),
        }
    }
}

impl MeasurementsMs {
    fn of(measured: &Measurements<'_>) -> Self {
        Self {
            time_to_detect_ms: measured.time_to_detect.map(words::signed_millis),
            outage_ms: ms(measured.outage.map(|outage| outage.value)),
            propagation_gap_ms: measured.milestones.propagation_gap().map(words::signed_millis),
            time_to_recover_ms: ms(measured.recovery.time_to_recover.map(|time| time.value)),
            resolution_ms: ms(measured.resolution()),
            time_to_drain_ms: ms(measured.time_to_drain),
            records: RecordCounts::of(measured.records()),
            accepted_unauthenticated: measured.intrusions.known(),
        }
    }
}

impl RecordCounts {
    fn of(records: &Records) -> Self {
        // Without a final account nobody knows, and nobody must read a zero.
        let known = |number: u64| (records.sent > 0).then_some(number);
        Self {
            sent: known(records.sent),
            stored: known(records.stored),
            lost: known(records.lost),
            duplicated: known(records.duplicated),
            late: known(records.late),
        }
    }
}

fn ms(micros: Option<Micros>) -> Option<f64> {
    micros.map(words::millis)
}
