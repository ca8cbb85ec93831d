//! What a user reads of the runs of the past: on a state folder of her own, with real runs.

mod common;

use std::{fs, process::Stdio, time::Duration};

use common::{User, wait};
use serde_json::Value;

/// The smallest scenario.
const SMALL: &str = "stack/one-leaf";
/// A run that is not so far by then never is.
const PATIENCE: Duration = Duration::from_mins(1);

/// A text without what differs from run to run: times, counts, ids, and how wide they make a table.
fn steady(text: &str) -> String {
    // On which commit this is, and whether there is one, is no matter here.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("commit"));
    lines.map(|line| joined(&line.split(' ').map(steady_word).collect::<Vec<_>>())).collect()
}

fn steady_word(word: &str) -> String {
    let hex = |part: &str| part.len() >= 7 && part.chars().all(|c| c.is_ascii_hexdigit());
    if word.chars().all(|c| ('▁'..='█').contains(&c)) && !word.is_empty() {
        return "~".into();
    }
    if word == "-" {
        return "#".into();
    }
    if word.trim_matches('-').is_empty() && word.len() > 3 {
        return "---".into();
    }
    let mut parts: Vec<String> = Vec::new();
    for part in word.split('-') {
        let bare = part.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let number = bare.starts_with(|c: char| c.is_ascii_digit())
            && bare.chars().all(|c| c.is_ascii_digit() || ".,:T Z".contains(c));
        parts.push(if hex(bare) {
            part.replace(bare, "ID")
        } else if number {
            part.replace(bare, "#")
        } else {
            part.to_owned()
        });
    }
    parts.join("-")
}

/// The words of a line; a number and its unit are one, and so is a number with its sign.
fn joined(words: &[String]) -> String {
    let mut line = String::new();
    for word in words.iter().filter(|word| !word.is_empty()) {
        let bare = word.trim_end_matches([',', ';', '.', ')']);
        if ["us", "ms", "s", "min"].contains(&bare) && line.ends_with('#') {
            line.push_str(&word[bare.len()..]);
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word.trim_start_matches(|c: char| "+-".contains(c) && word.contains('#')));
    }
    line + "\n"
}

fn shown(user: &User, args: &[&str]) -> String {
    format!("$ notafter {}\n{}\n", args.join(" "), user.run(args).all())
}

#[test]
fn without_a_run_everything_says_so_and_how_to_make_one() {
    let user = User::new();
    let said = [
        &["history"][..],
        &["history", "stack"],
        &["history", "show", "last"],
        &["history", "compare", "a", "b"],
        &["history", "--as", "html", "--json"],
        &["report", "last", "--as", "json"],
    ]
    .map(|args| shown(&user, args));
    insta::assert_snapshot!(said.join("\n"));
    assert!(user.run(&["history", "--as", "html"]).out.contains("No run is remembered yet."));
    let runbook = user.run(&["runbook", SMALL]);
    assert!(runbook.out.contains("It was not run on processes yet"), "{}", runbook.all());
    assert!(!user.state().join("past.db").exists(), "looking made a database");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let user = User::new();
    let foreign = user.file("notes.txt", "these are my notes, and no database at all");
    let said = [
        &["history", "--db", &foreign][..],
        &["history", "show", "last", "--db", &foreign],
        &["nightly", SMALL, "--db", &foreign],
        &["nightly", "stack/one-laef"],
        &["nightly", SMALL, "--repeats", "0"],
        &["nightly", SMALL, "--on", "cloud"],
        &["nightly", SMALL, "--limit", "soon"],
        &["history", "[a"],
        &["history", "show"],
        &["report"],
        &["report", "last", "--as", "pdf"],
        &["report", "last", "--schema"],
        &["runbook", "stack"],
        &["runbook", "one-laef"],
    ]
    .map(|args| {
        let said = user.run(args).all().replace(&foreign, "[state]/notes.txt");
        format!("$ notafter {}\n{said}\n", args.join(" ").replace(&foreign, "[state]/notes.txt"))
    });
    insta::assert_snapshot!(said.join("\n").replace(user.state().to_str().expect("UTF-8"), "[state]"));
    let notes = fs::read_to_string(&foreign).expect("the file");
    assert_eq!(notes, "these are my notes, and no database at all");
    assert!(common::runs(&user.state().join("runs")).is_empty(), "something was run");
}

