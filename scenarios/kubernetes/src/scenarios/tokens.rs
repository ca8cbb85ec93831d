//! The key that signs the tokens of service accounts is replaced: with overlap, and in one step.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, signing_key_replaced, signing_key_rotated},
    runbook::{Runbook, Step},
    runtime::kubernetes::ACCOUNTS,
    scenario::{Limits, Scenario},
    suite::{Settings, Specimen, Template},
    system::{Span, System},
};

use super::{NOTICED, base, checks, mistaken, rotate, specimen, template};
use crate::{
    judging::{only_these_fail, these_pause_within},
    operator::FRESH_TOKENS,
    system::{NAMES, OPERATIONS, named, users_of_named},
};

/// While the one API server is restarted nobody is answered, and a busy machine is slow at it.
const PAUSE: Duration = Duration::from_secs(30);
/// Cluster DNS asks an API server that was away again after up to a minute: it waits for twice as long each time, from
/// 0.8 s up to 30 s, and for up to as long again.
const HEARD: Duration = Duration::from_mins(3);
/// By then it has asked again, and is told that it is nobody.
const ASKED_AGAIN: Duration = Duration::from_secs(75);
/// Until controllers lead again after a restart of the API server, and have made what they had not.
const MADE: Duration = Duration::from_secs(45);
/// After that only what does not come back by itself is down.
const ONLY_NAMES: Duration = Duration::from_secs(45);
/// Until cluster DNS has a new pod.
const REPLACED: Duration = Duration::from_secs(30);

pub(super) fn templates() -> Vec<Template> {
    vec![
        of_named(
            "kubernetes/signing-key-replaced",
            "the key that signs tokens is replaced in one step: no new Service has a name",
            |system, _| replaced(system, Runbook::new().then(fresh_tokens())),
        ),
        of_named(
            "control-of/kubernetes-signing-key",
            "the same, and certificates are renewed in place of tokens",
            |system, _| mistaken(replaced(system, rotate(&["api"])), REPLACED),
        ),
        of_named(
            "kubernetes/signing-key-rotated",
            "the key that signs tokens is replaced with overlap: whoever holds one gets another in time",
            |system, _| rotated(system, Runbook::new().then(fresh_tokens()), HEARD),
        ),
        of_named(
            "control-of/kubernetes-signing-key-overlap",
            "the same, and the old key is trusted no more before anybody has another token",
            |system, _| mistaken(rotated(system, Runbook::new(), ASKED_AGAIN), ASKED_AGAIN),
        ),
    ]
}

pub(super) fn zoo() -> Vec<Specimen> {
    vec![
        specimen(
            "signing-key",
            "signing-key-replaced",
            "certificates are renewed where whoever holds an old token has to be replaced",
        ),
        specimen(
            "signing-key-overlap",
            "signing-key-rotated",
            "the overlap of two keys ends before tokens are replaced",
        ),
    ]
}

fn of_named(name: &str, about: &'static str, build: fn(System, &Settings) -> Scenario) -> Template {
    Template { system: named, ..template(name, about, build) }
}

fn fresh_tokens() -> Step {
    Step::AskForRestart {
        title: "replace the pods that hold a token".into(),
        service: "operator".into(),
        path: FRESH_TOKENS.into(),
    }
}

/// `[service-accounts]`: the key is another one, and no certificate is touched. The API server refuses every token of
/// before. Controllers ask for another one at once; a pod has its own until its kubelet replaces that, after most of
/// an hour. Cluster DNS goes on to answer what it knows.
fn replaced(system: System, repair: Runbook) -> Scenario {
    Scenario {
        about: "The key that signs the tokens of service accounts is replaced in one step, and the API server is \
                restarted: [service-accounts]. No certificate is touched, the API answers, every node is ready, new \
                pods run. Cluster DNS holds a token that is refused now: it answers for every Service that it knows, \
                and never hears of a new one."
            .into(),
        observe: Span(ONLY_NAMES),
        checks: checks([
            only_these_fail(&[NAMES], &["deploy"]),
            these_pause_within(&OPERATIONS, MADE),
            check::detected_within(NOTICED),
            check::recovers_within(REPLACED),
        ]),
        ..of_users(system, signing_key_replaced(ACCOUNTS), repair)
    }
}

/// `[service-accounts]`: as [`replaced`], in three steps. The new key signs, and both are trusted; whoever holds a
/// token gets a new one; the old key is trusted no more.
fn rotated(system: System, between: Runbook, heard: Duration) -> Scenario {
    let steady: Vec<&'static str> = OPERATIONS.into_iter().filter(|name| *name != "deploy").collect();
    let scenario = of_users(system, signing_key_rotated(ACCOUNTS, between), Runbook::new());
    Scenario {
        about: "The key that signs the tokens of service accounts is replaced as the book has it: [service-accounts]. \
                The API server signs with the new key and trusts both, pods that hold a token are replaced, and then \
                it trusts the new one alone. It is restarted for both, and whoever watches it asks again a while \
                later; then everything works, new names as well."
            .into(),
        checks: checks([these_pause_within(&steady, PAUSE), check::recovers_within(heard)]),
        ..scenario
    }
}

fn of_users(system: System, fault: Box<dyn AnyFault>, repair: Runbook) -> Scenario {
    let scenario = base(system, repair);
    Scenario {
        workload: users_of_named(),
        faults: vec![fault],
        limits: Limits { landed: Duration::from_mins(3), ..scenario.limits },
        ..scenario
    }
}
