//! The authority of the cluster is replaced: with overlap, and in one step.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, replaced_at_once, rotated_restarting},
    runbook::Runbook,
    runtime::kubernetes::CLUSTER_CA,
    scenario::{Limits, Scenario},
    suite::{Specimen, Template},
    system::Span,
};

use super::{base, checks, failing, restart, specimen, template};
use crate::judging::these_pause_within;

/// While the one API server is restarted nobody is answered, and a busy machine is slow at it.
const PAUSE: Duration = Duration::from_secs(30);
/// Nothing new runs from the first restart of controllers until the last of them leads, which waits for a lease each
/// time.
const ROTATED: Duration = Duration::from_mins(3);
/// Until controllers have lost their leases and lead again, which is when they begin to count how long a node has
/// said nothing, and until users have seen for a while that it is lost.
const LOST: Duration = Duration::from_secs(54);
const API: &[&str] = &["api"];
/// Who reads the root or what it shows at its start only: a kubeconfig, or what is presented to those who call by
/// address.
const OTHERS: &[&str] = &["controller-manager", "scheduler", "kubelet-control-plane", "kubelet-worker-1"];

pub(super) fn templates() -> Vec<Template> {
    vec![
        template(
            "kubernetes/authority-rotated",
            "the root of the cluster is replaced with overlap, and restarts for each step: no node is lost",
            |system, _| {
                let rotated = rotated_restarting(CLUSTER_CA, &[API, OTHERS]);
                replaced(base(system, Runbook::new()), rotated)
            },
        ),
        template(
            "control-of/kubernetes-authority",
            "the same without overlap: no logs, no exec, and in the end no node, until everybody is restarted",
            |system, _| {
                let repaired = base(system, Runbook::new().then(restart(API)).then(restart(OTHERS)));
                let watched = Scenario { observe: Span(LOST), ..repaired };
                failing(replaced(watched, replaced_at_once(CLUSTER_CA)), &["these-pause-within"])
            },
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![specimen("authority", "authority-rotated", "the root of the cluster is replaced without overlap")]
}

/// `[kubernetes] -> [everything under it]`: the root is replaced, and nothing is wrong with it. API server and
/// kubelets read again by themselves whom they trust as clients; whom a client trusts, what a kubeconfig has in it,
/// and whom the API server trusts as a kubelet is read at the start.
fn replaced(repaired: Scenario, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        about: "The root of the cluster is replaced: [kubernetes] -> [API server], [kubelets], [controllers], \
                [people]. With overlap it is trusted before anybody shows it, and the old one until nobody does; \
                the API server, and then everybody who reads a kubeconfig at the start, is restarted for each step. \
                Nothing is wrong with any certificate."
            .into(),
        faults: vec![fault],
        checks: checks([
            these_pause_within(&["api", "nodes", "logs", "exec", "traffic"], PAUSE),
            check::outage_within(ROTATED),
        ]),
        limits: Limits { landed: Duration::from_mins(3), ..repaired.limits },
        ..repaired
    }
}
