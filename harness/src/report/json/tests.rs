//! The schema is what the object really is. Validators bring regular expressions, hash maps and switched
//! features of `serde_json` with them, so the few words that this schema uses are understood here.

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    check::{Expect, Summary, rejudged},
    report::tests::{as_it_was, cut_short, mitigated},
};

/// Everything in which `value` is not what `schema` says, by its path. A field that the schema does not
/// know is one, too, though the schema allows it.
fn unlike(schema: &Value, root: &Value, value: &Value, path: &str) -> Vec<String> {
    let known = ["$schema", "$ref", "$defs", "anyOf", "title", "description", "format", "minimum"];
    let known = known.iter().chain(&["type", "const", "enum", "properties", "required", "items"]);
    let object = schema.as_object().expect("a schema is an object");
    let stranger = object.keys().find(|word| !known.clone().any(|known| known == word));
    assert_eq!(stranger, None, "{path}: nobody here understands this word");
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
        return unlike(target, root, value, path);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|one| unlike(one, root, value, path).is_empty());
        return if fits { vec![] } else { vec![format!("{path}: none of {}", schema["anyOf"])] };
    }
    let mut unlike_it = Vec::new();
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    if types != [Value::Null] && !types.iter().any(|one| is_of(value, one.as_str().unwrap_or_default())) {
        unlike_it.push(format!("{path}: {value} is not of type {}", schema["type"]));
    }
    if object.get("const").is_some_and(|only| only != value) {
        unlike_it.push(format!("{path}: {value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|some| !some.contains(value)) {
        unlike_it.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    if let Some(fields) = value.as_object() {
        unlike_it.extend(unlike_fields(schema, root, fields, path));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        unlike_it.extend(unlike(&schema["items"], root, item, &format!("{path}/{index}")));
    }
    unlike_it
}

fn unlike_fields(schema: &Value, root: &Value, fields: &Map<String, Value>, path: &str) -> Vec<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !fields.contains_key(*name));
    let mut unlike_it: Vec<_> = missing.map(|name| format!("{path}/{name}: is missing")).collect();
    for (name, value) in fields {
        let path = format!("{path}/{name}");
        match schema["properties"].get(name) {
            Some(field) => unlike_it.extend(unlike(field, root, value, &path)),
            None => unlike_it.push(format!("{path}: is not in the schema")),
        }
    }
    unlike_it
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn the_schema_is_what_it_was() {
    insta::assert_snapshot!(schema());
}

#[test]
fn the_object_of_every_run_is_what_the_schema_says() {
    let schema = parsed(&schema());
    let again = rejudged(&as_it_was(), &[], &Expect::Pass, "9.9.9");
    for history in [as_it_was(), mitigated(), cut_short(), again, History::default()] {
        let object = parsed(&json(&history));
        assert_eq!(unlike(&schema, &schema, &object, ""), Vec::<String>::new(), "{object}");
    }
}

/// The control: an object that is wrong in every way that the schema knows.
#[test]
fn an_object_that_is_something_else_is_found_out() {
    let schema = parsed(&schema());
    let mut object = parsed(&json(&as_it_was()));
    object["schema"] = json!("notafter/run/0");
    object["verdict"] = json!("perhaps");
    object["seed"] = json!("7");
    object["milestones"]["more"] = json!(1);
    object["checks"][1] = json!({"name": 1, "verdict": "failed"});
    let found: Vec<_> = unlike(&schema, &schema, &object, "")
        .into_iter()
        .map(|what| what.split(':').next().unwrap_or_default().to_owned())
        .collect();
    let wrong = ["/checks/1/evidence", "/checks/1/name", "/milestones/more", "/schema", "/seed", "/verdict"];
    assert_eq!(found, wrong);
}

#[test]
fn the_words_of_a_verdict_are_those_that_reports_use() {
    let schema = parsed(&schema());
    let words = &schema["$defs"]["Word"]["enum"];
    let said = [Summary::Passed, Summary::Failed, Summary::Unknown].map(Summary::word);
    assert_eq!(*words, json!(said));
}
