//! The two matrices as a user gets them, on real clusters: defects against checks, certificates against
//! operations.

mod common;

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
