//! What the lists of the past say, on runs that were never made.

use super::*;
use crate::past::Commit;

fn kept(index: u64, scenario: &str, night: Option<i64>, recover_ms: f64, verdict: &str) -> Kept {
    let json = format!(
        r#"{{"schema":"notafter/run/1","scenario":"{scenario}","seed":7,"verdict":"{verdict}",
        "expected":{},"checks":[],"measurements":{{"time_to_detect_ms":null,"outage_ms":0.0,
        "time_to_recover_ms":{recover_ms},"resolution_ms":2.0,"time_to_drain_ms":null,
        "records":{{"sent":null,"stored":null,"lost":null,"duplicated":null,"late":null}},
        "accepted_unauthenticated":0}}}}"#,
        verdict == "passed"
    );
    Kept {
        id: format!("run-{index:08x}"),
        night,
        series: Series {
            scenario: scenario.into(),
            runtime: "processes".into(),
            minute_us: 50_000,
            profile: "release".into(),
            system: None,
        },
        began: 1_764_000_000_000_000 + index * 86_400_000_000,
        version: "0.1.0".into(),
        commit: Some(Commit { hash: "0123abc".into(), dirty: false }),
        folder: format!("/evidence/run-{index:08x}").into(),
        result: serde_json::from_str(&json).expect("a result"),
        json,
    }
}

/// A scenario with a long name in three nights, and another by hand on a system from a file.
fn some() -> Vec<Kept> {
    let long = "aware-2022/without-recovery-automation";
    let mut runs = vec![
        kept(0, long, Some(1), 812.0, "passed"),
        kept(1, long, Some(1), 840.5, "passed"),
        kept(2, long, Some(2), 830.0, "failed"),
        kept(3, long, Some(3), 1_240.0, "passed"),
        kept(4, "stack/<one>", None, 3.25, "unknown"),
    ];
    runs[4].series.system = Some("/home/somebody/with/a/long/path/mine.toml".into());
    runs
}

#[test]
fn a_long_name_is_broken_where_people_would_and_a_path_is_called_by_its_end() {
    let long = "aware-2022/without-recovery-automation";
    assert_eq!(broken(long, 40), long);
    assert_eq!(broken(long, 30), "aware-2022/\nwithout-recovery-automation");
    assert_eq!(broken(long, 14), "aware-2022/\nwithout-\nrecovery-\nautomation");
    for width in [80, 120] {
        let text = runs(&some(), Style { colour: false, width });
        assert!(
            text.contains("(mine.toml)") && text.contains("automation") && !text.contains("/home"),
            "{text}"
        );
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= width, "{width}: {text}");
    }
    insta::assert_snapshot!(runs(&some(), Style::default()));
}

#[test]
fn the_page_has_a_row_a_scenario_and_a_link_a_run_as_long_as_its_evidence_is_there() {
    let link =
        |run: &Kept| run.id.ends_with('3').then(|| format!("file://{}/report.html", run.folder.display()));
    let page = page(&some(), link);
    let (_, body) = page.split_once("</head>").expect("a head");
    assert!(!body.contains("<script") && !body.contains("http") && !body.contains("<one>"));
    insta::assert_snapshot!(body.replace("><", ">\n<"));
}

#[test]
fn the_page_of_nothing_says_so() {
    assert!(page(&[], |_| None).contains("No run is remembered yet."));
}