#[test]
fn a_night_is_remembered_shown_and_compared() {
    let user = User::new();
    let junit = user.state().join("night.xml").display().to_string();
    let night = user.run(&["nightly", SMALL, "--repeats", "2", "--junit", &junit]);
    assert_eq!(night.code, Some(0), "{}", night.all());
    assert!(fs::read_to_string(&junit).expect("a file").contains("stack/one-leaf on processes"));
    let runs = user.run(&["history", "--json"]);
    let runs: Vec<Value> =
        runs.out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(runs.len(), 2);
    assert_eq!([&runs[0]["result"]["seed"], &runs[1]["result"]["seed"]], [0, 1]);
    let end =
        |run: &Value| run["run"].as_str().and_then(|id| id.rsplit('-').next()).expect("an id").to_owned();
    let (a, b) = (end(&runs[0]), end(&runs[1]));
    let last = user.run(&["history", "show", "last"]).out;
    let (facts, rest) = last.split_once("\nChecks").expect("checks");
    // How a table wraps depends on its numbers.
    let (checks, measured) = rest.split_once("\nMeasurements").expect("measurements");
    assert!(["steady", "landed", "recovers-within"].iter().all(|name| checks.contains(name)), "{checks}");
    // A recovery within the resolution is no duration that could have a trend.
    let list = |args: &[&str]| {
        let said = user.run(args).out;
        let (runs, trends) = said.split_once("\nTrends").expect("trends");
        assert!(trends.contains("stack/one-leaf"), "{trends}");
        steady(runs)
    };
    let said = [
        steady(&night.out),
        list(&["history"]),
        list(&["history", "stack", "--last", "1"]),
        steady(facts) + &steady(measured),
        steady(&user.run(&["history", "compare", &a, &b]).out),
        user.run(&["history", "other/*"]).all(),
        user.run(&["history", "show", "none"]).all(),
    ];
    insta::assert_snapshot!(said.join("\n\n"));
    let compared = user.run(&["history", "compare", &a, "last", "--json"]);
    let compared: Value = serde_json::from_str(&compared.out).expect("an object");
    assert_eq!((&compared["a"]["run"], &compared["b"]["run"]), (&runs[0]["run"], &runs[1]["run"]));
    let page = user.run(&["history", "--as", "html"]);
    let folder = user.state().join("runs");
    assert_eq!(page.out.matches("<a href=\"file://[state]/runs/stack-one-leaf-").count(), 2, "{}", page.out);
    assert!(night.err.contains("summary: [state]/runs/night-1.md"), "{}", night.err);
    let summary = fs::read_to_string(folder.join("night-1.md")).expect("a summary");
    assert!(summary.starts_with("## PASSED: night 1, 2 runs of 1 scenario"), "{summary}");
    let kept = fs::read_to_string(folder.join("history.html")).expect("a page");
    assert_eq!(kept.replace(user.state().to_str().expect("UTF-8"), "[state]"), page.out);
    let runbook = user.run(&["runbook", SMALL]);
    let (id, out) = (runs[1]["run"].as_str().expect("an id"), &runbook.out);
    assert!(out.contains(&format!("the last run, `{id}`")) && out.contains("It took"), "{out}");
}

#[test]
fn a_night_without_time_is_unknown_and_says_what_it_left_out() {
    let user = User::new();
    let said = user.run(&["nightly", SMALL, "--repeats", "3", "--limit", "0s"]);
    assert_eq!(said.code, Some(2), "{}", said.all());
    assert!(said.out.contains("stack/one-leaf on processes: 3 of 3"), "{}", said.out);
    let json = user.run(&["nightly", SMALL, "--limit", "0s", "--json"]);
    let night: Value = serde_json::from_str(&json.out).expect("one object");
    assert_eq!((&night["verdict"], &night["night"]), (&"unknown".into(), &2.into()));
}

#[test]
fn a_run_is_told_in_every_form_from_its_evidence() {
    let user = User::new();
    let ran = user.run(&["run", SMALL, "--seed", "3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    for (form, begins) in [
        ("text", "PASSED"),
        ("html", "<!doctype html>"),
        ("md", "## PASSED, as expected: stack/one-leaf on processes, seed 3"),
        ("json", "{\"schema\":\"notafter/run/1\","),
        ("junit", "<?xml"),
        ("openmetrics", "# "),
    ] {
        let said = user.run(&["report", "last", "--as", form]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{form}");
        assert!(said.out.starts_with(begins), "{form}: {}", said.out);
    }
    assert_eq!(user.run(&["report", "--schema"]).out, notafter::report::schema());
}

#[test]
fn a_run_on_a_system_from_a_file_is_judged_again_on_that_system_or_not_at_all() {
    let user = User::new();
    let shown = user.run(&["show", "stack"]).out;
    let file = user.file("mine.toml", &shown);
    let ran = user.run(&["run", SMALL, "--system", &file]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let again = user.run(&["report", "last", "--rejudge", "--json"]);
    assert_eq!(again.code, Some(0), "{}", again.all());
    let folder = common::runs(&user.state().join("runs")).pop().expect("a run");
    let system = fs::read_to_string(folder.join("system.toml")).expect("the system");
    assert!(system.contains("name = \"gateway\""), "the pair of the scenario, and not the file's: {system}");
    fs::remove_file(folder.join("system.toml")).expect("it is there");
    let refused = user.run(&["report", "last", "--rejudge", "--json"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(64), ""));
    assert!(
        refused.err.contains("its evidence does not hold it") && refused.err.contains("hint: make it again")
    );
}

#[test]
fn two_writers_at_once_lose_nothing_and_a_killed_one_only_its_own_run() {
    let user = User::new();
    let begin = |seed: &str| {
        let mut command = user.command(&["run", SMALL, "--seed", seed]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the executable starts")
    };
    let mut both = [begin("1"), begin("2")];
    for child in &mut both {
        assert!(child.wait().expect("a child").success());
    }
    let mut killed = begin("3");
    wait(PATIENCE, "a third run", || (common::runs(&user.state().join("runs")).len() == 3).then_some(()));
    killed.kill().expect("it runs");
    killed.wait().expect("a child");
    assert!(begin("4").wait().expect("a child").success());
    let said = user.run(&["history", "--json"]);
    let seeds = said.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let mut seeds: Vec<_> = seeds.map(|run| run["result"]["seed"].as_u64()).collect();
    seeds.sort_unstable();
    assert_eq!((seeds, said.code), (vec![Some(1), Some(2), Some(4)], Some(0)));
}
