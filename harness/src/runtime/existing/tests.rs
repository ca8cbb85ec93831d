//! Plans on hand-written objects, and what is kept of them.

use std::{fs, io::Write, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Place,
    holding::fields,
    plan::{Change, Defect, Plan, plan},
    undo::{Undo, is_left},
};
use crate::{
    inventory::decode::Decoder,
    pki::{Authority, Credential, Identity, Validity},
    run::RunFolder,
};

fn credential() -> Credential {
    let authority = Authority::new("mesh").expect("an authority");
    authority.issue(&Identity::service("web"), Validity::lasting(Duration::from_hours(9))).expect("a leaf")
}

fn object(kind: &str, name: &str, fields: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7", "managedFields": []},
    });
    object.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
    object
}

/// One Secret with a pair, one with both in a value, a bundle, and a webhook.
fn shop() -> [Value; 4] {
    let own = credential();
    let base64 = |text: &str| STANDARD.encode(text);
    let both = format!("{}{}", own.chain_pem(), own.key_pem());
    let pair = json!({"tls.crt": base64(own.chain_pem()), "tls.key": base64(own.key_pem()), "other": "eA=="});
    let webhook = json!({
        "name": "policy", "clientConfig": {
            "service": {"namespace": "shop", "name": "web"}, "caBundle": base64(own.bundle_pem()),
        },
    });
    [
        object("Secret", "pair", &json!({"data": pair})),
        object("Secret", "both", &json!({"data": {"all.pem": base64(&both)}})),
        object("ConfigMap", "trust", &json!({"data": {"ca.crt": own.bundle_pem(), "motd": "hello"}})),
        object("ValidatingWebhookConfiguration", "policy", &json!({"webhooks": [webhook]})),
    ]
}

fn planned(objects: &[Value], defect: Defect) -> Plan {
    plan(objects, "shop", defect).expect("a plan")
}

/// Every value that changes, as `OBJECT#VALUE`.
fn changed(plan: &Plan) -> Vec<String> {
    let values = |change: &Change| {
        let names = change.about.iter().filter_map(|about| about.split_once(": ")).map(|(name, _)| name);
        names.map(|name| format!("{}#{name}", change.object.name)).collect::<Vec<_>>()
    };
    plan.changes.iter().flat_map(values).collect()
}

