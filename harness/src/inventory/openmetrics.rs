//! The inventory as `OpenMetrics`, by the names that people alert on already: those of
//! x509-certificate-exporter for files, those of the blackbox exporter for servers.
//!
//! A server's series do not vanish when its certificate expires, as the blackbox exporter's do.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Form, Inventory, Judged, Place, finding::Kind};

/// One kind of number.
struct Family {
    name: &'static str,
    help: &'static str,
    /// Values by labels; a certificate that is twice in one file is there once.
    samples: BTreeMap<String, i64>,
}

/// Ends every document.
pub(crate) const EOF: &str = "# EOF\n";

/// All families, with `# EOF` at the end.
pub fn openmetrics(inventory: &Inventory) -> String {
    samples(inventory) + EOF
}

/// All families, for a document that has more of them.
pub(crate) fn samples(inventory: &Inventory) -> String {
    let mut text = String::new();
    let families = certificates(inventory)
        .into_iter()
        .chain([errors(inventory), findings(inventory)])
        .chain(servers(inventory));
    for Family { name, help, samples } in families {
        if samples.is_empty() {
            continue;
        }
        text.extend(["# TYPE ", name, " gauge\n# HELP ", name, " ", help, "\n"]);
        for (labels, value) in samples {
            text.extend([name, "{", &labels, "} ", &value.to_string(), "\n"]);
        }
    }
    text
}

/// What lies in files and what is presented: a file is a `filepath`, a server an `endpoint`.
fn certificates(inventory: &Inventory) -> [Family; 3] {
    let mut families = [
        family("x509_cert_not_after", "Last second in which the certificate is valid, Unix seconds."),
        family("x509_cert_not_before", "First second in which the certificate is valid, Unix seconds."),
        family("x509_cert_expired", "Whether the certificate has expired."),
    ];
    for entry in &inventory.certificates {
        let expired = i64::from(entry.lifetime().left(inventory.now) <= 0);
        let values = [entry.certificate.not_after, entry.certificate.not_before, expired];
        for place in &entry.places {
            let mut pairs = where_it_is(place);
            pairs.extend([
                // Some have none; without a name, several of one file would be the same series.
                ("subject_CN", entry.certificate.called()),
                ("issuer_CN", entry.certificate.issued_by()),
                ("serial", &entry.certificate.serial),
                ("owner", entry.owner.as_deref().unwrap_or_default()),
                // Nobody here can renew it, so nobody is alerted.
                ("merely_trusted", if entry.merely_trusted { "yes" } else { "" }),
            ]);
            let labels = labels(&pairs);
            for (family, value) in families.iter_mut().zip(values) {
                family.samples.entry(labels.clone()).or_insert(value);
            }
        }
    }
    families
}

/// A server by its address, a file by its path, what lies in Kubernetes by its object.
fn where_it_is(place: &Place) -> Vec<(&'static str, &str)> {
    if place.form == Form::Wire {
        return vec![("endpoint", &place.at)];
    }
    let Some(object) = place.object.as_deref() else { return vec![("filepath", &place.at)] };
    let namespace = object.namespace.as_deref().unwrap_or_default();
    match object.kind.as_str() {
        "secret" => {
            vec![("secret_namespace", namespace), ("secret_name", &object.name), ("secret_key", &object.key)]
        }
        "configmap" => vec![
            ("configmap_namespace", namespace),
            ("configmap_name", &object.name),
            ("configmap_key", &object.key),
        ],
        // The exporter knows no others.
        _ => vec![("filepath", &place.at)],
    }
}

/// Whether something was found wherever something should be.
fn errors(inventory: &Inventory) -> Family {
    let mut family =
        family("x509_cert_error", "Whether the file could not be read, or the server presented nothing.");
    let mut bad = BTreeSet::new();
    for finding in &inventory.findings {
        let label = match finding.kind {
            Kind::Unreadable => "filepath",
            Kind::NothingPresented => "endpoint",
            _ => continue,
        };
        for at in &finding.places {
            bad.insert(&**at);
            let owner = finding.owner.as_deref().unwrap_or_default();
            family.samples.insert(labels(&[(label, at), ("owner", owner)]), 1);
        }
    }
    for place in inventory.certificates.iter().flat_map(|entry| &entry.places) {
        if !bad.contains(&*place.at) {
            family.samples.insert(labels(&where_it_is(place)), 0);
        }
    }
    family
}

/// What is or will be wrong, counted.
fn findings(inventory: &Inventory) -> Family {
    let mut family = family("notafter_findings", "How many findings there are of a rank and a kind.");
    for finding in &inventory.findings {
        let owner = finding.owner.as_deref().unwrap_or_default();
        let labels =
            labels(&[("rank", finding.rank.name()), ("kind", finding.kind.name()), ("owner", owner)]);
        *family.samples.entry(labels).or_default() += 1;
    }
    family
}

fn servers(inventory: &Inventory) -> [Family; 2] {
    let mut families = [
        family(
            "probe_ssl_earliest_cert_expiry",
            "When the first of the presented certificates ends, Unix seconds.",
        ),
        family(
            "probe_ssl_last_chain_expiry_timestamp_seconds",
            "When the first element of the chain that verifies ends, Unix seconds.",
        ),
    ];
    for endpoint in &inventory.endpoints {
        let service = endpoint.service.as_deref().unwrap_or_default();
        let labels = labels(&[("instance", &endpoint.at), ("service", service)]);
        let presented: Vec<&Entry> =
            endpoint.presented.iter().filter_map(|one| inventory.certificate(*one)).collect();
        let earliest = presented.iter().map(|entry| entry.certificate.not_after).min();
        families[0].samples.extend(earliest.map(|earliest| (labels.clone(), earliest)));
        let verified = presented.first().filter(|leaf| leaf.chain.judged == Some(Judged::Verifies));
        families[1].samples.extend(verified.map(|leaf| (labels, leaf.chain.ends_first.not_after)));
    }
    families
}

fn family(name: &'static str, help: &'static str) -> Family {
    Family { name, help, samples: BTreeMap::new() }
}

/// Labels with a value; an empty one is none.
fn labels(labels: &[(&str, &str)]) -> String {
    let set = labels.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

/// As within the quotes of a label, and of a string of `PromQL`.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
