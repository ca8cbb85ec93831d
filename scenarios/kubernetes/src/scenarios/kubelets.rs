//! Certificates of kubelets: what they show to the API server, and what the two present to each other for logs
//! and exec.

use std::time::Duration;

use notafter::{
    check,
    fault::{Which, expired, rolled_out},
    history::Refusal,
    runbook::Runbook,
    scenario::{Aftermath, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use super::{
    NOTICED, RELOADED, base, checks, mistaken, mounted, restart, rotate, specimen, template, unseen,
};
use crate::judging::only_these_fail;

/// Until a controller takes a node that says nothing for lost, and users have seen that for a while.
const LOST: Duration = Duration::from_secs(24);
/// Until a node is back, and what asks for it has tried again.
const REJOINED: Duration = Duration::from_secs(40);
/// Until whoever asks the Service from within, which takes longest, has given up.
const GIVEN_UP: Duration = Duration::from_secs(12);
const KUBELETS: [&str; 2] = ["kubelet-control-plane", "kubelet-worker-1"];

pub(super) fn templates() -> Vec<Template> {
    vec![
        template(
            "kubernetes/kubelet-client-expired",
            "what the kubelet of a worker shows has expired: the node is lost, its pods go on",
            |system, _| one_client(system, rotate(&KUBELETS[1..])),
        ),
        template(
            "control-of/kubernetes-kubelet-client",
            "the same, and that of another node is renewed by mistake",
            |system, _| mistaken(one_client(system, rotate(&KUBELETS[..1])), REJOINED),
        ),
        template(
            "kubernetes/kubelet-clients-expired",
            "what all kubelets show has expired: every pod runs, and every Service is down",
            |system, _| all_clients(system, rotate(&KUBELETS)),
        ),
        template(
            "control-of/kubernetes-kubelet-clients",
            "the same, and that of one node is forgotten",
            |system, _| mistaken(all_clients(system, rotate(&KUBELETS[..1])), REJOINED),
        ),
        template(
            "kubernetes/kubelet-serving-expired",
            "what API server and kubelets show to each other has expired: no logs, no exec",
            |system, _| serving(system, renewed().then(restart(&KUBELETS))),
        ),
        template(
            "control-of/kubernetes-kubelet-serving",
            "the same, and nobody restarts kubelets after everything is renewed",
            |system, _| mistaken(serving(system, renewed()), RELOADED),
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen(
            "kubelet-client",
            "kubelet-client-expired",
            "the kubelet of another node gets a new certificate",
        ),
        specimen("kubelet-clients", "kubelet-clients-expired", "one of two kubelets gets no new certificate"),
        specimen(
            "kubelet-serving",
            "kubelet-serving-expired",
            "kubelets are not restarted, and present the old leaf to whoever calls by address",
        ),
    ]
}

/// `kubernetes -> [kubelet of the worker, as a client]`: the leaf has expired, and it only; the kubelet is
/// restarted. The API server refuses it, so the node says nothing any more, and nobody may read logs on it: the
/// kubelet asks the API server who may.
fn one_client(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The leaf that the kubelet of the worker shows has expired, and it is restarted: kubernetes -> \
                [kubelet]. The API server refuses it, and the node is lost; its pods stay and are asked no more. \
                A new file brings the node back."
            .into(),
        faults: vec![client("kubelet-worker-1")],
        observe: Span(LOST),
        // New pods may be put on a node that is not known to be lost yet, and the pod that asks may be there.
        checks: checks([
            only_these_fail(&["nodes", "logs", "exec"], &["deploy", "service"]),
            check::detected_within(NOTICED),
            check::recovers_within(REJOINED),
        ]),
        ..base(system, repair)
    }
}

/// `kubernetes -> [every kubelet, as a client]`: as [`one_client`] on all nodes. Pods of lost nodes count as not
/// ready, so no Service has anybody behind it, and visitors are refused although every pod runs.
fn all_clients(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The leaves that all kubelets show have expired, and all are restarted: kubernetes -> [kubelets]. \
                Every node is lost; pods run on, but nobody is behind any Service any more, because pods of lost \
                nodes count as not ready. Only the API goes on."
            .into(),
        faults: KUBELETS.map(client).into(),
        checks: checks([
            only_these_fail(&["nodes", "deploy", "service", "logs", "exec", "traffic"], &[]),
            check::detected_within(NOTICED),
            check::recovers_within(REJOINED),
        ]),
        observe: Span(LOST),
        ..base(system, repair)
    }
}

fn renewed() -> Runbook {
    rotate(&[KUBELETS[0], KUBELETS[1], "api"])
}

fn client(kubelet: &str) -> Box<dyn notafter::fault::AnyFault> {
    rolled_out(expired(mounted(kubelet, "client")), kubelet)
}

/// `kubernetes -> [kubelets], [API server as a client of kubelets]`: the leaves of both directions have expired,
/// and kubelets are restarted, which cuts the connections that the API server has. The Service is asked by exec,
/// so nobody can ask it from within; traffic shows that it works.
///
/// A kubelet reads its file again for those who call it by a name, and only for them: the API server calls by an
/// address, so without a name (RFC 6066, section 3), and is presented what the kubelet had at its start.
fn serving(system: System, repair: Runbook) -> Scenario {
    let presented = Which::ServedBy(KUBELETS.map(Into::into).into());
    let mut faults = vec![expired(presented)];
    faults.extend(unseen(&[("api", "kubelet-client")]));
    Scenario {
        about: "The leaves that kubelets present and the one that the API server shows to them have expired: \
                kubernetes -> [kubelets], [API server as their client]; and kubelets are restarted, which cuts \
                connections that are open. Nobody can read a log or run a command in a pod; everything else works."
            .into(),
        faults,
        aftermath: Aftermath::RestartBroken,
        observe: Span(GIVEN_UP),
        checks: checks([
            check::refused(Refusal::Expired),
            only_these_fail(&["logs", "exec", "service"], &[]),
            check::detected_within(NOTICED),
            check::recovers_within(RELOADED),
        ]),
        ..base(system, repair)
    }
}
