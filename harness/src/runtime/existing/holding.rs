//! What of certificates an object of Kubernetes holds, as the inventory finds it, and what changes of it.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::plan::{Change, Kind, Reference};
use crate::{
    inventory::{Certificate, Form, decode::Decoder},
    pki::Credential,
};

/// The controller manager writes it into every namespace, again and again.
const OF_THE_CLUSTER: &str = "kube-root-ca.crt";

/// An object that holds something.
pub struct Holding<'a> {
    /// Which.
    pub object: Reference,
    /// Leaves with their keys.
    pub pairs: Vec<Pair>,
    /// Authorities that somebody trusts: the name of the value, and its PEM.
    bundles: Vec<(String, String)>,
    value: &'a Value,
}

/// A leaf and its key in one object.
pub struct Pair {
    /// The leaf.
    pub leaf: Arc<Certificate>,
    /// The value that has the chain.
    pub chain: String,
    /// Its PEM.
    pub text: String,
    /// The value that has the key; may be the same.
    pub key: String,
}

/// What values become: by name what it is for people, and the new text.
#[derive(Default)]
pub struct Edit(BTreeMap<String, (String, String)>);

impl<'a> Holding<'a> {
    /// What an object holds; none where it is nothing of ours. What is left alone is said.
    pub fn of(value: &'a Value, namespace: &str, left: &mut Vec<String>) -> Option<Self> {
        let kind = serde_json::from_value(value["kind"].clone()).ok()?;
        let text = |field: &str| value["metadata"][field].as_str().map(ToOwned::to_owned);
        let object = Reference { kind, namespace: text("namespace"), name: text("name")? };
        let found = Decoder::new(&[]).decode(&serde_json::to_vec(value).ok()?, false).inside;
        if found.is_empty() {
            return None;
        }
        let mut leave = |why: &str| left.push(format!("{object}: {why}"));
        if value["immutable"] == true {
            leave("it is immutable");
            return None;
        }
        if kind == Kind::ConfigMap && object.name == OF_THE_CLUSTER {
            leave("the cluster itself keeps it");
            return None;
        }
        let mut holding = Self { object: object.clone(), pairs: Vec::new(), bundles: Vec::new(), value };
        let keys: Vec<_> =
            found.iter().flat_map(|(at, one)| one.keys.iter().map(|key| (&at.key, *key))).collect();
        for (at, one) in &found {
            let name = &at.key;
            let Some(first) = one.certificates.first() else { continue };
            if one.form != Form::Pem {
                leave(&format!("{name} is a key store, and only PEM can be changed"));
                continue;
            }
            let Some(text) = holding.text(name) else { continue };
            if !first.role.is_authority() {
                match keys.iter().find(|(_, key)| *key == Some(first.key)) {
                    Some((key, _)) => holding.pairs.push(Pair {
                        leaf: Arc::clone(first),
                        chain: name.clone(),
                        text,
                        key: (*key).clone(),
                    }),
                    None => leave(&format!("{name} has no key beside it")),
                }
            } else if one.keys.is_empty() && holding.is_of(name, namespace) {
                holding.bundles.push((name.clone(), text));
            }
        }
        Some(holding)
    }

    /// Bundles in Secrets and `ConfigMaps`.
    pub fn stored_bundles(&self) -> impl Iterator<Item = (&str, &str)> {
        let stored = matches!(self.object.kind, Kind::Secret | Kind::ConfigMap);
        self.all_bundles().filter(move |_| stored)
    }

    /// Bundles of webhooks.
    pub fn webhooks(&self) -> impl Iterator<Item = (&str, &str)> {
        let stored = matches!(self.object.kind, Kind::Secret | Kind::ConfigMap);
        self.all_bundles().filter(move |_| !stored)
    }

    /// All of them.
    pub fn all_bundles(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bundles.iter().map(|(name, pem)| (name.as_str(), pem.as_str()))
    }

