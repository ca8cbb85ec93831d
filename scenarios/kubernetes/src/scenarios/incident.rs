//! The incident on a real Kubernetes: every certificate of the cluster at once, and the same where each is renewed
//! in time.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, Which, expired, expired_unseen, run_out, run_out_unseen},
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::{Aftermath, Limits, Repair, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use super::{ANSWERED, BACK, NOTICED, base, checks, failing, mistaken, restart, rotate, specimen, template};
use crate::judging::these_go_on;

/// How long people take who renew certificates by hand.
const BY_HAND: Duration = Duration::from_secs(4);
/// Until controllers have given up their leases, and have been started again.
const LEASES_LOST: Duration = Duration::from_secs(14);
/// How long certificates last that are renewed at two thirds of that.
const LIFE: Duration = Duration::from_secs(90);
/// Who takes over from a controller waits until the lease of that one ends, and nothing new is made meanwhile.
const HANDED_OVER: Duration = Duration::from_mins(1);
const ALL: [&str; 6] =
    ["etcd", "api", "controller-manager", "scheduler", "kubelet-control-plane", "kubelet-worker-1"];

/// Who presents certificates to somebody and is restarted. The kubelet of the control plane is what restarts.
const PRESENTING: [&str; 3] = ["etcd", "api", "kubelet-worker-1"];

pub(super) fn templates() -> Vec<Template> {
    vec![
        template(
            "kubernetes/everything-expired",
            "the incident: every certificate of the cluster has expired, and it is restarted",
            |system, _| everything(system, &ALL[2..]),
        ),
        template(
            "control-of/kubernetes-everything",
            "the same, and nobody restarts controllers after everything is renewed",
            |system, _| mistaken(everything(system, &ALL[4..]), BACK),
        ),
        template(
            "kubernetes/renewed-in-time",
            "the same certificates, each renewed at two thirds of its life",
            |system, _| renewed(system, &ALL),
        ),
        template(
            "control-of/kubernetes-renewed-in-time",
            "the same, and etcd is forgotten, which nobody notices who works with the cluster",
            |system, _| {
                let forgotten = renewed(system, &ALL[1..]);
                let limits = Limits { recover: LIFE / 3 + Duration::from_secs(10), ..forgotten.limits };
                failing(Scenario { limits, ..forgotten }, &["replaced-before-expiry"])
            },
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen(
            "everything",
            "everything-expired",
            "controllers read their kubeconfigs when those had expired",
        ),
        specimen(
            "renewed-in-time",
            "renewed-in-time",
            "etcd is forgotten when everything is renewed in time",
        ),
    ]
}

/// `[every leaf of etcd-ca, kubernetes and front-proxy-ca]`: all of them have expired; then etcd, the API server and
/// a node are restarted, as where nodes are refreshed. Controllers lose their leases, end, and are started again
/// before people have renewed anything: what they read then they keep, and sleep until somebody restarts them. So
/// does a kubelet with what it presents.
fn everything(system: System, restarted: &[&str]) -> Scenario {
    let faults = of_everything(&system, expired, expired_unseen);
    let by_hand = Runbook::new().then(Step::Identify).wait("renew what has expired, by hand", BY_HAND);
    let runbook = rotate(&ALL).steps().iter().cloned().fold(by_hand, Runbook::then);
    let runbook = runbook.wait("wait until the API answers", ANSWERED).then(restart(restarted));
    Scenario {
        about: "Every leaf of the cluster has expired, of all three authorities: what servers present and what \
                clients show; then etcd, the API server and a node are restarted. No API works, and controllers \
                crash and come back with kubeconfigs that have expired. New certificates are there in seconds and \
                bring the API back; nothing new runs until controllers are restarted."
            .into(),
        faults,
        aftermath: Aftermath::RestartBroken,
        observe: Span(LEASES_LOST),
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(BACK),
        ]),
        ..base(system, runbook)
    }
}

/// The same leaves, before they expire: each is renewed at two thirds of its life. Controllers and kubelets are
/// restarted, because they read theirs at the start only; everybody else reads a file again.
fn renewed(system: System, renewed: &[&str]) -> Scenario {
    let (age, lead) = (LIFE * 2 / 3, LIFE / 3);
    let near = |which| run_out(which, age, lead);
    let faults = of_everything(&system, near, |which| run_out_unseen(which, age, lead));
    Scenario {
        about: "Every leaf of the cluster is renewed at two thirds of its life, and controllers and kubelets are \
                restarted to read theirs. No node is lost, nobody is refused; nothing new is made until the next controller may \
                lead, which waits for the lease of the last."
            .into(),
        faults,
        repair: Repair::at_landing(rotate(renewed).then(restart(&ALL[2..]))),
        checks: checks([
            check::replaced_before_expiry(),
            these_go_on(&["api", "nodes", "traffic"]),
            check::outage_within(HANDED_OVER),
        ]),
        ..base(system, Runbook::new())
    }
}

/// What servers present, which everybody sees, and every other leaf, which nobody does who could tell.
fn of_everything(
    system: &System,
    presented: impl Fn(Which) -> Box<dyn AnyFault>,
    unseen: impl Fn(Which) -> Box<dyn AnyFault>,
) -> Vec<Box<dyn AnyFault>> {
    let mut faults = vec![presented(Which::ServedBy(PRESENTING.map(Into::into).into()))];
    for service in system.own() {
        let is_presented =
            |mount: &str| mount == service.serves && PRESENTING.contains(&service.name.as_str());
        let others = service.mounts.keys().filter(|mount| !is_presented(mount));
        faults.extend(others.map(|mount| unseen(Which::Mounted(service.name.clone(), mount.clone()))));
    }
    faults
}
