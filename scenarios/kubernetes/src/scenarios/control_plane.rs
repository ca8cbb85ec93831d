//! Certificates of the control plane: what the API server and etcd present, and what controllers show.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, Which, expired, rolled_out},
    history::Refusal,
    runbook::Runbook,
    scenario::{Aftermath, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use super::{
    BACK, NOTICED, RELOADED, base, checks, failing, mistaken, mounted, restart, rotate, specimen, template,
    unseen,
};
use crate::judging::only_these_fail;

/// Until whoever began to make a Deployment before the fault, and the one after him, have given up.
const TWO_DEPLOYMENTS: Duration = Duration::from_secs(22);
/// Until whoever asks the API server has given up, when that waits for etcd.
const GIVEN_UP: Duration = Duration::from_secs(9);
const CONTROLLERS: [&str; 2] = ["controller-manager", "scheduler"];

pub(super) fn templates() -> Vec<Template> {
    vec![
        template(
            "kubernetes/api-expired",
            "the certificate of the API server has expired: nobody gets in, and a new file is enough",
            |system, _| api_serving(system, rotate(&["api"])),
        ),
        template(
            "control-of/kubernetes-api",
            "the same, and the certificate of etcd is renewed by mistake",
            |system, _| mistaken(api_serving(system, rotate(&["etcd"])), RELOADED),
        ),
        template(
            "kubernetes/controllers-sleep",
            "what controllers show has expired: the cluster looks well, and nothing new comes up",
            |system, _| controllers_sleep(system, &CONTROLLERS),
        ),
        template(
            "control-of/kubernetes-controllers-sleep",
            "the same, and only the scheduler's is renewed by mistake",
            |system, _| mistaken(controllers_sleep(system, &CONTROLLERS[1..]), BACK),
        ),
        template(
            "control-of/kubernetes-looks-well",
            "the same, and what the kubelet of a worker presents has expired, too",
            |system, _| {
                let mut scenario = controllers_sleep(system, &CONTROLLERS);
                let kubelet = "kubelet-worker-1";
                scenario.faults.push(rolled_out(expired(Which::Served(kubelet.into())), kubelet));
                let all = [kubelet, CONTROLLERS[0], CONTROLLERS[1]];
                scenario.repair.runbook = rotate(&all).then(restart(&all));
                failing(scenario, &["only-these-fail"])
            },
        ),
        template(
            "kubernetes/etcd-expired",
            "what etcd and the API server show to each other has expired, and etcd is restarted: no API",
            |system, _| etcd(system, rotate(&["etcd", "api"])),
        ),
        template(
            "control-of/kubernetes-etcd",
            "the same, and only the API server's are renewed by mistake",
            |system, _| mistaken(etcd(system, rotate(&["api"])), BACK),
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen("api", "api-expired", "the certificate of etcd is renewed in place of the API server's"),
        specimen(
            "controllers-sleep",
            "controllers-sleep",
            "of two controllers only the scheduler's is renewed",
        ),
        specimen(
            "looks-well",
            "controllers-sleep",
            "a kubelet presents an expired leaf beside sleeping controllers",
        ),
        specimen("etcd", "etcd-expired", "the API server's certificates are renewed in place of etcd's"),
    ]
}

/// `kubernetes -> [api]`: the leaf that the API server presents has expired, and it only. Whoever has a
/// connection keeps it, and nobody gets another one. The server reads the file again by itself, good or bad.
fn api_serving(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The leaf that the API server presents has expired: kubernetes -> [api]. Controllers and kubelets \
                go on over connections that they have; whoever comes anew is refused by himself."
            .into(),
        faults: vec![expired(Which::Served("api".into()))],
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(RELOADED),
        ]),
        ..base(system, repair)
    }
}

/// `kubernetes -> [controller-manager], [scheduler]`: the leaves in the kubeconfigs of both have expired, and they
/// only; both read them at their start. The API server lets in neither, and everything that runs runs on.
fn controllers_sleep(system: System, repaired: &[&str]) -> Scenario {
    let sleeps = |name: &str| rolled_out(expired(mounted(name, "kubeconfig")), name);
    Scenario {
        about: "The leaves that controller-manager and scheduler show have expired, and both are restarted: \
                kubernetes -> [controller-manager], [scheduler]. The API server refuses both. All that runs runs \
                on, every node is ready, logs and exec work; and no new Deployment ever gets a pod."
            .into(),
        faults: CONTROLLERS.map(sleeps).into(),
        observe: Span(TWO_DEPLOYMENTS),
        checks: checks([
            only_these_fail(&["deploy"], &[]),
            check::recovers_within(BACK),
        ]),
        ..base(system, rotate(repaired).then(restart(repaired)))
    }
}

/// `etcd-ca -> [etcd server], [etcd peer], [healthcheck client], [API server as a client]`: all leaves under the
/// authority of etcd have expired, and etcd is restarted, which cuts the connection that the API server has.
fn etcd(system: System, repair: Runbook) -> Scenario {
    let mut faults: Vec<Box<dyn AnyFault>> = vec![expired(Which::Served("etcd".into()))];
    faults.extend(unseen(&[("etcd", "peer"), ("etcd", "healthcheck-client"), ("api", "etcd-client")]));
    Scenario {
        about: "All leaves under the authority of etcd have expired: etcd-ca -> [server], [peer], [API server as a \
                client]; and etcd is restarted, which cuts the connection that the API server has. No API works; \
                pods and Services do."
            .into(),
        faults,
        aftermath: Aftermath::RestartBroken,
        observe: Span(GIVEN_UP),
        checks: checks([
            check::refused(Refusal::Expired),
            only_these_fail(&["api", "nodes", "logs", "exec"], &["deploy", "service"]),
            check::detected_within(NOTICED),
            check::recovers_within(BACK),
        ]),
        ..base(system, repair)
    }
}