    /// The change that makes an edit of it; none if nothing is edited.
    pub fn change(&self, edit: Edit) -> Option<Change> {
        if edit.is_empty() {
            return None;
        }
        let mut will_be = Value::Null;
        let mut about = Vec::new();
        for (name, (what, text)) in edit.0 {
            about.push(format!("{name}: {what}"));
            let encoded = || Value::from(STANDARD.encode(&text));
            match self.object.kind {
                Kind::Secret => will_be["data"][&name] = encoded(),
                Kind::ConfigMap if self.value["data"][&name].is_string() => {
                    will_be["data"][&name] = text.into();
                }
                Kind::ConfigMap => will_be["binaryData"][&name] = encoded(),
                Kind::ValidatingWebhookConfiguration | Kind::MutatingWebhookConfiguration => {
                    let webhook = json!({"name": name, "clientConfig": {"caBundle": encoded()}});
                    match will_be["webhooks"].as_array_mut() {
                        Some(webhooks) => webhooks.push(webhook),
                        None => will_be["webhooks"] = json!([webhook]),
                    }
                }
            }
        }
        Some(Change {
            object: self.object.clone(),
            about,
            version: self.value["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
            was: fields(self.value, &will_be),
            will_be,
            managers: self.value["metadata"]["managedFields"].clone(),
        })
    }

    /// A value that is text.
    fn text(&self, name: &str) -> Option<String> {
        let decoded = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str()?.trim()).ok()?).ok();
        match self.object.kind {
            Kind::Secret => decoded(&self.value["data"][name]),
            Kind::ConfigMap => {
                let plain = self.value["data"][name].as_str().map(ToOwned::to_owned);
                plain.or_else(|| decoded(&self.value["binaryData"][name]))
            }
            _ => decoded(&self.webhook(name)?["clientConfig"]["caBundle"]),
        }
    }

    /// Whether a value is the namespace's: a webhook is where its service is.
    fn is_of(&self, name: &str, namespace: &str) -> bool {
        match self.object.kind {
            Kind::Secret | Kind::ConfigMap => self.object.namespace.as_deref() == Some(namespace),
            _ => self.webhook(name).is_some_and(|it| it["clientConfig"]["service"]["namespace"] == namespace),
        }
    }

    fn webhook(&self, name: &str) -> Option<&'a Value> {
        self.value["webhooks"].as_array()?.iter().find(|webhook| webhook["name"] == name)
    }
}

impl Edit {
    /// One value.
    pub fn put(&mut self, name: &str, what: &str, text: String) {
        self.0.insert(name.to_owned(), (what.to_owned(), text));
    }

    /// A pair, by another one.
    pub fn replace(&mut self, pair: &Pair, new: &Credential) {
        let (what, chain, key) = (pair.leaf.called(), new.chain_pem(), new.key_pem());
        if pair.chain == pair.key {
            return self.put(&pair.chain, what, format!("{chain}{key}"));
        }
        self.put(&pair.chain, what, chain.to_owned());
        self.put(&pair.key, &format!("the key of {what}"), key.to_owned());
    }

    /// The key of a pair alone.
    pub fn replace_key(&mut self, pair: &Pair, key: &str) {
        let text = if pair.chain == pair.key {
            format!("{}{key}", certificates(&pair.text))
        } else {
            key.to_owned()
        };
        self.put(&pair.key, &format!("the key of {}", pair.leaf.called()), text);
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a value has in the fields that another one has; items of a list are found by their name, as
/// server-side apply merges them.
pub fn fields(of: &Value, shape: &Value) -> Value {
    match shape {
        Value::Object(shape) => {
            let there =
                shape.iter().filter_map(|(key, shape)| Some((key.clone(), fields(of.get(key)?, shape))));
            Value::Object(there.collect::<Map<_, _>>())
        }
        Value::Array(shapes) => {
            let find = |shape: &Value| of.as_array()?.iter().find(|item| item["name"] == shape["name"]);
            shapes.iter().filter_map(|shape| Some(fields(find(shape)?, shape))).collect()
        }
        _ => of.clone(),
    }
}

/// The certificates in PEM, without what else is there.
fn certificates(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    let from = pem.find("-----BEGIN CERTIFICATE").unwrap_or(0);
    let to = pem.rfind(END).map_or(pem.len(), |at| at + END.len());
    pem.get(from..to).unwrap_or(pem).to_owned()
}
