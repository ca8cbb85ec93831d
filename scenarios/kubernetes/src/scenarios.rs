//! What breaks a control plane and what does not, with controls that must fail for a named reason.

mod authority;
mod control_plane;
mod extension;
mod incident;
mod kubelets;
mod renewal;
mod replicas;
mod tokens;

use std::time::Duration;

use notafter::{
    check::{self, Check, Expect},
    fault::{AnyFault, Which, expired_unseen},
    prober::Pace,
    runbook::{Runbook, Step},
    scenario::{Limits, Repair, Scenario},
    suite::{Settings, Specimen, Template},
    system::{Span, System},
};

use crate::system::{system, users};

/// From the fault to the first user who complains.
const NOTICED: Duration = Duration::from_secs(10);
/// A server reads a new file within a second or two.
const RELOADED: Duration = Duration::from_secs(20);
/// A kubelet starts again what crashes after 10 s, and then after twice as long.
const BACK: Duration = Duration::from_mins(1);
/// How long people wait for the API, which tries etcd again after up to some seconds.
const ANSWERED: Duration = Duration::from_secs(15);
/// How long is watched where it shows at once.
const WATCHED: Duration = Duration::from_secs(5);

/// Every scenario of this crate, each before its controls.
pub fn templates() -> Vec<Template> {
    let families = [
        control_plane::templates(),
        kubelets::templates(),
        renewal::templates(),
        authority::templates(),
        tokens::templates(),
        extension::templates(),
        incident::templates(),
        replicas::templates(),
    ];
    families.into_iter().flatten().collect()
}

/// What is wrong with each control, and what it is the control of.
pub fn zoo() -> Vec<Specimen> {
    let families = [
        control_plane::zoo(),
        kubelets::zoo(),
        renewal::zoo(),
        authority::zoo(),
        tokens::zoo(),
        extension::zoo(),
        incident::zoo(),
        replicas::zoo(),
    ];
    families.into_iter().flatten().collect()
}

fn template(name: &str, about: &'static str, build: fn(System, &Settings) -> Scenario) -> Template {
    Template { name: name.into(), about, system, build }
}

fn specimen(control: &str, sound: &str, defect: &str) -> Specimen {
    Specimen {
        defect: defect.into(),
        control: format!("control-of/kubernetes-{control}"),
        sound: format!("kubernetes/{sound}"),
        seen: Vec::new(),
    }
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

/// Each of them gets a new certificate in every place that it has, one after another.
fn rotate(services: &[&str]) -> Runbook {
    let rotate = |service: &&str| Step::Rotate { service: (*service).into() };
    services.iter().map(rotate).fold(Runbook::new(), Runbook::then)
}

fn restart(services: &[&str]) -> Step {
    Step::RestartAll { services: services.iter().map(ToString::to_string).collect() }
}

fn mounted(service: &str, mount: &str) -> Which {
    Which::Mounted(service.into(), mount.into())
}

/// These have expired as well, and nobody is there who could tell.
fn unseen(mounts: &[(&str, &str)]) -> Vec<Box<dyn AnyFault>> {
    mounts.iter().map(|(service, mount)| expired_unseen(mounted(service, mount))).collect()
}

/// The control of a scenario whose repair does not mend what is broken: nobody waits much longer than it may take.
fn mistaken(scenario: Scenario, budget: Duration) -> Scenario {
    let limits = Limits { recover: budget + Duration::from_secs(5), ..scenario.limits };
    failing(Scenario { limits, ..scenario }, &["recovers-within"])
}

fn failing(scenario: Scenario, caught_by: &[&str]) -> Scenario {
    Scenario { expect: Expect::Fail(caught_by.iter().map(ToString::to_string).collect()), ..scenario }
}
