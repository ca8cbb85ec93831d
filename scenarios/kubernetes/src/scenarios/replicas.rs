//! Three control planes, of which one has expired, or two.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, Which, expired, expired_unseen, rolled_out},
    history::Refusal,
    runbook::Runbook,
    scenario::{Aftermath, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use super::{
    ANSWERED, NOTICED, base, checks, failing, mistaken, mounted, restart, rotate, specimen, template, unseen,
};
use crate::{
    judging::{only_these_fail, these_go_on, these_pause_within},
    system::replicated,
};

/// Until another controller leads, which waits for a lease, takes the node for lost, and users have seen that.
const LOST: Duration = Duration::from_secs(40);
/// Until whoever asks the API has given up, and controllers have lost their leases.
const GIVEN_UP: Duration = Duration::from_secs(20);
/// Until people who used the API server that is gone use the next, and members of etcd have elected another leader if
/// that is gone, too.
const PAUSE: Duration = Duration::from_secs(20);
/// Until whoever crashed is started again, which takes up to 40 s, and three control planes share two cores.
const REJOINED: Duration = Duration::from_secs(90);
/// Members that have just come back may lose their leader once more.
const CALM: Duration = Duration::from_secs(5);

pub(super) fn templates() -> Vec<Template> {
    let template = |name: &str, about, build| Template { system: replicated, ..template(name, about, build) };
    vec![
        template(
            "kubernetes/one-of-three-expired",
            "one of three control planes has expired: the node is lost, and everything else goes on",
            |system, _| one(system),
        ),
        template(
            "control-of/kubernetes-one-of-three",
            "the same, and what another member of etcd shows to the others has expired, too",
            |system, _| {
                let mut scenario = one(system);
                scenario.faults.push(rolled_out(expired(mounted("etcd-3", "peer")), "etcd-3"));
                let both: Vec<String> = ["etcd-3".to_owned()].into_iter().chain(of_node(2)).collect();
                scenario.repair.runbook = repair(&both);
                failing(scenario, &["only-these-fail", "these-pause-within"])
            },
        ),
        template(
            "kubernetes/two-of-three-expired",
            "two of three control planes have expired: no quorum, no API; nothing is lost",
            |system, _| two(system, |number| of_node(number).to_vec()),
        ),
        template(
            "control-of/kubernetes-two-of-three",
            "the same, and only what API servers and kubelets have is renewed",
            |system, _| {
                let forgotten = |number| {
                    let [_etcd, api, _controller_manager, _scheduler, kubelet] = of_node(number);
                    vec![api, kubelet]
                };
                mistaken(two(system, forgotten), REJOINED)
            },
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen("one-of-three", "one-of-three-expired", "a second member of etcd shows an expired leaf"),
        specimen("two-of-three", "two-of-three-expired", "the certificates of etcd are not renewed"),
    ]
}

/// What is on a node with a control plane, etcd first.
fn of_node(number: u8) -> [String; 5] {
    ["etcd", "api", "controller-manager", "scheduler", "kubelet-control-plane"]
        .map(|name| format!("{name}-{number}"))
}

/// `[every leaf of a node with a control plane]`: what it presents and what it shows; and everything on it is restarted.
fn node_expired(number: u8) -> Vec<Box<dyn AnyFault>> {
    let all = of_node(number);
    let [etcd, api, controller_manager, scheduler, kubelet] = all.each_ref().map(String::as_str);
    let mut faults = vec![
        expired(Which::ServedBy([etcd, api, kubelet].map(Into::into).into())),
        expired(mounted(etcd, "peer")),
    ];
    faults.extend(unseen(&[
        (etcd, "healthcheck-client"),
        (api, "etcd-client"),
        (api, "kubelet-client"),
        (api, "front-proxy-client"),
        (kubelet, "client"),
        (kubelet, "proxy"),
    ]));
    let sleeps = |name: &str| rolled_out(expired_unseen(mounted(name, "kubeconfig")), name);
    faults.extend([controller_manager, scheduler].map(sleeps));
    faults
}

fn one(system: System) -> Scenario {
    Scenario {
        about: "Every leaf of one of three nodes with a control plane has expired, and everything on it is restarted. \
                Two members of etcd are a quorum, and two API servers serve: the node is lost as any other would \
                be, and everything else goes on."
            .into(),
        faults: node_expired(2),
        aftermath: Aftermath::RestartBroken,
        observe: Span(LOST),
        stability: Span(CALM),
        checks: checks([
            check::refused(Refusal::Expired),
            only_these_fail(&["nodes", "logs", "exec"], &["deploy", "service"]),
            these_pause_within(&["api"], PAUSE),
            these_go_on(&["traffic"]),
            check::detected_within(NOTICED),
            check::recovers_within(REJOINED),
        ]),
        ..base(system, repair(&of_node(2)))
    }
}

fn two(system: System, renewed: impl Fn(u8) -> Vec<String>) -> Scenario {
    let renewed: Vec<String> = [2, 3].into_iter().flat_map(renewed).collect();
    Scenario {
        about: "Every leaf of two of three nodes with a control plane has expired, and everything on them is \
                restarted. One member of etcd is no quorum, so the third node has no API either, and all of its \
                certificates are good. Pods and Services go on; new certificates bring everything back, and \
                nothing that was there is lost."
            .into(),
        faults: [2, 3].into_iter().flat_map(node_expired).collect(),
        aftermath: Aftermath::RestartBroken,
        observe: Span(GIVEN_UP),
        stability: Span(CALM),
        checks: checks([
            check::refused(Refusal::Expired),
            only_these_fail(&["api", "nodes", "deploy", "service", "logs", "exec"], &[]),
            these_go_on(&["traffic"]),
            check::detected_within(NOTICED),
            check::recovers_within(REJOINED),
        ]),
        ..base(system, repair(&renewed))
    }
}

/// New certificates for all of these. etcd reads its own again by itself. A kubelet that is restarted starts at once what
/// has crashed, for which it would wait longer and longer otherwise: the API server. When that is there, whoever read at
/// his start what had expired is restarted, too.
fn repair(services: &[String]) -> Runbook {
    let all: Vec<&str> = services.iter().map(String::as_str).collect();
    let of = |name: &str| all.iter().copied().filter(|one| one.starts_with(name)).collect::<Vec<_>>();
    let book = rotate(&all).then(restart(&of("kubelet")));
    match [of("controller-manager"), of("scheduler")].concat() {
        controllers if controllers.is_empty() => book,
        controllers => book.wait("wait until the API answers", ANSWERED).then(restart(&controllers)),
    }
}
