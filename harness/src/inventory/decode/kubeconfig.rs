//! Kubeconfigs: the certificates and keys that are inside of one, in base64 of PEM.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{Decoded, Form, Known, pem};

#[derive(Default, Deserialize)]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<Named>,
    #[serde(default)]
    users: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
    #[serde(default)]
    cluster: Inside,
    #[serde(default)]
    user: Inside,
}

/// PEM in base64.
#[derive(Default, Deserialize)]
struct Inside {
    #[serde(rename = "certificate-authority-data")]
    authority: Option<String>,
    #[serde(rename = "client-certificate-data")]
    certificate: Option<String>,
    #[serde(rename = "client-key-data")]
    key: Option<String>,
}

/// Whether it says so of itself, and has something inside.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let has = |words: &[u8]| memchr::memmem::find(bytes, words).is_some();
    has(b"certificate-authority-data") || has(b"client-certificate-data")
}

pub(super) fn decode(bytes: &[u8], known: &mut Known) -> Decoded {
    let mut decoded = Decoded { form: Form::Kubeconfig, ..Decoded::default() };
    let parsed = std::str::from_utf8(bytes)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_saphyr::from_str::<Kubeconfig>(text).map_err(|error| error.to_string()));
    let config = match parsed {
        Ok(config) => config,
        Err(error) => {
            let line = error.lines().next().unwrap_or_default().to_owned();
            decoded.problems.push(format!("expected a kubeconfig, found no YAML of one ({line})"));
            return decoded;
        }
    };
    // What clients show comes first: the leaf of the file.
    for named in &config.users {
        let user = format!("user `{}`", named.name);
        take(named.user.certificate.as_deref(), &user, "client-certificate-data", known, &mut decoded);
        take(named.user.key.as_deref(), &user, "client-key-data", known, &mut decoded);
    }
    for named in &config.clusters {
        let cluster = format!("cluster `{}`", named.name);
        let authority = named.cluster.authority.as_deref();
        take(authority, &cluster, "certificate-authority-data", known, &mut decoded);
    }
    decoded
}

fn take(data: Option<&str>, of: &str, field: &str, known: &mut Known, decoded: &mut Decoded) {
    let Some(data) = data else { return };
    let inside = match STANDARD.decode(data.trim()) {
        Ok(bytes) if pem::looks_like(&bytes) => pem::decode(&bytes, true, known),
        Ok(_) => return decoded.problems.push(format!("{of}, {field}: expected PEM, found something else")),
        Err(error) => return decoded.problems.push(format!("{of}, {field}: found no base64 ({error})")),
    };
    decoded.certificates.extend(inside.certificates);
    decoded.keys.extend(inside.keys);
    decoded.problems.extend(inside.problems.into_iter().map(|words| format!("{of}, {field}: {words}")));
}
