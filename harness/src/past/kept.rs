//! A finished run as it is kept: what it was, and what its JSON result says.

use std::{collections::BTreeSet, path::PathBuf};

use serde::Deserialize;

use crate::{history::Micros, regression::Taken, report, runner::Finished};

/// A finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The run's id.
    pub id: String,
    /// The night that it was part of; none if it was run by hand.
    pub night: Option<super::Night>,
    /// What it may be compared with.
    pub series: Series,
    /// When it began, microseconds since the Unix epoch.
    pub began: u64,
    /// Version of notafter.
    pub version: String,
    /// The commit of the repository in which it was run; none if it was none.
    pub commit: Option<Commit>,
    /// Its evidence, as long as that is kept.
    pub folder: PathBuf,
    /// What came out.
    pub result: ResultKept,
    /// The same as `run --json` prints it, whole.
    pub json: String,
}

/// Runs that may be compared: all of this is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// `family/variant`.
    pub scenario: String,
    /// Where the system ran.
    pub runtime: String,
    /// What one minute of the incident takes, microseconds.
    pub minute_us: Micros,
    /// How notafter was built: `release` or `debug`.
    pub profile: String,
    /// The file with the system, if it was not the scenario's own.
    pub system: Option<String>,
}

/// A commit of Git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its hash, hexadecimal.
    pub hash: String,
    /// Whether tracked files differed from it.
    pub dirty: bool,
}

/// What is read of a result. See [`report::json`](crate::report::json) for the fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the JSON object")]
pub struct ResultKept {
    pub seed: Option<u64>,
    pub verdict: String,
    pub expected: bool,
    pub checks: Vec<CheckKept>,
    pub measurements: MeasurementsKept,
}

/// A check and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the JSON object")]
pub struct CheckKept {
    pub name: String,
    pub verdict: String,
    pub evidence: String,
}

/// What was measured, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the JSON object")]
pub struct MeasurementsKept {
    pub time_to_detect_ms: Option<f64>,
    pub outage_ms: Option<f64>,
    pub time_to_recover_ms: Option<f64>,
    pub resolution_ms: Option<f64>,
    pub time_to_drain_ms: Option<f64>,
    pub records: RecordsKept,
    pub accepted_unauthenticated: Option<u64>,
}

/// The final account of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the JSON object")]
pub struct RecordsKept {
    pub sent: Option<u64>,
    pub stored: Option<u64>,
    pub lost: Option<u64>,
    pub duplicated: Option<u64>,
    pub late: Option<u64>,
}

impl Kept {
    /// A run that has just finished, from its result as JSON; none if it died before it said what it is.
    /// `system` is the file that it was run on, if not the scenario's own system.
    pub fn of(finished: &Finished, system: Option<String>, commit: Option<Commit>) -> Option<Self> {
        let info = finished.history.events.iter().find_map(|event| match &event.what {
            crate::history::What::Run(info) => Some(info),
            _ => None,
        })?;
        let json = report::json(&finished.history);
        Some(Self {
            id: info.id.clone(),
            night: None,
            series: Series {
                scenario: info.scenario.clone(),
                runtime: info.runtime.clone(),
                minute_us: info.minute_us,
                profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
                system,
            },
            began: info.wall,
            version: info.version.clone(),
            commit,
            folder: finished.folder.path().to_owned(),
            result: serde_json::from_str(&json).ok()?,
            json,
        })
    }
}

impl ResultKept {
    /// The checks that failed; none if nobody can say what the verdict is.
    pub fn failed(&self) -> Option<BTreeSet<String>> {
        if self.verdict == "unknown" {
            return None;
        }
        let failed = self.checks.iter().filter(|check| check.verdict == "failed");
        Some(failed.map(|check| check.name.clone()).collect())
    }
}

impl MeasurementsKept {
    /// How long the recovery took, in the three ways in which it can get slower.
    pub const DURATIONS: [&str; 3] = ["time to recover", "outage", "time to drain"];

    /// Each of [`Self::DURATIONS`], as far as it was measured.
    pub fn durations(&self) -> [Option<Taken>; 3] {
        let resolution = micros(self.resolution_ms.unwrap_or(0.0));
        [self.time_to_recover_ms, self.outage_ms, self.time_to_drain_ms]
            .map(|taken| taken.map(|ms| Taken { median: micros(ms), resolution }))
    }
}

/// Milliseconds as they are in the JSON, with three decimals at most.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "exact for 285 years")]
fn micros(ms: f64) -> Micros {
    (ms * 1e3).round() as Micros
}