/// A value of a Secret as it will be.
fn will_be(plan: &Plan, object: &str, value: &str) -> String {
    let change = plan.changes.iter().find(|change| change.object.name == object).expect("a change");
    let bytes = STANDARD.decode(change.will_be["data"][value].as_str().expect("a value")).expect("base64");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn each_defect_changes_what_it_is_about_and_nothing_else() {
    let leaves = ["both#all.pem", "pair#tls.crt", "pair#tls.key"];
    let trusted = ["both#all.pem", "pair#tls.crt", "pair#tls.key", "trust#ca.crt", "policy#policy"];
    let expected: [(Defect, &[&str]); 9] = [
        (Defect::Expired, &trusted),
        (Defect::NotYetValid, &trusted),
        (Defect::WrongName, &trusted),
        (Defect::UnknownAuthority, &leaves),
        (Defect::TornPair, &["both#all.pem", "pair#tls.key"]),
        (Defect::TruncatedChain, &["both#all.pem", "pair#tls.crt"]),
        (Defect::WrongBundle, &["trust#ca.crt"]),
        (Defect::EmptyBundle, &["trust#ca.crt"]),
        (Defect::WrongWebhookBundle, &["policy#policy"]),
    ];
    for (defect, expected) in expected {
        let plan = planned(&shop(), defect);
        assert_eq!(changed(&plan), expected, "{defect:?}");
        assert!(plan.left.is_empty(), "{:?}", plan.left);
        for change in &plan.changes {
            assert_ne!(change.was, change.will_be, "{defect:?} {}", change.object);
            let kept = &change.version;
            assert_eq!(kept, "7");
        }
    }
}

#[test]
fn a_pair_stays_a_pair_but_for_the_defect_that_tears_it() {
    let pairs = |defect: Defect, value: &str| {
        let plan = planned(&shop(), defect);
        let text = will_be(&plan, "both", value);
        let found = Decoder::new(&[]).decode(text.as_bytes(), true);
        let leaf = found.certificates.first().expect("a leaf").clone();
        assert_eq!(found.keys.len(), 1, "{defect:?}");
        (leaf.called().to_owned(), found.keys[0] == Some(leaf.key))
    };
    assert_eq!(pairs(Defect::Expired, "all.pem"), ("web".into(), true));
    assert_eq!(pairs(Defect::WrongName, "all.pem"), ("nobody.invalid".into(), true));
    assert_eq!(pairs(Defect::TornPair, "all.pem"), ("web".into(), false));
}

#[test]
fn what_cannot_be_put_back_or_minted_is_left_alone_with_the_reason() {
    let [mut pair, _, mut trust, mut webhook] = shop();
    pair["immutable"] = true.into();
    trust["metadata"]["name"] = "kube-root-ca.crt".into();
    webhook["webhooks"][0]["clientConfig"]["service"]["namespace"] = "bank".into();
    let plan = planned(&[pair, trust, webhook], Defect::Expired);
    assert_eq!(plan.changes, []);
    assert_eq!(
        plan.left,
        ["secret/shop/pair: it is immutable", "configmap/shop/kube-root-ca.crt: the cluster itself keeps it"]
    );

    let authority = Authority::new("mesh").expect("an authority");
    let mut identity = Identity::service("web");
    identity.dns_names.push("spiffe://shop/web".into());
    let odd = authority.issue(&identity, Validity::lasting(Duration::from_hours(9))).expect("a leaf");
    let data =
        json!({"tls.crt": STANDARD.encode(odd.chain_pem()), "tls.key": STANDARD.encode(odd.key_pem())});
    let plan = planned(&[object("Secret", "odd", &json!({"data": data}))], Defect::Expired);
    assert_eq!(plan.changes, []);
    assert!(plan.left[0].contains("spiffe://shop/web"), "{:?}", plan.left);
}

#[test]
fn nothing_but_bundles_is_no_place_for_a_leaf_that_expires() {
    let [_, _, trust, webhook] = shop();
    assert_eq!(planned(&[trust, webhook], Defect::Expired).changes, []);
}

#[test]
fn fields_are_found_by_their_names_as_server_side_apply_merges_them() {
    let object = json!({"data": {"a": "1", "b": "2"}, "webhooks": [
        {"name": "x", "clientConfig": {"caBundle": "X", "url": "u"}}, {"name": "y", "clientConfig": {}},
    ]});
    let shape = json!({"data": {"b": "new", "c": "new"}, "webhooks": [
        {"name": "y", "clientConfig": {"caBundle": "new"}}, {"name": "x", "clientConfig": {"caBundle": "new"}},
    ]});
    let expected = json!({"data": {"b": "2"}, "webhooks": [
        {"name": "y", "clientConfig": {}}, {"name": "x", "clientConfig": {"caBundle": "X"}},
    ]});
    assert_eq!(fields(&object, &shape), expected);
}

#[test]
fn what_is_kept_is_private_and_gone_when_all_of_it_is_undone() {
    let runs = tempfile::tempdir().expect("a folder");
    let folder = RunFolder::create(runs.path(), "break", 0).expect("a run");
    let place = Place { kubeconfig: "config".into(), context: "here".into(), namespace: "shop".into() };
    let changes = planned(&shop(), Defect::Expired).changes;
    Undo::keep(&folder, place.clone(), changes.clone()).expect("it is kept");
    let path = folder.path().join("objects.jsonl");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);

    // A power cut in mid-line.
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("a file");
    file.write_all(br#"{"entry":"undo"#).expect("it is written");
    let mut undo = Undo::open(&folder).expect("it reads").expect("something to undo");
    assert_eq!(undo.place(), &place);
    let left: Vec<_> = undo.left().into_iter().map(|(_, change)| change).collect();
    assert_eq!(left, changes.iter().rev().cloned().collect::<Vec<_>>());
    let last = undo.left()[0].0;
    undo.undone(last).expect("it is written");
    drop(undo);
    for left in (0..last).rev() {
        let mut undo = Undo::open(&folder).expect("it reads").expect("something to undo");
        assert_eq!(undo.left().len(), left + 1);
        undo.undone(left).expect("it is written");
    }
    assert!(!is_left(&folder) && Undo::open(&folder).expect("nothing").is_none());
}
