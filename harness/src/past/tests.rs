//! What the database promises, on files of its own.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread,
};

use globset::Glob;
use tempfile::TempDir;

use super::*;

/// The variable that tells the writer that is killed its database.
const KILLED: &str = "NOTAFTER_TEST_KILLED_WRITER";

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state/past.db");
    (folder, path)
}

fn kept(id: &str, scenario: &str, night: Option<Night>) -> Kept {
    let json = format!(
        r#"{{"schema":"notafter/run/1","scenario":"{scenario}","seed":7,"verdict":"failed","expected":true,
        "checks":[{{"name":"outage-within","verdict":"failed","evidence":"5 s, none allowed"}}],
        "measurements":{{"time_to_detect_ms":-3.5,"outage_ms":1250.977,"time_to_recover_ms":0.0,
        "resolution_ms":2.0,"time_to_drain_ms":null,"records":{{"sent":10,"stored":10,"lost":0,
        "duplicated":0,"late":null}},"accepted_unauthenticated":0}}}}"#
    );
    Kept {
        id: id.into(),
        night,
        series: Series {
            scenario: scenario.into(),
            runtime: "processes".into(),
            minute_us: 50_000,
            profile: "release".into(),
            system: None,
        },
        began: 1_764_000_000_000_000 + id.len() as u64,
        version: "0.1.0".into(),
        commit: Some(Commit { hash: "0123abc".into(), dirty: true }),
        folder: "/evidence/of".into(),
        result: serde_json::from_str(&json).expect("a result"),
        json,
    }
}

#[test]
fn a_run_reads_back_as_it_was_recorded() {
    let (_folder, path) = folder();
    assert!(Past::read(&path).expect("no file is no error").is_none());
    let past = Past::open(&path).expect("a database");
    let run = kept("a-1", "family/a", None);
    past.record(&run).expect("recorded");
    let twice = past.record(&run).expect_err("there is one of this id");
    assert!(twice.to_string().contains("past.db"), "{twice}");
    assert_eq!(past.latest(None, None).expect("readable"), std::slice::from_ref(&run));
    let durations = run.result.measurements.durations().map(|taken| taken.map(|taken| taken.median));
    assert_eq!(durations, [Some(0), Some(1_250_977), None]);
    assert_eq!(run.result.failed(), Some(["outage-within".to_owned()].into()));
}

#[test]
fn the_latest_runs_come_last_and_a_glob_chooses_scenarios() {
    let (_folder, path) = folder();
    let past = Past::open(&path).expect("a database");
    for (id, scenario) in [("a", "family/a"), ("bb", "family/b"), ("ccc", "family/a"), ("dddd", "other/a")] {
        past.record(&kept(id, scenario, None)).expect("recorded");
    }
    let ids = |glob: Option<&str>, most| {
        let glob = glob.map(|glob| Glob::new(glob).expect("a glob").compile_matcher());
        let runs = past.latest(glob.as_ref(), most).expect("readable");
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(None, None), "a bb ccc dddd");
    assert_eq!(ids(None, Some(3)), "bb ccc dddd");
    assert_eq!(ids(Some("family/*"), Some(2)), "bb ccc");
    assert_eq!(ids(Some("nothing"), None), "");
}

