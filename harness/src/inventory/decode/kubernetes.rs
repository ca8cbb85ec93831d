//! Objects of Kubernetes, as `kubectl get -o json` and `-o yaml` write them and as manifests have them:
//! what lies in Secrets and `ConfigMaps`, the bundles by which webhooks are trusted, and what was issued
//! for a `CertificateSigningRequest`.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Decoded, Decoder, by_form, problem};

/// A value inside of an object of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    /// Its kind as kubectl takes it: `secret`.
    pub kind: String,
    /// Where it is, unless it belongs to the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Which value: a key of its data, the name of a webhook, or a field.
    pub key: String,
}

/// `secret/NAMESPACE/NAME#tls.crt`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, key } = self;
        match namespace {
            Some(namespace) => write!(f, "{kind}/{namespace}/{name}#{key}"),
            None => write!(f, "{kind}/{name}#{key}"),
        }
    }
}

/// A kind, as objects name it, and how it is written in YAML and in JSON.
const KINDS: [&str; 7] = [
    "Secret",
    "ConfigMap",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "CustomResourceDefinition",
    "CertificateSigningRequest",
];
/// What the API server puts behind the kind of a list, whose items then have none.
const LIST: &str = "List";
/// How PEM begins, bare and in base64.
const PEM: [&[u8]; 2] = [b"-----BEGIN ", b"LS0tLS1CRUdJTi"];

/// Whether it holds objects that could hold certificates.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"apiVersion").is_some()
        && memmem::find_iter(bytes, b"kind").any(|at| {
            let rest = bytes[at + 4..].iter().copied();
            // `kind: Secret`, `"kind":"Secret"`, `"kind": "Secret"`.
            let word: Vec<u8> = rest
                .skip_while(|byte| matches!(byte, b'"' | b':' | b' '))
                .take_while(u8::is_ascii_alphanumeric)
                .take(64)
                .collect();
            let word = word.strip_suffix(LIST.as_bytes()).unwrap_or(&word);
            KINDS.iter().any(|kind| kind.as_bytes() == word)
        })
}

pub(super) fn decode(bytes: &[u8], decoder: &mut Decoder<'_>) -> Decoded {
    let documents = match documents(bytes) {
        Ok(documents) => documents,
        // A template of a manifest is none; only one that has certificates in it matters.
        Err(why) if PEM.iter().any(|begin| memmem::find(bytes, begin).is_some()) => {
            return problem(&format!("expected objects of Kubernetes, found {why}"));
        }
        Err(_) => return Decoded::default(),
    };
    let mut decoded = Decoded::default();
    for document in &documents {
        visit(document, None, decoder, &mut decoded);
    }
    decoded
}

fn documents(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map(|one| vec![one]).map_err(|error| format!("no JSON ({error})"));
    }
    serde_saphyr::from_multiple(text).map_err(|error| {
        let error = error.to_string();
        format!("no YAML ({}); `kubectl get -o json` writes JSON", error.lines().next().unwrap_or_default())
    })
}

/// A list or an object, which is of this kind if it does not say.
fn visit(value: &Value, kind: Option<&str>, decoder: &mut Decoder<'_>, decoded: &mut Decoded) {
    let kind = value["kind"].as_str().or(kind);
    for item in value["items"].as_array().into_iter().flatten() {
        visit(item, kind.and_then(|kind| kind.strip_suffix(LIST)), decoder, decoded);
    }
    let Some(kind) = KINDS.into_iter().find(|known| kind == Some(known)) else { return };
    let mut object = Reader { kind, value, decoder, decoded };
    match kind {
        "Secret" => {
            object.data("data", true);
            object.data("stringData", false);
        }
        "ConfigMap" => {
            object.data("data", false);
            object.data("binaryData", true);
        }
        "APIService" => object.field("/spec/caBundle"),
        "CustomResourceDefinition" => object.field("/spec/conversion/webhook/clientConfig/caBundle"),
        "CertificateSigningRequest" => object.field("/status/certificate"),
        _ => {
            for webhook in value["webhooks"].as_array().into_iter().flatten() {
                let bundle = webhook["clientConfig"]["caBundle"].as_str();
                object.take(webhook["name"].as_str().unwrap_or("webhook"), bundle, true, true);
            }
        }
    }
}

/// One object, and what was found until now.
struct Reader<'a, 'b> {
    kind: &'static str,
    value: &'a Value,
    decoder: &'a mut Decoder<'b>,
    decoded: &'a mut Decoded,
}

impl Reader<'_, '_> {
    /// Everything in a map of values.
    fn data(&mut self, field: &str, base64: bool) {
        for (key, text) in self.value[field].as_object().into_iter().flatten() {
            self.take(key, text.as_str(), base64, super::promising(key));
        }
    }

    /// One field that holds PEM in base64.
    fn field(&mut self, pointer: &str) {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        self.take(key, self.value.pointer(pointer).and_then(Value::as_str), true, true);
    }

    /// One value. An empty one is no problem: it waits for whoever fills it.
    fn take(&mut self, key: &str, text: Option<&str>, base64: bool, promised: bool) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        let found = match base64.then(|| STANDARD.decode(text.trim())) {
            None => by_form(text.as_bytes(), promised, self.decoder),
            Some(Ok(bytes)) => by_form(&bytes, promised, self.decoder),
            Some(Err(error)) if promised => problem(&format!("found no base64 ({error})")),
            Some(Err(_)) => return,
        };
        if found == Decoded::default() {
            return;
        }
        let text = |field: &str| self.value["metadata"][field].as_str().map(str::to_owned);
        let object = Object {
            kind: self.kind.to_lowercase(),
            namespace: text("namespace"),
            name: text("name").unwrap_or_default(),
            key: key.to_owned(),
        };
        self.decoded.inside.push((Arc::new(object), found));
    }
}
