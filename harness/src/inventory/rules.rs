//! Alerts on certificates as rules for Prometheus, with the thresholds of [`super::threshold`].
//!
//! They go with the metrics of `notafter watch`; those about certificates also with those of
//! x509-certificate-exporter, which have the same names. What they promise:
//!
//! - an alert fires on after the end, until the certificate is renewed;
//! - it does not vanish with its series: what cannot be looked at any more counts as it was seen last,
//!   for a day. Where looking works, only what is there now counts, so a renewal ends an alert at once;
//! - nobody who is trusted and nothing else is alerted on: nobody here can renew it;
//! - a watcher that is gone, or looks no more, is an alert of its own.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    Owners,
    openmetrics::escaped,
    threshold::{CRITICAL, PAGE, RENEWAL_OVERDUE},
};
use crate::error::{Context, Result};

/// The name by which a map of owners says whose the watcher is.
const WATCHER: &str = "notafter watch";

/// Seconds that are left of each certificate in each place; of several that share place and name, the one
/// that ends first. What cannot be looked at counts as the newest that was seen there.
const LEFT: &str = "notafter:cert_left:seconds";
/// Seconds of its lifetime.
const LIFETIME: &str = "notafter:cert_lifetime:seconds";

/// A file of rules.
#[derive(Serialize)]
struct File {
    groups: Vec<Group>,
}