#[test]
fn a_run_is_found_by_the_end_of_its_id_if_that_is_only_one() {
    let (_folder, path) = folder();
    let past = Past::open(&path).expect("a database");
    for id in ["family-a-0001", "family-a-1001", "1001"] {
        past.record(&kept(id, "family/a", None)).expect("recorded");
    }
    let found = |name: &str| past.find(name).map(|run| run.id);
    assert_eq!(found("0001").expect("one"), "family-a-0001");
    assert_eq!(found("1001").expect("the whole id goes first"), "1001");
    assert_eq!(found("last").expect("one"), "family-a-1001");
    for (name, says) in
        [("001", "choose one of `1001`, `family-a-0001` and `family-a-1001`"), ("%", "no run in")]
    {
        let error = past.find(name).expect_err("not one");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn nights_are_those_of_the_series_since_the_last_that_was_accepted() {
    let (_folder, path) = folder();
    let past = Past::open(&path).expect("a database");
    let nights: Vec<_> =
        [false, true, false, false].map(|accepted| past.begin_night(accepted).expect("a night")).into();
    for (number, night) in nights.iter().enumerate() {
        for repeat in 0..2 {
            past.record(&kept(&format!("a-{number}-{repeat}"), "family/a", Some(*night))).expect("recorded");
        }
        // The accepted night did not run this one.
        if number != 1 {
            past.record(&kept(&format!("b-{number}"), "family/b", Some(*night))).expect("recorded");
        }
    }
    past.record(&kept("by-hand", "family/a", None)).expect("recorded");
    let before = |scenario: &str, night| {
        let series = kept("", scenario, None).series;
        let (nights, accepted) = past.nights(&series, night).expect("readable");
        let sizes: Vec<_> = nights.iter().map(|night| (night[0].night, night.len())).collect();
        (sizes, accepted)
    };
    let [first, second, third, last] = nights[..] else { panic!("four nights") };
    assert_eq!(before("family/a", last), (vec![(Some(second), 2), (Some(third), 2)], true));
    assert_eq!(before("family/a", second), (vec![(Some(first), 2)], false));
    assert_eq!(before("family/b", last), (vec![(Some(first), 1), (Some(third), 1)], false));
    let elsewhere = Series { runtime: "containers".into(), ..kept("", "family/a", None).series };
    assert_eq!(past.nights(&elsewhere, last).expect("readable"), (vec![], false));
}

#[test]
fn two_writers_at_once_lose_nothing_not_even_when_both_make_the_database() {
    let (_folder, path) = folder();
    thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for run in 0..10 {
                    let past = Past::open(path).expect("a database");
                    let night = past.begin_night(false).expect("a night");
                    past.record(&kept(&format!("{writer}-{run}"), "family/a", Some(night)))
                        .expect("recorded");
                }
            });
        }
    });
    let past = Past::open(&path).expect("a database");
    let mut nights: Vec<_> =
        past.latest(None, None).expect("readable").into_iter().map(|run| run.night).collect();
    nights.sort_unstable();
    nights.dedup();
    assert_eq!(nights.len(), 40);
}

#[test]
fn a_writer_that_is_killed_in_the_middle_leaves_what_was_recorded_before() {
    let (_folder, path) = folder();
    let past = Past::open(&path).expect("a database");
    past.record(&kept("before", "family/a", None)).expect("recorded");
    drop(past);
    let mut writer = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "past::tests::the_writer_that_is_killed", "--ignored", "--nocapture"])
        .env(KILLED, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test starts");
    let said = BufReader::new(writer.stdout.take().expect("a pipe"));
    let there = said.lines().map_while(std::result::Result::ok).any(|line| line.contains("in the middle"));
    assert!(there, "the writer ended before it was killed");
    writer.kill().expect("SIGKILL");
    writer.wait().expect("it has ended");
    assert!(
        path.with_extension("db-wal").metadata().is_ok_and(|wal| wal.len() > 100_000),
        "nothing was written"
    );

    let past = Past::read(&path).expect("a database").expect("a file");
    let ids = |past: &Past| {
        past.latest(None, None).expect("readable").into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&past), ["before"]);
    past.record(&kept("afterwards", "family/a", None)).expect("nobody holds the lock any more");
    assert_eq!(ids(&past), ["before", "afterwards"]);
}

#[test]
#[ignore = "it waits to be killed by the test above"]
fn the_writer_that_is_killed() {
    let Some(path) = std::env::var_os(KILLED) else { return };
    let past = Past::open(Path::new(&path)).expect("a database");
    // With hardly any cache, pages of the transaction are in the file long before it is committed.
    past.connection.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE").expect("a transaction");
    for run in 0..500 {
        past.record(&kept(&format!("during-{run}"), "family/a", None)).expect("recorded");
    }
    println!("in the middle");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let (folder, path) = folder();
    drop(Past::open(&path).expect("a database"));
    let sqlite = |path: &Path, text: &str| {
        Connection::open(path).and_then(|connection| connection.execute_batch(text)).expect("SQLite");
    };
    sqlite(&path, "PRAGMA user_version = 99");
    let other = folder.path().join("other.db");
    sqlite(&other, "CREATE TABLE theirs (id INTEGER)");
    let text = folder.path().join("text.db");
    std::fs::write(&text, "no database, but long enough to be read as one\n".repeat(20)).expect("a file");
    let below = text.join("past.db");
    let said = [&path, &other, &text, &below].map(|path| {
        let before = std::fs::read(path).ok();
        let error = Past::open(path).expect_err("refused");
        assert_eq!(std::fs::read(path).ok(), before);
        format!("{:?}: {error}", error.kind())
    });
    let said = said.join("\n\n").replace(folder.path().to_str().expect("UTF-8"), "[folder]");
    insta::assert_snapshot!(said);
}
