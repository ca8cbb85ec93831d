//! What reports say of three runs: an outage as it was, the same with every mitigation, and one that
//! nobody can judge.

use crate::{
    check::{self, Check, Expect},
    history::{
        AlertRule, History, Phase, ProcessChange, Question, Refusal, StepKind, What,
        script::{EXPIRY, Script},
    },
    incident::{Incident, Instant, Milestone},
};

use super::*;

const MINUTE: u64 = 25;

const OPERATIONS: [&str; 4] = ["ingest", "login", "search", "spotlight"];

const HOPS: [(&str, &str); 4] =
    [("auth", "archive"), ("gateway", "auth"), ("processor", "archive"), ("search", "archive")];

const SERVICES: [&str; 6] = ["manager", "archive", "auth", "processor", "search", "gateway"];

/// Words as a service would say them.
const NO_MANAGER: &str = "error: needs `manager`: connection refused; exiting\n(second line)";

fn incident() -> Incident {
    let instant = |minute, clock: &str, what: &str, milestone| Instant {
        minute,
        clock: clock.into(),
        what: what.into(),
        milestone,
    };
    Incident {
        title: "the outage of 26 January 2022".into(),
        instants: vec![
            instant(
                0,
                "3:55 pm",
                "certificates of the management system have expired",
                Some(Milestone::Expired),
            ),
            instant(9, "4:04 pm", "the certificates are identified", Some(Milestone::CauseFound)),
            instant(25, "4:20 pm", "rotation by hand begins", Some(Milestone::RepairBegan)),
            instant(55, "4:50 pm", "every certificate is rotated", Some(Milestone::RepairDeployed)),
            instant(58, "4:53 pm", "pods start in one order only", None),
            instant(99, "5:34 pm", "restored", Some(Milestone::Recovered)),
            instant(113, "5:48 pm", "recovery runs begin", None),
        ],
    }
}

fn system(scenario: &str) -> Script {
    let mut script = Script::new();
    script.info.scenario = format!("aware-2022/{scenario}");
    script.info.about = "The certificates of the container management system expire while it runs.".into();
    script.info.rerun = format!("notafter run aware-2022/{scenario} --seed 7 --scale 1m=25ms");
    script.info.minute_us = MINUTE * 1_000;
    script.info.incident = Some(incident());
    let script = OPERATIONS.into_iter().fold(script, Script::operation).background("retention");
    let script = HOPS.into_iter().fold(script, |script, (client, server)| script.hop(client, server));
    let script = SERVICES.into_iter().fold(script, |script, service| {
        script
            .process(50, service, ProcessChange::Spawned { pid: 10, restarts: 0 })
            .health(90, service, &[])
            .fault(service)
    });
    script.asks(600, Question::WithoutCertificate, None).asks(2_700, Question::WithForeign, None)
}

/// Everything as it was: nobody is told, every certificate is rotated by hand, and only one order starts.
pub(super) fn as_it_was() -> History {
    let mut script = system("as-it-was");
    script.info.expect = Expect::Fail(
        ["outage-within", "recovers-within", "alerted-before-expiry", "starts-in-order"]
            .map(str::to_owned)
            .into(),
    );
    for service in SERVICES {
        script = script.expires(service, true);
    }
    for (index, operation) in (0..).zip(OPERATIONS) {
        let from = EXPIRY + 5 * index;
        script = script.fails(operation, from..4_700 - 10 * index, "503: archive: certificate expired");
    }
    for (client, server) in HOPS {
        script = script.refuses(client, server, EXPIRY..3_400, Refusal::Expired).unreachable(
            client,
            server,
            3_400..4_650,
        );
    }
    script = script
        .alert(2_260, AlertRule::Symptom, "gateway")
        .health(2_240, "search", &["archive: certificate expired"])
        .step(0, StepKind::Diagnose, "look for the cause", 2_260..2_300)
        .step(1, StepKind::Pace, "people get access to the nodes", 2_300..2_625);
    for (index, service) in (0..).zip(SERVICES) {
        let began = 2_625 + u64::from(index) * 120;
        let (rotate, wait) =
            (format!("rotate the certificate of {service}"), format!("rotate {service} by hand"));
        script = script
            .step(2 + 2 * index, StepKind::Rotate, &rotate, began..began + 10)
            .step(3 + 2 * index, StepKind::Pace, &wait, began + 10..began + 120)
            .rotated(service, began + 5..4_600);
    }
    let order = ["archive", "auth", "manager", "processor", "search", "gateway"];
    let script = script
        .step(14, StepKind::Restart, "start the services in an order that works", 3_400..4_600)
        .order(1, 3_400..3_700, &order, Some(("archive", NO_MANAGER)))
        .order(2, 3_800..4_050, &["auth", "manager", "archive"], Some(("auth", NO_MANAGER)))
        .order(3, 4_050..4_600, &SERVICES, None)
        .step(15, StepKind::RecoveryRun, "fetch the missed records again", 5_300..5_700)
        .records(1_100..2_000);
    let script =
        (2_000..4_700).step_by(10).fold(script, |script, sent| script.record(sent, Some(sent + 3_000)));
    judged(script.records(4_700..6_000).at(6_710, What::Drained))
}

