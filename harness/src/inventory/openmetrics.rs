//! The inventory as `OpenMetrics`, by the names that people alert on already: those of
//! x509-certificate-exporter for files, those of the blackbox exporter for servers.
//!
//! A server's series do not vanish when its certificate expires, as the blackbox exporter's do.

use std::collections::BTreeSet;

use super::{Entry, Form, Inventory, Judged, Place, finding::Kind};

/// One kind of number.
struct Family {
    name: &'static str,
    help: &'static str,
    /// Labels and value; a certificate that is twice in one file is there once.
    samples: BTreeSet<(String, i64)>,
}

/// All families, with `# EOF` at the end.
pub fn openmetrics(inventory: &Inventory) -> String {
    let mut text = String::new();
    for Family { name, help, samples } in files(inventory).into_iter().chain(servers(inventory)) {
        if samples.is_empty() {
            continue;
        }
        text.extend(["# TYPE ", name, " gauge\n# HELP ", name, " ", help, "\n"]);
        for (labels, value) in samples {
            text.extend([name, "{", &labels, "} ", &value.to_string(), "\n"]);
        }
    }
    text + "# EOF\n"
}

fn files(inventory: &Inventory) -> [Family; 4] {
    let mut families = [
        family("x509_cert_not_after", "Last second in which the certificate is valid, Unix seconds."),
        family("x509_cert_not_before", "First second in which the certificate is valid, Unix seconds."),
        family("x509_cert_expired", "Whether the certificate has expired."),
        family("x509_cert_error", "Whether the file could not be read, in whole or in part."),
    ];
    for entry in &inventory.certificates {
        for place in entry.places.iter().filter(|place| place.form != Form::Wire) {
            let mut pairs = where_it_is(place);
            pairs.extend([
                ("subject_CN", entry.certificate.common_name.as_deref().unwrap_or_default()),
                ("issuer_CN", entry.certificate.issuer_common_name.as_deref().unwrap_or_default()),
                ("serial", &entry.certificate.serial),
                ("owner", entry.owner.as_deref().unwrap_or_default()),
            ]);
            let labels = labels(&pairs);
            let expired = i64::from(entry.lifetime().left(inventory.now) <= 0);
            let values = [entry.certificate.not_after, entry.certificate.not_before, expired];
            for (family, value) in families.iter_mut().zip(values) {
                family.samples.insert((labels.clone(), value));
            }
        }
    }
    let bad = inventory.findings.iter().filter(|finding| finding.kind == Kind::Unreadable);
    let bad: BTreeSet<&str> = bad.flat_map(|finding| &finding.places).map(|at| &**at).collect();
    let places = inventory.certificates.iter().flat_map(|entry| &entry.places);
    let good = places.filter(|place| place.form != Form::Wire);
    let unknown = bad.iter().map(|at| (vec![("filepath", *at)], *at));
    for (pairs, at) in good.map(|place| (where_it_is(place), &*place.at)).chain(unknown) {
        families[3].samples.insert((labels(&pairs), i64::from(bad.contains(at))));
    }
    families
}

/// A file by its path; what lies in Kubernetes by its object.
fn where_it_is(place: &Place) -> Vec<(&'static str, &str)> {
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
    Family { name, help, samples: BTreeSet::new() }
}

/// Labels with a value; an empty one is none.
fn labels(labels: &[(&str, &str)]) -> String {
    let set = labels.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
