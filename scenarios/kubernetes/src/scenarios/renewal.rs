//! Kubelets that get new client certificates by themselves, before the ones that they have end.

use std::time::Duration;

use notafter::{
    check,
    fault::{rolled_out, run_out},
    runbook::Runbook,
    scenario::{Limits, Scenario},
    suite::{Specimen, Template},
    system::Span,
};

use super::{base, checks, failing, mounted, restart, rotate, specimen, template};
use crate::{
    judging::these_go_on,
    system::{renewing, unapproved},
};

/// A kubelet asks for the next one when 70 to 90 % of a life are over: not before it has shown this one, and early
/// enough for a busy machine.
const AGE: Duration = Duration::from_secs(30);
const LEFT: Duration = Duration::from_secs(45);
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
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![specimen(
        "kubelet-renews",
        "kubelet-renews",
        "nobody approves the certificates that kubelets ask for",
    )]
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