/// Alerts, renewal, any order: nobody notices that anything was to expire.
pub(super) fn mitigated() -> History {
    let mut script = system("mitigated");
    for (index, service) in (0..).zip(SERVICES) {
        script = script
            .alert(1_200 + index, AlertRule::Expiry, service)
            .renews(service, 1_400 + 20 * index)
            .expires(service, false);
    }
    judged(script.records(1_100..6_000).at(6_005, What::Drained))
}

/// The repair goes wrong, and the harness dies before it can judge.
pub(super) fn cut_short() -> History {
    let mut script = Script::outage().breaks(Phase::Observe, "archive: /data: no space left on device");
    script.info.rerun = "notafter run expiry/server-leaf --seed 7".into();
    script.dies(4_100).history()
}

fn judged(script: Script) -> History {
    let ms = std::time::Duration::from_millis;
    let checks: Vec<Box<dyn Check>> = vec![
        check::steady(),
        check::landed(),
        check::refused(Refusal::Expired),
        check::outage_within(ms(0)),
        check::recovers_within(ms(50)),
        check::drains_within(ms(3_000)),
        check::nothing_lost(),
        check::nothing_duplicated(),
        check::nothing_accepted_unauthenticated(),
        check::alerted_before_expiry(ms(700)),
        check::starts_in_order(),
    ];
    let overall = check::judge_all(&script.clone().history(), &checks);
    let judged = overall.checks.into_iter().map(|(check, verdict)| What::Judged { check, verdict });
    judged.fold(script, |script, what| script.at(7_000, what)).history()
}

#[test]
fn an_outage_reads_well_on_a_terminal() {
    insta::assert_snapshot!(render(&as_it_was(), Style::default()));
}

#[test]
fn a_mitigated_run_reads_well_on_a_narrow_terminal() {
    insta::assert_snapshot!(render(&mitigated(), Style { colour: false, width: 80 }));
}

#[test]
fn a_run_that_was_cut_short_says_so_first() {
    insta::assert_snapshot!(render(&cut_short(), Style::default()));
}

#[test]
fn a_run_without_an_incident_tells_its_own_timeline() {
    let script = Script::outage().asks(500, Question::WithoutCertificate, Some(200)).record(1_500, None);
    insta::assert_snapshot!(render(&judged(script), Style { colour: false, width: 120 }));
}

#[test]
fn an_empty_history_has_a_report() {
    insta::assert_snapshot!(render(&History::default(), Style::default()));
}

#[test]
fn colour_is_used_only_if_asked_for() {
    let plain = render(&as_it_was(), Style::default());
    let coloured = render(&as_it_was(), Style { colour: true, width: 100 });
    assert!(!plain.contains('\u{1b}'));
    assert!(coloured.starts_with("\u{1b}[1;31mFAILED\u{1b}[0m"));
    let mut bare = String::new();
    for part in coloured.split('\u{1b}').enumerate() {
        bare.push_str(if part.0 == 0 { part.1 } else { part.1.split_once('m').map_or("", |(_, rest)| rest) });
    }
    assert_eq!(bare.split_whitespace().collect::<Vec<_>>(), plain.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [80, 100, 120] {
        for history in [as_it_was(), mitigated(), cut_short()] {
            let text = render(&history, Style { colour: false, width });
            let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap_or("");
            assert!(longest.chars().count() <= width, "{width}: {longest}");
        }
    }
}

/// One field a line, in the object's own order.
fn pretty(history: &History) -> String {
    let object = json(history);
    serde_json::from_str::<serde_json::Value>(&object).expect("the object is JSON");
    object
        .replace("},\"", "},\n\"")
        .replace("],\"", "],\n\"")
        .replace("},{", "},\n  {")
        .replace("\",\"", "\",\n\"")
}

#[test]
fn the_object_of_a_run_holds_every_measurement() {
    insta::assert_snapshot!(pretty(&as_it_was()));
}

#[test]
fn the_object_of_a_run_that_died_says_null_and_not_zero() {
    insta::assert_snapshot!(pretty(&cut_short()));
}

#[test]
fn junit_takes_a_failure_that_must_be_for_a_success() {
    insta::assert_snapshot!(junit([&as_it_was(), &cut_short()]).unwrap());
}

#[test]
fn an_ablation_sets_every_run_against_the_first() {
    let (baseline, best) = (as_it_was(), mitigated());
    let runs = [("nothing".to_owned(), &baseline), ("everything".to_owned(), &best)];
    insta::assert_snapshot!(ablation(&runs, Style::default()));
    assert_eq!(ablation(&[], Style::default()), "");
}

#[test]
fn every_report_of_a_history_that_was_judged_again_says_so() {
    let checks: Vec<Box<dyn Check>> = vec![check::steady(), check::landed()];
    let again = check::rejudged(&as_it_was(), &checks, &Expect::Pass, "9.9.9");
    let words = "Judged again with the checks of notafter 9.9.9";
    let text = render(&again, Style::default());
    assert!(text.starts_with("PASSED, as expected") && text.contains(words), "{text}");
    assert!(page(&again, &[]).contains(words) && markdown(&again).contains(words));
    assert!(json(&again).contains("\"rejudged_by\":\"9.9.9\""));
    assert!(junit([&again]).unwrap().contains("rejudged-by"));
    // What a run itself judged says nothing of the kind.
    assert!(!json(&as_it_was()).contains("rejudged_by"));
}
