//! Kubelets that get new certificates by themselves, to show and to present, before the ones that they have end.

use std::time::Duration;

use notafter::{
    check,
    fault::{Which, rolled_out, run_out},
    runbook::Runbook,
    scenario::{Limits, Scenario},
    suite::{Specimen, Template},
    system::Span,
};

use super::{base, checks, failing, mounted, restart, rotate, specimen, template};
use crate::{
    judging::these_go_on,
    system::{renewing, serving_renewing, serving_unapproved, unapproved},
};

/// A kubelet asks for the next one when 70 to 90 % of a life are over: not before it has shown this one. And it looks
/// every 10 s only whether it has another one to show, so that a tenth of a life must be longer.
const AGE: Duration = Duration::from_mins(2);
const LEFT: Duration = Duration::from_secs(80);
/// Until whoever reads logs or runs commands there has given up.
const GIVEN_UP: Duration = Duration::from_secs(12);
/// Until a node is lost that says nothing, and users have seen that.
const LOST: Duration = Duration::from_secs(24);
const KUBELET: &str = "kubelet-worker-1";

pub(super) fn templates() -> Vec<Template> {
    vec![
        Template {
            system: renewing,
            ..template(
                "kubernetes/kubelet-renews",
                "what a kubelet shows nears its end: it asks for a new one, and gets it",
                |system, _| renews(base(system, Runbook::new())),
            )
        },
        Template {
            system: unapproved,
            ..template(
                "control-of/kubernetes-kubelet-renews",
                "the same, and nobody approves what it asks for: the node is lost",
                |system, _| {
                    let repaired = base(system, rotate(&[KUBELET]).then(restart(&[KUBELET])));
                    let watched = Scenario { observe: Span(LOST), ..repaired };
                    failing(renews(watched), &["replaced-before-expiry"])
                },
            )
        },
        Template {
            system: serving_renewing,
            ..template(
                "kubernetes/kubelet-serving-renews",
                "what a kubelet presents nears its end: it asks for a new one, and somebody approves it",
                |system, _| serving_renews(base(system, Runbook::new())),
            )
        },
        Template {
            system: serving_unapproved,
            ..template(
                "control-of/kubernetes-kubelet-serving-renews",
                "the same, and nobody approves what it asks for: no logs and no exec on that node",
                |system, _| {
                    let repaired = base(system, rotate(&[KUBELET]).then(restart(&[KUBELET])));
                    let watched = Scenario { observe: Span(GIVEN_UP), ..repaired };
                    failing(serving_renews(watched), &["replaced-before-expiry"])
                },
            )
        },
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen(
            "kubelet-renews",
            "kubelet-renews",
            "nobody approves the certificates that kubelets ask for",
        ),
        specimen(
            "kubelet-serving-renews",
            "kubelet-serving-renews",
            "nobody approves the certificates that kubelets want to present",
        ),
    ]
}

/// `kubernetes -> [kubelet of the worker, as a client]`: the leaf nears its end, and it only. With
/// `rotateCertificates` the kubelet asks the API server for the next one; the controller-manager approves what a
/// node asks for itself, and signs it. The API server says which one it shows.
fn renews(repaired: Scenario) -> Scenario {
    Scenario {
        about: "The leaf that the kubelet of the worker shows nears its end: kubernetes -> [kubelet]. With \
                `rotateCertificates` it asks for the next one by itself, and the controller-manager approves and \
                signs it. Nobody renews anything by hand, and nobody notices."
            .into(),
        faults: vec![rolled_out(run_out(mounted(KUBELET, "client"), AGE, LEFT), KUBELET)],
        checks: checks([check::replaced_before_expiry(), these_go_on(&["api", "nodes", "traffic"])]),
        limits: Limits { observe: Duration::from_mins(2), ..repaired.limits },
        ..repaired
    }
}

/// `kubernetes -> [kubelet of the worker, as a server]`: the leaf nears its end, and it only. With
/// `serverTLSBootstrap` the kubelet asks the API server for the next one; somebody has to approve it, because no
/// controller of Kubernetes does, and the controller-manager signs it.
fn serving_renews(repaired: Scenario) -> Scenario {
    Scenario {
        about:
            "The leaf that the kubelet of the worker presents nears its end: kubernetes -> [kubelet]. With \
                `serverTLSBootstrap` it asks for the next one by itself; an operator approves it, because no \
                controller does, and the controller-manager signs it. Logs and exec go on."
                .into(),
        faults: vec![rolled_out(run_out(Which::Served(KUBELET.into()), AGE, LEFT), KUBELET)],
        checks: checks([
            check::replaced_before_expiry(),
            these_go_on(&["api", "nodes", "logs", "exec", "traffic"]),
        ]),
        limits: Limits { observe: Duration::from_mins(2), ..repaired.limits },
        ..repaired
    }
}
