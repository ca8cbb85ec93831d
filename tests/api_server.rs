//! `notafter inventory --kubeconfig` against a real API server: what it keeps, what it presents, and that
//! nothing is written to it.

mod common;
#[allow(dead_code, reason = "not every test needs all of it")]
mod control_plane;

use std::{process::ExitCode, time::Duration};

use common::{Said, User};
use control_plane::{
    ControlPlane, block_on,
    company::{company, credential, secret},
    trial,
};
use libtest_mimic::{Arguments, Trial};
use notafter::pki::Authority;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("what_a_cluster_keeps_and_presents_is_found_and_nothing_is_written", || {
            block_on(what_a_cluster_keeps_and_presents_is_found_and_nothing_is_written());
        }),
        trial("more_objects_than_a_page_has_are_all_found", || {
            block_on(more_objects_than_a_page_has_are_all_found());
        }),
        trial("what_may_not_be_listed_is_a_finding_and_stops_nothing", || {
            block_on(what_may_not_be_listed_is_a_finding_and_stops_nothing());
        }),
        Trial::test("a_cluster_that_cannot_be_asked_says_why_and_what_to_do", || {
            a_cluster_that_cannot_be_asked_says_why_and_what_to_do();
            Ok(())
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What was found, as JSON.
fn found(user: &User, args: &[&str]) -> (Said, Value) {
    let said = user.run(&[&["inventory", "--as", "json"], args].concat());
    let found = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.all()));
    (said, found)
}

/// Every place of a certificate.
fn places(found: &Value) -> Vec<String> {
    let certificates = found["certificates"].as_array().expect("certificates").iter();
    let places = certificates.flat_map(|one| one["places"].as_array().expect("places"));
    let mut places: Vec<_> = places.map(|place| place["at"].as_str().expect("a place").to_owned()).collect();
    places.sort_unstable();
    places.dedup();
    places
}

async fn what_a_cluster_keeps_and_presents_is_found_and_nothing_is_written() {
    let (plane, user) = (company().await, User::new());
    let kubeconfig = plane.kubeconfig("reader");
    let (said, all) = found(&user, &["--kubeconfig", &kubeconfig]);
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "one of them ends within the hour");
    let expected = [
        plane.address.as_str(),
        "configmap/shop/trust#ca.crt",
        "secret/bank/web-tls#tls.crt",
        "secret/shop/web-tls#tls.crt",
        "validatingwebhookconfiguration/policy#policy.shop.example",
    ];
    let seen = places(&all);
    let expected: Vec<_> =
        expected.into_iter().filter(|place| !place.contains("extension-apiserver")).collect();
    assert_eq!(seen, expected);
    let entry = |name: &str| {
        let certificates = all["certificates"].as_array().expect("certificates");
        certificates
            .iter()
            .find(|one| one["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {all}"))
            .clone()
    };
    assert_eq!(entry("web-of-shop")["level"], "page");
    assert_eq!(entry("kube-apiserver")["on_wire"], json!(plane.serving.leaf().serial));

    let (_, shop) = found(&user, &["--kubeconfig", &kubeconfig, "--context", "here", "--namespace", "shop"]);
    let only: Vec<_> =
        expected.iter().filter(|at| at.contains("/shop/") || !at.contains('/')).copied().collect();
    assert_eq!(places(&shop), only);

    let table = user.run(&["inventory", "--kubeconfig", &kubeconfig]).out;
    assert!(table.contains("secret/shop/web-tls"), "{table}");
    let asked = plane.asked("reader");
    assert!(asked.len() >= 7 + 2, "{asked:?}");
    assert!(asked.iter().all(|one| one.starts_with("list ")), "it did more than to list: {asked:?}");
}

async fn more_objects_than_a_page_has_are_all_found() {
    let (plane, user) = (ControlPlane::start().await, User::new());
    let mesh = Authority::new("mesh").expect("an authority");
    let credential = credential(&mesh, "web", Duration::from_hours(1_000));
    for number in 0..501 {
        plane
            .create("/api/v1/namespaces/default/secrets", &secret(&format!("web-{number}"), &credential))
            .await;
    }
    let (said, all) = found(&user, &["--kubeconfig", &plane.kubeconfig("reader"), "--namespace", "default"]);
    let secrets = places(&all).into_iter().filter(|at| at.starts_with("secret/default/web-")).count();
    assert_eq!(secrets, 501, "{}", said.err);
}

async fn what_may_not_be_listed_is_a_finding_and_stops_nothing() {
    let (plane, user) = (ControlPlane::start().await, User::new());
    let (_, all) = found(&user, &["--kubeconfig", &plane.kubeconfig("nobody")]);
    assert_eq!(places(&all), [plane.address.as_str()], "what it presents needs no permission");
    let findings = all["findings"].as_array().expect("findings");
    let said = |kind: &str| {
        findings.iter().any(|finding| {
            let what = finding["what"].as_str().unwrap_or_default();
            finding["places"] == json!([kind])
                && what.starts_with("cannot be listed: ")
                && what.contains("forbidden")
        })
    };
    for kind in ["secrets", "configmaps", "apiservices", "certificatesigningrequests"] {
        assert!(said(kind), "nothing is said of {kind}: {findings:#?}");
    }
}

fn a_cluster_that_cannot_be_asked_says_why_and_what_to_do() {
    let user = User::new();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "dead",
        "clusters": [{"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "anna", "user": {"token": "t"}}],
        "contexts": [{"name": "dead", "context": {"cluster": "dead", "user": "anna"}}],
    });
    let dead = user.file("dead.conf", &config.to_string());
    let broken = user.file("broken.conf", "kind: [");
    let cases: [&[&str]; 4] = [
        &["--kubeconfig", &dead],
        &["--kubeconfig", &dead, "--context", "live"],
        &["--kubeconfig", &broken],
        &["--namespace", "shop"],
    ];
    let said: Vec<_> = cases.iter().map(|args| user.run(&[&["inventory"], *args].concat()).all()).collect();
    insta::assert_snapshot!(said.join("\n\n"));
}
