//! What a user reads: help, lists, errors, exit codes.

mod common;

use std::fs;

use common::User;
use notafter::system::System;
use serde_json::json;

#[test]
fn the_help_names_every_command_and_every_exit_code() {
    insta::assert_snapshot!(User::new().run(&["--help"]).all());
}

#[test]
fn the_help_of_run_says_what_every_option_takes() {
    insta::assert_snapshot!(User::new().run(&["run", "--help"]).all());
}

#[test]
fn a_list_says_what_each_scenario_must_give_and_where_it_runs() {
    insta::assert_snapshot!(User::new().run(&["list"]).all());
}

#[test]
fn the_help_of_profile_says_what_is_tried_and_what_is_left_alone() {
    insta::assert_snapshot!(User::new().run(&["profile", "--help"]).all());
}

#[test]
fn profiles_are_told_apart_by_their_answers_and_by_nothing_else() {
    let user = User::new();
    let profile = |version: &str, answer: &str, seen: &str| {
        let cell = |question: &str, answer: &str| json!({"question": question, "answer": answer, "evidence": [seen]});
        let cells = [
            cell("serves a new certificate on SIGHUP", answer),
            cell("client certificate: none", "accepted"),
        ];
        user.file(
            &format!("{version}.json"),
            &json!({"server": "nginx", "version": version, "cells": cells}).to_string(),
        )
    };
    let (old, new) = (profile("1.22", "yes", "after 20 ms"), profile("1.28", "yes", "after 90 ms"));
    let (other, broken) = (profile("2.0", "no", "the old one for 6 s"), user.file("broken.json", "{}"));
    let said = [
        &["--compare", &old, &new][..],
        &["--compare", &old, &other],
        &["--compare", &old, &broken],
        &["--compare", &old],
        &["ngins"],
        &["apache"],
        &[],
    ]
    .map(|args| {
        let said = user.run(&[&["profile"], args].concat());
        format!("$ notafter profile {}\n{}", args.join(" "), said.all())
    });
    insta::assert_snapshot!(said.join("\n\n").replace(user.state().to_str().expect("UTF-8"), "[state]"));
}

