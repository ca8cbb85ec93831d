//! What a runbook tells the person who is woken, for every kind of step.

use std::time::Duration;

use crate::{
    history::{History, StepKind, script::Script},
    pki::Manner,
    runbook::Runbook,
    scenario::Repair,
    system::Span,
};

use super::*;

const SYSTEM: &str = r#"
name = "trio"
authorities = ["mesh", "edge"]
services = [
    { name = "manager", program = "p", serves = "w", issues = ["mesh"], mounts = { w = { authority = "mesh" } } },
    { name = "archive", program = "p", serves = "w", reload = "never", needs = { manager = "w" }, mounts = { w = { authority = "mesh" }, public = { authority = "edge" } } },
    { name = "search", program = "p", serves = "w", needs = { archive = "w" }, mounts = { w = { authority = "mesh", filled = "by-itself" } } },
]
"#;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A step of every kind.
fn scenario() -> Scenario {
    let system = System::from_toml(SYSTEM, "test").expect("a system");
    let repair = Runbook::new()
        .then(Step::Identify)
        .wait("get hold of what a rotation needs", Duration::from_millis(800))
        .then(Step::Rotate { service: "archive".into() })
        .then(Step::Rotate { service: "search".into() })
        .then(Step::Renew { service: "archive".into(), manner: Manner::InPlace })
        .then(Step::RenewAuthority { authority: "mesh".into() })
        .then(Step::SetClock { service: "archive".into() })
        .then(Step::RestartEach { services: names(&["archive"]) })
        .then(Step::RestartAll { services: names(&["archive", "search"]) })
        .then(Step::TryOrders {
            orders: vec![names(&["search", "archive"]), names(&["archive", "search"])],
            think: Span(Duration::from_millis(50)),
        });
    let recovery_runs = Runbook::new().then(Step::Ask {
        title: "fetch missed records again".into(),
        service: "search".into(),
        path: "/v1/again?all=1".into(),
    });
    Scenario {
        about: "Everything that can be done is done.".into(),
        repair: Repair::by(repair),
        recovery_runs,
        ..Scenario::new("trio/everything", system)
    }
}

/// A run that got to the third step and failed there.
fn last() -> History {
    let script = Script::outage();
    let title = "identify the certificates that ended or are about to";
    let script = script.without(|what| {
        matches!(what, crate::history::What::StepBegan { .. } | crate::history::What::StepEnded { .. })
    });
    script
        .step(0, StepKind::Diagnose, title, 3_000..3_004)
        .step(1, StepKind::Pace, "get hold of what a rotation needs", 3_004..3_804)
        .step(2, StepKind::Rotate, "reissue and install the certificate of archive", 3_804..3_812)
        .at(
            4_000,
            crate::history::What::StepBegan {
                step: 3,
                title: "reissue and install the certificate of search".into(),
                kind: StepKind::Rotate,
            },
        )
        .at(4_001, crate::history::What::StepEnded { step: 3, error: Some("the disk is full".into()) })
        .step(4, StepKind::Restart, "something else, before the scenario was changed", 4_010..4_020)
        .history()
}

#[test]
fn every_kind_of_step_has_its_words_its_commands_and_its_time() {
    let (scenario, history) = (scenario(), last());
    let measured = Measurements::of(&history);
    let guide = Guide { scenario: &scenario, runtime: Runtime::Processes, last: Some(&measured) };
    insta::assert_snapshot!(guide.markdown());
}

#[test]
fn without_a_run_it_says_how_to_make_one_and_containers_are_found_by_their_names() {
    let scenario = scenario();
    let guide = Guide { scenario: &scenario, runtime: Runtime::Containers, last: None };
    let text = guide.markdown();
    let (head, _) = text.split_once("\n### Step 1").expect("a first step");
    insta::assert_snapshot!(head);
    assert!(!text.contains("It took") && !text.contains("last run did"), "{text}");
}

#[test]
fn a_system_that_heals_itself_has_nothing_to_do_by_hand() {
    let mut scenario = scenario();
    (scenario.repair, scenario.recovery_runs) = (Repair::default(), Runbook::new());
    let guide = Guide { scenario: &scenario, runtime: Runtime::Processes, last: None };
    insta::assert_snapshot!(guide.markdown());
}

#[test]
fn a_control_plane_is_renewed_with_kubeadm_and_its_kubelets_without() {
    use crate::runtime::kubernetes::{admin, system};
    let repair = ["etcd", "api", "scheduler", "kubelet-worker-1", "operator"]
        .map(|service| Step::Rotate { service: service.into() })
        .into_iter()
        .fold(Runbook::new().then(Step::Identify), Runbook::then)
        .then(Step::RestartAll { services: names(&["scheduler"]) });
    let system = system(1, 1, admin("operator", "operator"));
    let scenario = Scenario { repair: Repair::by(repair), ..Scenario::new("control-plane/expired", system) };
    let guide = Guide { scenario: &scenario, runtime: Runtime::Kubernetes, last: None };
    insta::assert_snapshot!(guide.markdown());
}
