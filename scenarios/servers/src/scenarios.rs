//! What an expired certificate of each server costs its users, each with a control that must fail.

use std::time::Duration;

use notafter::{
    check,
    fault::{Which, expired},
    history::Refusal,
    prober::Pace,
    profile::Server,
    runbook::{Runbook, Step},
    scenario::{Limits, Repair, Scenario},
    suite::{Specimen, Template},
    system::{Reload, Span, System},
};

use crate::{
    SERVERS,
    system::{self, VISITOR, users},
};

/// From the fault to the first look at the server, on a busy machine.
const NOTICED: Duration = Duration::from_secs(5);
/// From a new file to the first user who is served, on a busy machine.
const RECOVERED: Duration = Duration::from_secs(5);
/// How long is watched where it shows at once, and how long all must be well.
const WATCHED: Duration = Duration::from_millis(500);

/// The system of one of the servers, by its place in [`SERVERS`].
pub fn system<const N: usize>() -> System {
    system::with(&SERVERS[N])
}

/// The scenarios of one of the servers: the sound one before its control.
pub fn templates<const N: usize>() -> Vec<Template> {
    let template = |name: String, about, build| Template { name, about, system: system::<N>, build };
    let Server { name, ways, .. } = SERVERS[N];
    vec![
        template(
            sound(name),
            "its certificate has expired: nobody is served until it has a new one, and uses it",
            |system, _| leaf_expired(system, &SERVERS[N], SERVERS[N].name),
        ),
        template(
            control(name),
            match ways {
                [] => "the same, and the certificate of another one is renewed by mistake",
                _ => "the same, and nobody tells it that there are new files",
            },
            |system, _| mistaken(system, &SERVERS[N]),
        ),
    ]
}

/// What is wrong in the control of one of the servers, for `notafter zoo`.
pub fn specimen<const N: usize>() -> Specimen {
    let Server { name, .. } = SERVERS[N];
    Specimen { defect: mistake(&SERVERS[N]), control: control(name), sound: sound(name), seen: Vec::new() }
}

fn sound(name: &str) -> String {
    format!("servers/{name}-expired")
}

fn control(name: &str) -> String {
    format!("control-of/servers-{name}-expired")
}

/// `root -> issuing -> [redis]`, and so for each server: the leaf, and only the leaf, has expired while it runs.
/// Whoever connects is refused by himself. The repair is a new leaf, and that the server is told in its own way.
fn leaf_expired(system: System, server: &Server, renewed: &str) -> Scenario {
    let Server { name, .. } = server;
    Scenario {
        about: format!(
            "The leaf of {name} has expired while it runs: root -> issuing -> [{name}]. Whoever connects refuses \
             it until there is a new one, and {name} uses it. Nobody is served without a valid certificate."
        ),
        workload: users(),
        pace: Pace { every: Span(Duration::from_millis(50)), handshakes: 20, tries: 20, ..Pace::default() },
        servers: vec![*server],
        faults: vec![expired(Which::Served((*name).into()))],
        observe: Span(WATCHED),
        stability: Span(WATCHED),
        repair: Repair::by(Runbook::new().then(Step::Rotate { service: renewed.into() })),
        limits: Limits { recover: RECOVERED + 2 * WATCHED, ..Limits::default() },
        checks: vec![
            check::steady(),
            check::landed(),
            check::nothing_accepted_unauthenticated(),
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(RECOVERED),
        ],
        ..Scenario::new("", system)
    }
}

/// The disk is renewed, and the process is stale: whoever put the expired leaf there told the server, and
/// whoever puts the good one there does not. One that reads its files for each handshake needs nobody who
/// tells it; there the wrong certificate is renewed.
fn mistaken(mut system: System, server: &Server) -> Scenario {
    let renewed = if server.ways.is_empty() { VISITOR } else { server.name };
    for service in system.services.iter_mut().filter(|one| one.name == renewed) {
        service.reload = Reload::OnSignal;
    }
    let scenario = leaf_expired(system, server, renewed).failing(&["recovers-within"]);
    Scenario { about: format!("{} Here {}.", scenario.about, mistake(server)), ..scenario }
}

fn mistake(server: &Server) -> String {
    match server {
        Server { ways: [], name, .. } => format!("the visitor's certificate is renewed in place of {name}'s"),
        Server { name, .. } => format!("nobody tells {name} that there are new files"),
    }
}
