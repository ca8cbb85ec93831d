//! What breaks a control plane and what does not, with controls that must fail for a named reason.

use std::time::Duration;

use notafter::{
    check::{self, Check, Expect},
    fault::{AnyFault, Which, expired},
    history::Refusal,
    prober::Pace,
    runbook::{Runbook, Step},
    scenario::{Limits, Repair, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use crate::system::{system, users};

/// From the fault to the first user who complains.
const NOTICED: Duration = Duration::from_secs(10);
/// An API server reads a new file within a second or two.
const RELOADED: Duration = Duration::from_secs(20);
/// How long is watched where it shows at once.
const WATCHED: Duration = Duration::from_secs(5);

/// Every scenario of this crate.
pub fn templates() -> Vec<Template> {
    let template = |name: &str, about, build| Template { name: name.into(), about, system, build };
    vec![
        template(
            "kubernetes/api-expired",
            "the certificate of the API server has expired: nobody gets in, and a new file is enough",
            |system, _| api_serving(system, Runbook::new().then(rotate("api"))),
        ),
        template(
            "control-of/kubernetes-api",
            "the same, and the certificate of etcd is renewed by mistake",
            |system, _| {
                let mistaken = api_serving(system, Runbook::new().then(rotate("etcd")));
                let limits = Limits { recover: RELOADED + Duration::from_secs(5), ..mistaken.limits };
                failing(Scenario { limits, ..mistaken }, &["recovers-within"])
            },
        ),
    ]
}

/// What is wrong with each control, and what it is the control of.
pub fn zoo() -> Vec<Specimen> {
    let specimen = |control: &str, sound: &str, defect: &str| Specimen {
        defect: defect.into(),
        control: format!("control-of/kubernetes-{control}"),
        sound: format!("kubernetes/{sound}"),
        seen: Vec::new(),
    };
    vec![specimen("api", "api-expired", "the certificate of etcd is renewed in place of the API server's")]
}

/// `kubernetes -> [api]`: the leaf that the API server presents has expired, and it only. Whoever has a
/// connection keeps it, and nobody gets another one. The server reads the file again by itself, good or bad.
fn api_serving(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The leaf that the API server presents has expired: kubernetes -> [api]. Controllers and kubelets \
                go on over connections that they have; whoever comes anew is refused by himself."
            .into(),
        faults: vec![api_expires()],
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(RELOADED),
        ]),
        ..base(system, repair)
    }
}

fn api_expires() -> Box<dyn AnyFault> {
    expired(Which::Served("api".into()))
}

fn base(system: System, repair: Runbook) -> Scenario {
    Scenario {
        workload: users(),
        // A cluster has better things to do than to shake hands with us, and tasks take their time anyway.
        pace: Pace { every: Span(Duration::from_millis(50)), handshakes: 20, tries: 60, failures: 60 },
        observe: Span(WATCHED),
        stability: Span(Duration::from_secs(2)),
        repair: Repair::by(repair),
        limits: Limits {
            start: Duration::from_mins(3),
            steady: Duration::from_mins(2),
            landed: Duration::from_mins(1),
            recover: Duration::from_mins(2),
            ..Limits::default()
        },
        ..Scenario::new("", system)
    }
}

/// With the controls that every scenario has, and what holds whatever breaks.
fn checks(own: impl IntoIterator<Item = Box<dyn Check>>) -> Vec<Box<dyn Check>> {
    let always = [check::steady(), check::landed(), check::nothing_accepted_unauthenticated()];
    always.into_iter().chain(own).collect()
}

fn rotate(service: &str) -> Step {
    Step::Rotate { service: service.into() }
}

fn failing(scenario: Scenario, caught_by: &[&str]) -> Scenario {
    Scenario { expect: Expect::Fail(caught_by.iter().map(ToString::to_string).collect()), ..scenario }
}