/// Rules of a group see what those before them recorded.
#[derive(Serialize)]
struct Group {
    name: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rule {
    Record { record: &'static str, expr: String },
    Alert(Alert),
}

#[derive(Serialize)]
struct Alert {
    #[serde(rename = "alert")]
    name: &'static str,
    expr: String,
    /// How long it must have been so.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<&'static str>,
    labels: BTreeMap<&'static str, String>,
    annotations: Annotations,
}

/// What whoever is told reads.
#[derive(Serialize)]
struct Annotations {
    summary: String,
    /// What to do.
    description: String,
}

/// All of them as a rules file. A page comes `lead` before the end at the latest.
///
/// # Errors
/// If they cannot be written as YAML.
pub fn rules(lead: Duration, owners: &Owners) -> Result<String> {
    let file = File {
        groups: vec![
            Group { name: "notafter-certificates", rules: certificates(lead) },
            Group { name: "notafter-watcher", rules: watcher(owners) },
        ],
    };
    let rules = serde_saphyr::to_string(&file).context(|| "cannot write YAML".into())?;
    Ok(format!("# Written by `notafter alerts` {}.\n{rules}", env!("CARGO_PKG_VERSION")))
}

fn certificates(lead: Duration) -> Vec<Rule> {
    let finding = Alert::new(
        "CertificateFinding",
        "{{ $labels.rank }}",
        // Those that are about time, or about what does not answer, have alerts of their own.
        "notafter_findings{rank!=\"note\",kind!~\"expired|expiring|renewal-overdue|unreadable|nothing-presented\"} > 0",
        "{{ $labels.kind }}: {{ $value }} of rank {{ $labels.rank }}",
        "`notafter inventory`, with the sources of `notafter watch`, says which and where.",
    );
    let unseen = Alert::new(
        "CertificateUnseen",
        "warning",
        "x509_cert_error == 1",
        "{{ $labels.filepath }}{{ $labels.endpoint }} shows no certificate",
        "Nobody knows until when what should be there lasts. \
         `notafter inventory {{ $labels.filepath }}{{ $labels.endpoint }}` says why.",
    );
    vec![
        Rule::Record { record: LEFT, expr: left() },
        Rule::Record { record: LIFETIME, expr: lifetime() },
        Rule::Alert(due(
            "CertificateRenewalOverdue",
            "warning",
            format!("{LEFT} <= {LIFETIME} / {RENEWAL_OVERDUE}"),
            "Two thirds of its lifetime are used: what renews it by itself should have.",
        )),
        Rule::Alert(due(
            "CertificateNearsItsEnd",
            "critical",
            format!("{LEFT} < {LIFETIME} / {CRITICAL}"),
            "Less than a sixth of its lifetime is left.",
        )),
        Rule::Alert(due(
            "CertificateEnds",
            "page",
            format!("{LEFT} < clamp_min({LIFETIME} / {PAGE}, {})", lead.as_secs_f64()),
            "When it ends, whoever checks it refuses it, and what depends on it stops.",
        )),
        Rule::Alert(finding),
        Rule::Alert(unseen.lasting("5m")),
    ]
}

fn watcher(owners: &Owners) -> Vec<Rule> {
    let whose = owners.of([WATCHER]);
    let whose = whose.as_deref();
    let blind = Alert::new(
        "CertificateWatcherBlind",
        "critical",
        "time() - last_over_time(notafter_watch_last_look_timestamp_seconds[1d])\n  \
         > clamp_min(10 * last_over_time(notafter_watch_every_seconds[1d]), 60)",
        "nobody has looked at certificates for {{ humanizeDuration $value }} ({{ $labels.instance }})",
        "The watcher is gone, or cannot be asked, or its looks do not finish: until then no \
         certificate that nears its end is told. See whether `notafter watch` runs, and what it says.",
    );
    let missing = Alert::new(
        "CertificateWatcherMissing",
        "critical",
        "absent_over_time(notafter_watch_last_look_timestamp_seconds[1d])",
        "no watcher of certificates was seen for a day",
        "Start `notafter watch`, and give its address to Prometheus in scrape_configs.",
    );
    let unwatched = |owner| {
        Alert::new(
            "CertificatesUnwatched",
            "warning",
            format!("absent_over_time(x509_cert_not_after{{owner=\"{}\"}}[1d])", escaped(owner)),
            "no certificate of {{ $labels.owner }} was seen for a day",
            "Give what is theirs to `notafter watch`, or correct the map of owners.",
        )
        .of(Some(owner))
        .lasting("10m")
    };
    let watcher = [blind.of(whose), missing.of(whose).lasting("10m")];
    watcher.into_iter().chain(owners.beside(WATCHER).into_iter().map(unwatched)).map(Rule::Alert).collect()
}

/// An alert on a certificate that is due.
fn due(name: &'static str, severity: &str, expr: String, why: &str) -> Alert {
    let summary = "{{ with $labels.subject_CN }}{{ . }}{{ else }}a certificate{{ end }} \
        {{ if gt $value 0.0 }}ends in {{ humanizeDuration $value }}{{ else }}has ended{{ end }} \
        ({{ $labels.filepath }}{{ $labels.endpoint }})";
    let description = "Renew it, make what uses it read it, and see with \
        `notafter inventory {{ $labels.filepath }}{{ $labels.endpoint }}` that it is in use: \
        a new file that nobody read is not.";
    Alert::new(name, severity, expr, summary, &format!("{why} {description}"))
}

/// What differs between a certificate and the one that replaces it.
const OF_ONE: &str = "serial, serial_number, issuer_CN";
/// What a place goes by.
const PLACE: &str = "job, instance, filepath, endpoint, secret_namespace, secret_name";
/// All but authorities that are trusted and nothing else.
const NOT_AFTER: &str = "x509_cert_not_after{merely_trusted=\"\"}";

/// What cannot be looked at now is remembered by its newest certificate; what can, by none.
fn left() -> String {
    format!(
        "(\n  min without ({OF_ONE}) ({NOT_AFTER})\nor\n  max without ({OF_ONE}) (\n    \
         last_over_time({NOT_AFTER}[1d])\n    unless on ({PLACE}) x509_cert_error == 0\n  )\n) + 1 - time()"
    )
}

fn lifetime() -> String {
    format!(
        "max without ({OF_ONE}) (x509_cert_not_after + 1 - x509_cert_not_before)\nor\nmax without ({OF_ONE}) \
         (\n  last_over_time(x509_cert_not_after[1d]) + 1 - last_over_time(x509_cert_not_before[1d])\n)"
    )
}

impl Alert {
    fn new(
        name: &'static str,
        severity: &str,
        expr: impl Into<String>,
        summary: &str,
        description: &str,
    ) -> Self {
        Self {
            name,
            expr: expr.into(),
            lasting: None,
            labels: [("severity", severity.into())].into(),
            annotations: Annotations { summary: summary.into(), description: description.into() },
        }
    }

    /// The same, if it has been so for a while.
    fn lasting(self, span: &'static str) -> Self {
        Self { lasting: Some(span), ..self }
    }

    /// The same for an owner.
    fn of(mut self, owner: Option<&str>) -> Self {
        // A label is a template.
        let owner = owner.map(|owner| owner.replace("{{", "{{ `{{` }}"));
        self.labels.extend(owner.map(|owner| ("owner", owner)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_say_when_who_and_what_to_do() {
        let owners = "\"/srv/*\" = \"team \\\"search\\\"\"\n\"notafter watch\" = \"anna@example.org\"\n\"*\" = \"all\"";
        let owners = Owners::from_toml(owners, "owners.toml").expect("owners");
        let text = rules(Duration::from_hours(1), &owners).expect("rules");
        insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "[version]"));
    }
}