#[test]
fn a_misspelt_name_gets_the_nearest_match() {
    let user = User::new();
    let said = [
        &["run", "aware-2202"][..],
        &["run", "aware-2022/as-it-wsa"],
        &["run", "mitigatd"],
        &["run", "nothing-like-it"],
        &["run", "aware-2022/[a"],
        &["show", "stak"],
        &["ablate", "stack"],
        &["reproduce", "aware-2022"],
        &["reproduce", "aware-2022/mitigated", "--until", "repai"],
        &["run", "aware-2022", "--on", "container"],
        &["report", "yesterday"],
        &["rum", "aware-2022"],
    ]
    .map(|args| format!("$ notafter {}\n{}", args.join(" "), user.run(args).all()));
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn a_bad_value_says_what_a_good_one_looks_like() {
    let user = User::new();
    let said = ["--scale=5", "--scale=1m=soon", "--scale=1m=0s", "--seed=-1", "--seed=abc"]
        .map(|bad| format!("$ {bad}\n{}", user.run(&["run", "aware-2022", bad]).all()));
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn orders_that_make_no_sense_are_refused_before_anything_starts() {
    let user = User::new();
    let mut cycle = stack::system();
    cycle.services[2].needs.insert("search".into(), "workload".into());
    let cycle = user.file("cycle.toml", &cycle.to_toml());
    let said = [
        &["stak"][..],
        &["stack", "--strength", "5"],
        &["stack", "--strength", "all"],
        &["stack", "--first", "manager,archive,auth,source,ingest,processor,search"],
        &["stack", "--first", "managr"],
        &["stack", "--together", "auth+auth"],
        &["stack", "--limit", "5"],
        &["stack", "--replay", "first"],
        &["stack", "--replay", "7f3a:99"],
        &[&cycle],
    ]
    .map(|args| format!("$ {}\n{}", args.join(" "), user.run(&[&["orders"], args].concat()).all()));
    insta::assert_snapshot!(said.join("\n\n").replace(user.state().to_str().expect("UTF-8"), "[state]"));
    assert!(common::runs(&user.state().join("runs")).is_empty(), "something was started");
}

#[test]
fn the_plans_of_a_system_can_be_read_before_anything_starts() {
    let said = User::new().run(&["orders", "stack", "--seed", "32570", "--plans"]);
    insta::assert_snapshot!(said.all());
}

#[test]
fn one_order_says_the_same_to_people_to_machines_and_to_its_folder() {
    let user = User::new();
    let junit = user.state().join("junit.xml").display().to_string();
    let args = ["orders", "stack", "--start", "needs-first", "--replay", "0:1", "--json", "--junit", &junit];
    let said = user.run(&args);
    assert_eq!(said.code, Some(0), "{}", said.all());
    let object: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
    assert_eq!((&object["verdict"], &object["precedences"]), (&json!("passed"), &json!([])));
    assert_eq!(object["plans"][0]["order"][0], json!(["manager"]));
    let junit = std::fs::read_to_string(junit).expect("a file");
    assert!(
        junit.contains("tests=\"1\" skipped=\"0\" failures=\"0\"")
            && junit.contains("0:1 in turn: manager, source"),
        "{junit}"
    );
    let runs = common::runs(&user.state().join("runs"));
    let kept = std::fs::read_to_string(runs[0].join("orders.json")).expect("a file");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("one object");
    assert_eq!(kept["plans"], object["plans"]);
    assert!(!runs[0].join("services").exists(), "credentials are left");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let user = User::new();
    let file = user.file("a-file", "");
    let out = user.run(&["run", "aware-2022/mitigated", "--out", &file]);
    assert_eq!(out.code, Some(64), "{}", out.err);
    assert!(
        out.err.contains("[state]/a-file") && out.err.contains("hint: choose another place"),
        "{}",
        out.err
    );
    let junit = user.run(&["run", "aware-2022/mitigated", "--junit", "/nowhere/junit.xml"]);
    assert_eq!(junit.code, Some(64), "{}", junit.err);
    assert!(junit.err.contains("/nowhere/junit.xml"), "{}", junit.err);
    assert!(common::runs(&user.state().join("runs")).is_empty(), "something was run");
}

#[test]
fn a_system_that_does_not_read_points_at_the_line() {
    let user = User::new();
    let good = stack::system().to_toml();
    let said = [
        good.replacen("serves = \"node\"", "servs = \"node\"", 1),
        good.replacen("first = \"50ms\"", "first = \"fifty\"", 1),
        good.replacen("program = \"archive\"", "program = \"archives\"", 1),
        good.replacen("serves = \"node\"", "serves = \"gnome\"", 1),
    ]
    .map(|bad| {
        assert_ne!(bad, good, "the system has changed, and with it what can be wrong");
        let file = user.file("system.toml", &bad);
        user.run(&["run", "aware-2022/mitigated", "--system", &file]).all()
    });
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn a_system_that_is_shown_reads_back_as_the_same() {
    let user = User::new();
    let toml = user.run(&["show", "stack", "--as", "toml"]);
    assert_eq!(System::from_toml(&toml.out, "what was shown").expect("a system"), stack::system());
    let json = user.run(&["show", "stack", "--as", "json"]);
    assert_eq!(serde_json::from_str::<System>(&json.out).expect("a system"), stack::system());
    assert_eq!((toml.code, json.code), (Some(0), Some(0)));
}

#[test]
fn an_edited_system_is_the_one_that_runs() {
    let user = User::new();
    let mut system = stack::system();
    system.services.retain(|service| service.name != "spotlight");
    for service in &mut system.services {
        service.needs.remove("spotlight");
    }
    let file = user.file("system.toml", &system.to_toml());
    let said = user.run(&["reproduce", "aware-2022/mitigated", "--until", "start", "--system", &file]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("\nsearch\n") && !said.out.contains("\nspotlight\n"), "{}", said.out);
}

#[test]
fn whoever_reads_the_first_line_only_breaks_nothing() {
    let user = User::new();
    for args in [&["list"][..], &["show", "stack"], &["--help"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        // Nobody reads at all, so that every write fails.
        drop(reader);
        let output = user.command(args).stdout(writer).output().expect("the executable starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*err), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn completions_know_the_commands_and_the_runtimes() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = user.run(&["completions", shell]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains("reproduce") && said.out.contains("containers"), "{shell}: {}", said.out);
    }
    assert_eq!(user.run(&["completions", "cmd"]).code, Some(64));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_insist_but_never_with_no_color() {
    let user = User::new();
    let coloured = |variables: &[(&str, &str)]| {
        let mut command = user.command(&["list"]);
        let output = command.envs(variables.iter().copied()).output().expect("the executable starts");
        output.stdout.contains(&0x1b)
    };
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "0")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    // An empty NO_COLOR is none (no-color.org).
    assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]));
}

#[test]
fn the_doctor_tells_what_works_and_what_is_missing() {
    let user = User::new();
    let said = user.run(&["doctor"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in
        ["processes   works", "containers  missing:", "cores", "memory", "[state]/runs can be written"]
    {
        assert!(said.out.contains(part), "no {part:?} in\n{}", said.out);
    }
}

#[test]
fn a_runtime_that_is_missing_is_an_exit_code_of_its_own() {
    let user = User::new();
    let said = user.run(&["run", "aware-2022/mitigated", "--on", "containers"]);
    assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "{}", said.err);
    assert!(common::runs(&user.state().join("runs")).is_empty(), "something was run");
}

/// Where a minute is short, an alert comes before half of a life is over: nothing is wrong yet with what it
/// is about, but for being told of.
#[test]
fn who_is_told_of_an_end_looks_at_that_certificate_however_early() {
    let user = User::new();
    let said = user.run(&["run", "aware-2022/with-alerts", "--scale", "1m=5ms", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let at = |milestone: &str| json["milestones"][milestone].as_f64();
    let [found, expired] = ["cause_found_ms", "expired_ms"].map(at);
    assert!(found.is_some_and(|found| expired.is_none_or(|end| found < end)), "{}{}", said.out, said.err);
}

/// One run, and everything that is said of it.
#[test]
fn a_run_says_the_same_to_people_to_machines_and_to_its_folder() {
    let user = User::new();
    let junit = user.state().join("junit.xml");
    let said = user.run(&[
        "run",
        "aware-2022/mitigated",
        "--seed",
        "7",
        "--scale",
        "1m=5ms",
        "--json",
        "--junit",
        junit.to_str().expect("UTF-8"),
    ]);
    let first = said.err.lines().next().expect("a first line");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(first, format!("notafter {version}: aware-2022/mitigated on processes, seed 7"));
    let again = "notafter run aware-2022/mitigated --on processes --seed 7 --scale 1m=5ms";
    assert!(said.err.contains(again), "{}", said.err);
    for phase in notafter::runner::WAY {
        assert!(
            said.err.lines().any(|line| line.ends_with(&format!("  {phase}"))),
            "no {phase}: {}",
            said.err
        );
    }

    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    // On a busy machine users may notice something; what counts here is that nobody says otherwise.
    let code = match (json["expected"].as_bool(), json["verdict"].as_str()) {
        (Some(true), _) => 0,
        (_, Some("unknown")) => 2,
        _ => 1,
    };
    assert_eq!(said.code, Some(code), "{}{}", said.out, said.err);
    assert_eq!(json["seed"], 7);
    assert_eq!(json["rerun"], again);

    let folder = common::runs(&user.state().join("runs")).pop().expect("a run");
    let result = fs::read_to_string(folder.join("result.json")).expect("result.json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&result).expect("JSON")["checks"], json["checks"]);
    let report = user.run(&["report", "last"]);
    let kept = fs::read_to_string(folder.join("report.txt")).expect("report.txt");
    assert_eq!(report.out, kept.replace(env!("CARGO_BIN_EXE_notafter"), "notafter"));
    assert_eq!((report.code, report.err.as_str()), (Some(0), ""));
    assert!(fs::read_to_string(&junit).expect("junit.xml").contains("aware-2022/mitigated"));
    let again = user.run(&["report", "last", "--rejudge", "--as", "json"]);
    let again: serde_json::Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!((&again["checks"], &again["rejudged_by"]), (&json["checks"], &json!(version)));
    assert!(!folder.join("services").exists(), "keys are left in {}", folder.display());
}
