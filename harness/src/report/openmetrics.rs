//! A run as `OpenMetrics` text (openmetrics.io), for the textfile collector of a node exporter.

use std::fmt::Write;

use crate::{
    check::Overall,
    history::{History, Micros},
    measure::Measurements,
};

/// The metrics of a run, with its scenario and runtime as labels. What was not measured has no sample: nobody
/// must read a zero. Durations are seconds.
pub fn openmetrics(history: &History) -> String {
    let measured = Measurements::of(history);
    let overall = Overall::of(&measured);
    let info = measured.reading.info;
    let (scenario, runtime) = info.map_or(("", ""), |info| (&info.scenario, &info.runtime));
    let mut text = Text {
        labels: format!("scenario=\"{}\",runtime=\"{}\"", escaped(scenario), escaped(runtime)),
        written: String::new(),
    };
    text.family("notafter_run_timestamp_seconds", "seconds", "When the run began, Unix time.");
    text.sample("notafter_run_timestamp_seconds", "", info.map(|info| seconds(info.wall.cast_signed())));
    text.family("notafter_run_as_expected", "", "Whether the run gave the verdict that it must give.");
    text.sample("notafter_run_as_expected", "", Some(u8::from(overall.as_expected).to_string()));
    text.family("notafter_run_verdict", "", "The verdict of the run: 1 for the one that it is.");
    text.verdict("notafter_run_verdict", "", overall.verdict.word());
    text.family("notafter_check_verdict", "", "The verdict of each check: 1 for the one that it is.");
    for (name, verdict) in &overall.checks {
        let check = format!(",check=\"{}\"", escaped(name));
        text.verdict("notafter_check_verdict", &check, verdict.summary().word());
    }
    let unsigned = |micros: Option<Micros>| micros.map(Micros::cast_signed);
    for (name, help, value) in [
        (
            "time_to_detect",
            "From the first bite to the first sign; negative is a lead.",
            measured.time_to_detect,
        ),
        (
            "outage",
            "How long any user-facing operation failed.",
            unsigned(measured.outage.map(|outage| outage.value)),
        ),
        (
            "propagation_gap",
            "From the last rotation until no bad certificate was in use.",
            measured.milestones.propagation_gap(),
        ),
        (
            "time_to_recover",
            "From the last repair step to the recovery.",
            unsigned(measured.recovery.time_to_recover.map(|time| time.value)),
        ),
        ("time_to_drain", "From the recovery to a whole ledger.", unsigned(measured.time_to_drain)),
        ("resolution", "How exactly the durations are known.", unsigned(measured.resolution())),
    ] {
        let name = format!("notafter_{name}_seconds");
        text.family(&name, "seconds", help);
        text.sample(&name, "", value.map(seconds));
    }
    text.family("notafter_records", "", "The final account of the records.");
    let records = measured.records();
    for (state, number) in [
        ("sent", records.sent),
        ("stored", records.stored),
        ("lost", records.lost),
        ("duplicated", records.duplicated),
        ("late", records.late),
    ] {
        let known = (records.sent > 0).then(|| number.to_string());
        text.sample("notafter_records", &format!(",state=\"{state}\""), known);
    }
    text.family("notafter_accepted_unauthenticated", "", "Served without a valid certificate.");
    let accepted = measured.intrusions.known().map(|served| served.to_string());
    text.sample("notafter_accepted_unauthenticated", "", accepted);
    text.written + "# EOF\n"
}

/// What is being written.
struct Text {
    /// The labels of every sample.
    labels: String,
    written: String,
}

impl Text {
    fn family(&mut self, name: &str, unit: &str, help: &str) {
        let _ = writeln!(self.written, "# TYPE {name} gauge");
        if !unit.is_empty() {
            let _ = writeln!(self.written, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.written, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, more: &str, value: Option<String>) {
        if let Some(value) = value {
            let _ = writeln!(self.written, "{name}{{{}{more}}} {value}", self.labels);
        }
    }

    fn verdict(&mut self, name: &str, more: &str, is: &str) {
        for word in ["passed", "failed", "unknown"] {
            let value = u8::from(word == is).to_string();
            self.sample(name, &format!("{more},verdict=\"{word}\""), Some(value));
        }
    }
}

/// Microseconds as seconds, without rounding.
fn seconds(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A label's value, escaped as the format asks for.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::script::Script, report::tests::as_it_was};

    #[test]
    fn every_measurement_is_a_metric() {
        insta::assert_snapshot!(openmetrics(&as_it_was()));
    }

    #[test]
    fn what_was_not_measured_has_no_sample() {
        let text = openmetrics(&History::default());
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(
            samples.iter().all(|line| line.contains("as_expected") || line.contains("run_verdict")),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_name_with_quotes_stays_within_its_label() {
        let mut script = Script::outage();
        script.info.scenario = "a\"b\\c\nd".into();
        assert!(openmetrics(&script.history()).contains(r#"{scenario="a\"b\\c\nd","#));
    }

    #[test]
    fn seconds_keep_their_sign_and_every_microsecond() {
        assert_eq!([seconds(-1_500_000), seconds(-1), seconds(7)], ["-1.500000", "-0.000001", "0.000007"]);
    }
}
