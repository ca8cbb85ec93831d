//! Certificates between the API server and what extends it: an API of somebody else's, and a webhook that is asked
//! about every new pod.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, Flaw, Which, expired, flawed},
    history::Refusal,
    runbook::Runbook,
    scenario::{Aftermath, Scenario},
    suite::{Settings, Specimen, Template},
    system::{Span, System},
};

use super::{NOTICED, base, checks, mistaken, mounted, rotate, specimen, template};
use crate::{
    judging::only_these_fail,
    system::{EXTENDED, SERVING, extended, users_of_extended},
};

/// Until whoever began to make a Deployment before the fault, and the one after him, have given up.
const TWO_DEPLOYMENTS: Duration = Duration::from_secs(22);
/// The API server asks again whether an extension is there after up to 30 s, and passes nothing on before.
const ASKED_AGAIN: Duration = Duration::from_secs(50);
const EXTENSION: &str = "extension";
const API: &str = "api";

pub(super) fn templates() -> Vec<Template> {
    vec![
        of_extended(
            "kubernetes/front-proxy-expired",
            "what the API server shows to an extension has expired: that API is down, and no other",
            |system, _| front_proxy(system, rotate(&[API])),
        ),
        of_extended(
            "control-of/kubernetes-front-proxy",
            "the same, and what the extension presents is renewed by mistake",
            |system, _| mistaken(front_proxy(system, rotate(&[EXTENSION])), ASKED_AGAIN),
        ),
        of_extended(
            "kubernetes/webhook-expired",
            "what an extension presents has expired: its API is down, and no pod can be made",
            |system, _| serving(system, rotate(&[EXTENSION])),
        ),
        of_extended(
            "control-of/kubernetes-webhook",
            "the same, and what the API server shows is renewed by mistake",
            |system, _| mistaken(serving(system, rotate(&[API])), ASKED_AGAIN),
        ),
        of_extended(
            "kubernetes/webhook-root-expired",
            "the root that the API server is told to trust has expired: no pod can be made",
            |system, _| mistrusted(system, Flaw::RootExpired, rotate(&[EXTENSION])),
        ),
        of_extended(
            "control-of/kubernetes-webhook-root",
            "the same, and what the API server shows is renewed by mistake",
            |system, _| mistaken(mistrusted(system, Flaw::RootExpired, rotate(&[API])), ASKED_AGAIN),
        ),
        of_extended(
            "kubernetes/webhook-root-foreign",
            "the API server is told to trust the next root before anybody shows it: no pod can be made",
            |system, _| mistrusted(system, Flaw::OldRootPulledEarly, rotate(&[EXTENSION])),
        ),
        of_extended(
            "control-of/kubernetes-webhook-foreign",
            "the same, and what the API server shows is renewed by mistake",
            |system, _| mistaken(mistrusted(system, Flaw::OldRootPulledEarly, rotate(&[API])), ASKED_AGAIN),
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen(
            "front-proxy",
            "front-proxy-expired",
            "what an extension presents is renewed in place of what the API server shows to it",
        ),
        specimen(
            "webhook",
            "webhook-expired",
            "what the API server shows is renewed in place of what a webhook presents",
        ),
        specimen(
            "webhook-root",
            "webhook-root-expired",
            "the API server goes on to trust a root that has expired",
        ),
        specimen(
            "webhook-foreign",
            "webhook-root-foreign",
            "the API server goes on to trust a root of nobody",
        ),
    ]
}

fn of_extended(name: &str, about: &'static str, build: fn(System, &Settings) -> Scenario) -> Template {
    Template { system: extended, ..template(name, about, build) }
}

/// `front-proxy-ca -> [API server, as a client of extensions]`: the leaf has expired, and it only. The API server
/// reads a new file by itself, good or bad, and shows it with the next connection. A webhook is shown none.
fn front_proxy(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The leaf that the API server shows to extensions has expired: front-proxy-ca -> [API server]. The \
                extension refuses it, so its API is down. Webhooks are shown no certificate, and everything else \
                works."
            .into(),
        faults: vec![expired(mounted(API, "front-proxy-client"))],
        checks: checks([
            check::refused(Refusal::Expired),
            only_these_fail(&[EXTENDED], &[]),
            check::detected_within(NOTICED),
            check::recovers_within(ASKED_AGAIN),
        ]),
        ..of_users(system, repair)
    }
}

/// `front-proxy-ca -> [extension]`: the leaf has expired, and it only; the extension is restarted, which cuts the
/// connections that the API server has. Its webhook must be asked about every new pod, so there is none any more.
fn serving(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The leaf that an extension presents has expired, and it is restarted: front-proxy-ca -> [extension]. \
                The API server passes nothing on to it. Its webhook has to be asked about every new pod, so no pod \
                can be made in the whole cluster; those that run run on."
            .into(),
        faults: vec![expired(Which::Served(EXTENSION.into()))],
        aftermath: Aftermath::RestartBroken,
        observe: Span(TWO_DEPLOYMENTS),
        checks: checks([
            check::refused(Refusal::Expired),
            only_these_fail(&[EXTENDED, "deploy"], &[]),
            check::detected_within(NOTICED),
            check::recovers_within(ASKED_AGAIN),
        ]),
        ..of_users(system, repair)
    }
}

/// `[front-proxy-ca] -> extension`: every leaf is good; the extension has the wrong root beside it, and tells the API
/// server to trust that one: the `caBundle` of its webhook and of its API.
fn mistrusted(system: System, flaw: Flaw, repair: Runbook) -> Scenario {
    let fault: Box<dyn AnyFault> = flawed(mounted(EXTENSION, SERVING), flaw);
    Scenario {
        about: "The root in the `caBundle` of a webhook and of an API has expired, or is the next one, of which nobody \
                shows a certificate yet: [front-proxy-ca] -> extension. Every leaf is good, and the API server refuses \
                them. It has to ask the webhook about every new pod, so no pod can be made in the whole cluster."
            .into(),
        faults: vec![fault],
        aftermath: Aftermath::RestartBroken,
        observe: Span(TWO_DEPLOYMENTS),
        checks: checks([
            only_these_fail(&[EXTENDED, "deploy"], &[]),
            check::detected_within(NOTICED),
            check::recovers_within(ASKED_AGAIN),
        ]),
        ..of_users(system, repair)
    }
}

fn of_users(system: System, repair: Runbook) -> Scenario {
    Scenario { workload: users_of_extended(), ..base(system, repair) }
}
