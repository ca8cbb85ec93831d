//! What certificates cost the users of the system, each with a control that must fail for a named reason.

use std::time::Duration;

use notafter::{
    check::{self, Check},
    fault::{Flaw, Which, expired, flawed, rotated},
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::{Aftermath, Repair, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use crate::{
    SERVERS,
    system::{EDGE, MESH, system, users},
};

/// Who holds a certificate of the mesh.
const HOLDERS: [&str; 5] = ["postgres", "nats", "keeper", "records", "nginx"];
/// What users may notice of a reload on a busy machine.
const HICCUP: Duration = Duration::from_secs(1);
/// A look of a service at its server, and one of the harness at the service.
const NOTICED: Duration = Duration::from_secs(2);
/// Two handshakes on the way, on a busy machine.
const RECOVERED: Duration = Duration::from_secs(10);
/// How long is watched.
const WATCHED: Duration = Duration::from_secs(2);

/// Every scenario of this crate, each before its control.
pub fn templates() -> Vec<Template> {
    let template = |name: &str, about, build| Template { name: name.into(), about, system, build };
    vec![
        template(
            "mixed/postgres-expired",
            "PostgreSQL's certificate has expired, and its connections are cut: nothing is lost",
            |system, _| postgres_expired(system),
        ),
        template(
            "control-of/mixed-postgres-expired",
            "the same where a record is acknowledged before it is stored",
            |system, _| {
                let system = system.with("records", "acknowledges_early", true);
                postgres_expired(system).failing(&["nothing-lost"])
            },
        ),
        template(
            "mixed/nginx-expired",
            "the certificate that users meet has expired: nobody gets in, and nothing is lost",
            |system, _| nginx_expired(system),
        ),
        template(
            "control-of/mixed-nginx-expired",
            "the same where nginx asks nobody for a certificate",
            |system, _| {
                let system = system.with("nginx", "verify_clients", "off");
                nginx_expired(system).failing(&["nothing-accepted-unauthenticated"])
            },
        ),
        template(
            "mixed/authority-rotated",
            "the root of the mesh is replaced: users notice the reloads of nginx, and no more",
            |system, _| authority_rotated(system),
        ),
        template("control-of/mixed-authority-rotated", "the same without overlap", |system, _| {
            pulled_early(system).failing(&["outage-within"])
        }),
    ]
}

/// What is wrong in each control, for `notafter zoo`.
pub fn zoo() -> Vec<Specimen> {
    let specimen = |name: &str, defect: &str| Specimen {
        defect: defect.into(),
        control: format!("control-of/mixed-{name}"),
        sound: format!("mixed/{name}"),
        seen: Vec::new(),
    };
    vec![
        specimen("postgres-expired", "records acknowledges before it stores"),
        specimen("nginx-expired", "nginx asks nobody for a certificate"),
        specimen("authority-rotated", "the root of the mesh is replaced without overlap"),
    ]
}

/// `mesh root -> issuing -> [postgres]`: the leaf, and only the leaf, has expired; then `PostgreSQL` is restarted,
/// which cuts the connections that its clients keep.
fn postgres_expired(system: System) -> Scenario {
    Scenario {
        about: "The leaf of PostgreSQL has expired: root -> issuing -> [postgres]; then it is restarted, which \
                cuts the connections that its clients keep. Nothing can be published or read until there is a \
                new one, and nothing that was acknowledged is lost."
            .into(),
        faults: vec![expired(Which::Served("postgres".into()))],
        aftermath: Aftermath::RefreshExpired,
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(RECOVERED),
        ]),
        ..base(system, rotate(&["postgres"]))
    }
}

/// `edge root -> issuing -> [nginx]`: the leaf that users meet has expired, and only it. The certificate that
/// nginx shows behind is another one.
fn nginx_expired(system: System) -> Scenario {
    Scenario {
        about:
            "The leaf that users meet at nginx has expired: root -> issuing -> [nginx]. Nobody gets in until \
                there is a new one, which nginx takes on SIGHUP; nothing that was acknowledged is lost."
                .into(),
        faults: vec![expired(Which::Mounted("nginx".into(), EDGE.into()))],
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(RECOVERED),
        ]),
        ..base(system, rotate(&["nginx"]))
    }
}

/// `[mesh root] -> [issuing] -> [postgres], [nats], [keeper], [records], [nginx]`: everything is replaced, and
/// nothing is wrong: the new root is trusted before anybody shows it, the old one until nobody does.
fn authority_rotated(system: System) -> Scenario {
    Scenario {
        about: "The root of the mesh is replaced with overlap: trusted before it is shown, and the old one until \
                nobody shows it. PostgreSQL, NATS and nginx take each step on SIGHUP, at which nginx closes \
                connections under requests that are on their way."
            .into(),
        faults: vec![rotated(MESH, true)],
        checks: checks([check::outage_within(HICCUP)]),
        ..base(system, Runbook::new())
    }
}

/// `[mesh root] -> issuing -> postgres, nats, keeper, records, nginx`: everybody trusts the next root alone, and
/// still shows a leaf of the old one; then all are restarted.
fn pulled_early(system: System) -> Scenario {
    let early = |holder: &str| flawed(Which::Mounted(holder.into(), MESH.into()), Flaw::OldRootPulledEarly);
    Scenario {
        about:
            "Everybody in the mesh trusts the next root alone while all still show leaves of the old one: \
                [root] -> issuing -> leaf; then all are restarted, which cuts connections."
                .into(),
        faults: HOLDERS.map(early).into(),
        aftermath: Aftermath::RestartBroken,
        checks: checks([check::outage_within(HICCUP), check::recovers_within(RECOVERED)]),
        ..base(system, rotate(&HOLDERS))
    }
}

fn base(system: System, repair: Runbook) -> Scenario {
    Scenario {
        workload: users(),
        servers: SERVERS.into(),
        observe: Span(WATCHED),
        stability: Span(Duration::from_secs(1)),
        repair: Repair::by(repair),
        ..Scenario::new("", system)
    }
}

/// With the controls that every scenario has, and what holds whatever breaks.
fn checks(own: impl IntoIterator<Item = Box<dyn Check>>) -> Vec<Box<dyn Check>> {
    let always =
        [check::steady(), check::landed(), check::nothing_lost(), check::nothing_accepted_unauthenticated()];
    always.into_iter().chain(own).collect()
}

/// New leaves, which everybody takes when they are there.
fn rotate(whose: &[&str]) -> Runbook {
    let rotate = |book: Runbook, holder: &&str| book.then(Step::Rotate { service: (*holder).into() });
    whose.iter().fold(Runbook::new(), rotate)
}
