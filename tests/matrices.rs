//! The two matrices as a user gets them, on real clusters: defects against checks, certificates against
//! operations.

mod common;

use std::fs;

use common::User;
use serde_json::{Value, json};

#[test]
fn a_defect_is_caught_by_the_check_that_is_named_for_it_and_by_no_other() {
    let user = User::new();
    let said = user.run(&["zoo", "control-of/key-of-another"]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    insta::assert_snapshot!("zoo", said.out);
}

/// While everything runs nobody asks where auth is; after its restart nobody can find it.
#[test]
fn a_node_certificate_that_has_ended_sleeps_until_its_holder_restarts() {
    let user = User::new();
    let said = user.run(&["blast", "stack", "--only", "auth", "--json"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    let node = &told["credentials"][0];
    assert_eq!((&node["service"], &node["mount"]), (&json!("auth"), &json!("node")), "the worst is first");
    let effects = node["operations"].as_array().expect("a list");
    let login = effects.iter().find(|pair| pair[0] == "login").expect("login");
    assert_eq!(login[1]["effect"], "sleeps", "{node}");
    assert_eq!((&node["heals"]["heals"], &node["fails_open"]), (&json!("repaired"), &json!(false)));
    assert_eq!(told["credentials"][1]["heals"]["heals"], "by-itself", "what auth renews itself");
}

/// The blast of a system with a defect that is switched on in its file.
#[test]
fn a_server_that_lets_in_anybody_is_open_whatever_certificate_ends() {
    let user = User::new();
    let mut system: toml::Table = user.run(&["show", "stack", "--as", "toml"]).out.parse().expect("TOML");
    let services = system["services"].as_array_mut().expect("a list");
    let archive = services.iter_mut().find(|one| one["name"].as_str() == Some("archive")).expect("archive");
    let settings: toml::Table = "settings.fails_open = true".parse().expect("TOML");
    archive.as_table_mut().expect("a table").extend(settings);
    let file = user.state().join("open.toml");
    fs::write(&file, system.to_string()).expect("written");
    let file = file.to_string_lossy();
    let said = user.run(&["blast", "stack", "--only", "archive", "--system", &file, "--json"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    let all = told["credentials"].as_array().expect("a list");
    assert!(!all.is_empty() && all.iter().all(|one| one["fails_open"] == json!(true)), "{told}");
}

#[test]
fn what_neither_matrix_has_is_refused_with_what_there_is() {
    let user = User::new();
    let asked = [
        &["blast", "stock"][..],
        &["blast", "stack", "--only", "ayth"],
        &["zoo", "stack/one-leaf"],
        &["zoo", "zoo"],
    ];
    let said: Vec<_> = asked
        .iter()
        .map(|args| format!("$ notafter {}\n{}\n", args.join(" "), user.run(args).all()))
        .collect();
    insta::assert_snapshot!("refused", said.join("\n"));
}
