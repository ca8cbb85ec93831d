//! A run as one JSON object.

use schemars::{JsonSchema, generate::SchemaSettings};
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

/// The JSON schema (2020-12) of the object that [`json()`] gives, from the same types. Fields may be added
/// to the object, so it allows what it does not know. Ends with a newline.
///
/// # Panics
/// Never: a schema has a JSON form.
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = generator.into_root_schema_for::<Run<'static>>();
    serde_json::to_string_pretty(&schema).expect("a schema has a JSON form") + "\n"
}

/// A run of notafter. Times are milliseconds since it began, durations milliseconds, both with up to three
/// decimals; `null` is what did not happen or could not be measured.

#[derive(Serialize, JsonSchema)]
struct Run<'a> {
    /// Names the shape of the object; it changes when a field goes or means something else.
    #[schemars(extend("const" = SCHEMA))]
    schema: &'static str,
    /// `family/variant`; null, as are the next two, if the run died before it said what it is.
    scenario: Option<&'a str>,
    /// Where the system ran.
    runtime: Option<&'a str>,
    /// The seed of everything that was drawn.
    seed: Option<u64>,
    /// All checks together; unknown is never a pass.
    #[schemars(with = "Word")]
    verdict: &'static str,
    /// Whether the scenario gave the verdict that it must give.
    expected: bool,
    /// The checks, in their order.
    checks: Vec<CheckResult<'a>>,
    /// The phases that began, in their order.
    phases: Vec<PhaseResult>,
    /// When what people ask about after an outage happened.
    milestones: MilestonesMs,
    /// What was measured.
    measurements: MeasurementsMs,
    /// Which step came last before the recovery.
    attribution: AttributionResult,
    /// The command that does the same again.
    rerun: Option<&'a str>,
    /// The version of notafter whose checks judged the history again; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejudged_by: Option<&'a str>,
}

/// A verdict.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "its words are those of `Summary`, and a test holds them together")]
enum Word {
    Passed,
    Failed,
    Unknown,
}

/// A check and what it says.
#[derive(Serialize, JsonSchema)]
struct CheckResult<'a> {
    /// What it is called.
    name: &'a str,
    /// What it says.
    #[schemars(with = "Word")]
    verdict: &'static str,
    /// What was seen.
    evidence: &'a str,
}

/// A phase of the run.
#[derive(Serialize, JsonSchema)]
struct PhaseResult {
    /// Which.
    name: &'static str,
    /// When it began.
    started_ms: f64,
    /// When it ended; null if the run died in it.
    ended_ms: Option<f64>,
}

/// When what people ask about after an outage happened.
#[derive(Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the names of the object's fields")]
struct MilestonesMs {
    /// The first certificate that a fault installed reached its end.
    expired_ms: Option<f64>,
    /// The first user-facing operation failed.
    first_failure_ms: Option<f64>,
    /// Somebody or a health check knew.
    notified_ms: Option<f64>,
    /// People knew which certificates it is about.
    cause_found_ms: Option<f64>,
    /// The first step changed something.
    repair_began_ms: Option<f64>,
    /// The last step was done.
    repair_deployed_ms: Option<f64>,
    /// No bad certificate is seen on the wire from here on.
    propagated_ms: Option<f64>,
    /// Everything works from here on.
    recovered_ms: Option<f64>,
    /// Every record is stored from here on.
    drained_ms: Option<f64>,
}

/// What was measured.
#[derive(Serialize, JsonSchema)]
struct MeasurementsMs {
    /// From the first bad certificate in use to the first alert or red health check; negative is a lead.
    time_to_detect_ms: Option<f64>,
    /// How long any user-facing operation failed, together.
    outage_ms: Option<f64>,
    /// From the last rotation until no bad certificate was in use.
    propagation_gap_ms: Option<f64>,
    /// From the last repair step until everything worked for a whole stability window.
    time_to_recover_ms: Option<f64>,
    /// The true edges of the outage and the recovery lie within this.
    resolution_ms: Option<f64>,
    /// From the recovery until every record was stored.
    time_to_drain_ms: Option<f64>,
    /// The final account of the records.
    records: RecordCounts,
    /// How often somebody without a valid certificate was served; null if nobody tried.
    accepted_unauthenticated: Option<u64>,
}

/// The final account of the records; null if there was none.
#[derive(Serialize, JsonSchema)]
struct RecordCounts {
    /// Sent by clients.
    sent: Option<u64>,
    /// Stored at least once.
    stored: Option<u64>,
    /// Never stored.
    lost: Option<u64>,
    /// Stored more than once.
    duplicated: Option<u64>,
    /// Stored late.
    late: Option<u64>,
}

/// Which step came last before the recovery.
#[derive(Serialize, JsonSchema)]
struct AttributionResult {
    /// Who did it.
    by: &'static str,
    /// The step, in words.
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

#[cfg(test)]
mod tests;
