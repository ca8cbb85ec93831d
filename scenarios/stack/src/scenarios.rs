//! Scenarios of the reference system alone: one leaf, and a switched-on defect for each check that
//! must catch it.

use std::time::Duration;

use notafter::{
    check::{self, Expect},
    fault::{Which, expire, run_out},
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::{Repair, Scenario},
    suite::{Settings, Specimen, Template},
    system::{Span, System},
};

use crate::defects;

/// Every scenario of this crate.
pub fn templates() -> Vec<Template> {
    let template = |name: &str, about, system, build| Template { name: name.into(), about, system, build };
    vec![
        template("stack/one-leaf", "the manager's certificate expires: the smallest run", pair, one_leaf),
        template(
            "stack/spool",
            "the archive is away, ingest is restarted: nothing is lost",
            crate::system,
            spool,
        ),
        template("stack/open-connections", "a certificate ends under open connections", crate::system, open),
        template("control/fails-open", "archive lets in anybody", crate::system, |system, settings| {
            control(one_leaf(system.with("archive", "fails_open", true), settings), settings, |name| {
                name == "nothing-accepted-unauthenticated"
            })
        }),
        template("control/loses-spool", "ingest forgets its spool", crate::system, |system, settings| {
            control(spool(system.with("ingest", "loses_spool", true), settings), settings, |name| {
                name == "nothing-lost"
            })
        }),
        template(
            "control/acknowledges-early",
            "ingest acknowledges first",
            crate::system,
            |system, settings| {
                let system = system.with("ingest", "acknowledges_before_it_stores", true);
                control(spool(system, settings), settings, |name| name == "nothing-lost")
            },
        ),
        template("control/pools-past-expiry", "archive ignores expiry", crate::system, |system, settings| {
            let system = system.with("archive", "pools_past_expiry", true);
            control(open(system, settings), settings, |name| name == "no-connection-outlives-expiry")
        }),
    ]
}

/// The defects of the controls.
pub fn zoo() -> Vec<Specimen> {
    let specimen = |defect: &str, control: &str, sound: &str| Specimen {
        defect: defect.into(),
        control: format!("control/{control}"),
        sound: format!("stack/{sound}"),
        seen: Vec::new(),
    };
    vec![
        specimen("archive lets in anybody, under an expired manager", "fails-open", "one-leaf"),
        specimen("ingest forgets its spool", "loses-spool", "spool"),
        specimen("ingest acknowledges before it stores", "acknowledges-early", "spool"),
        Specimen {
            seen: defects::seen(
                &crate::system().with("archive", "pools_past_expiry", true),
                &crate::system(),
            ),
            ..specimen("archive ignores expiry on open connections", "pools-past-expiry", "open-connections")
        },
    ]
}

/// The smallest system with a hop: the manager, and a service that needs nothing else.
fn pair() -> System {
    let mut system = crate::system();
    system.name = "pair".into();
    system.services.retain(|service| ["manager", "archive"].contains(&service.name.as_str()));
    system
}

/// The certificate that `manager` presents has expired: `root -> issuing -> manager`, the leaf, and
/// only the leaf. The undo of the fault heals it.
fn one_leaf(system: System, _: &Settings) -> Scenario {
    Scenario {
        about: "The leaf that the manager presents has expired: root -> issuing -> manager, and only \
                the leaf. Nothing renews it."
            .into(),
        workload: crate::nobody(),
        faults: vec![expire("manager")],
        observe: Span(Duration::from_millis(100)),
        stability: Span(Duration::from_millis(200)),
        repair: Repair::by(
            Runbook::new()
                .then(Step::Rotate { service: "manager".into() })
                .then(Step::RestartEach { services: vec!["manager".into()] }),
        ),
        checks: vec![
            check::steady(),
            check::landed(),
            check::refused(Refusal::Expired),
            check::recovers_within(Duration::from_secs(5)),
            check::nothing_accepted_unauthenticated(),
        ],
        ..Scenario::new("", without_renewal(system))
    }
}

/// The certificate that `archive` presents has expired, so records wait in the spool of `ingest`,
/// which is then restarted: `root -> issuing -> archive`, the leaf, and only the leaf.
fn spool(system: System, _: &Settings) -> Scenario {
    let restart = |service: &str| Step::RestartEach { services: vec![service.into()] };
    // A connection that the processor kept from before would carry records past the expiry.
    Scenario {
        about: "The leaf that the archive presents has expired, and ingest is restarted while records \
                wait in its spool: root -> issuing -> archive, and only the leaf."
            .into(),
        workload: crate::workload(),
        faults: vec![expire("archive")],
        observe: Span(Duration::from_secs(2)),
        // Ingest first, while its spool is full.
        repair: Repair::by(
            Runbook::new()
                .then(Step::RestartAll { services: vec!["ingest".into()] })
                .then(restart("archive")),
        ),
        checks: vec![
            check::steady(),
            check::landed(),
            check::refused(Refusal::Expired),
            check::nothing_lost(),
            check::nothing_duplicated(),
            check::nothing_accepted_unauthenticated(),
        ],
        ..Scenario::new("", without_renewal(system).with("processor", "pool", false))
    }
}

/// The certificate that `archive` presents reaches its end while connections to it are open.
fn open(system: System, _: &Settings) -> Scenario {
    let (age, lead) = (Duration::from_secs(2), Duration::from_secs(3));
    Scenario {
        about: "The leaf that the archive presents ends while connections are open: root -> issuing -> \
                archive, and only the leaf. Open connections must end with it."
            .into(),
        workload: crate::nobody(),
        ask_open_connections: true,
        faults: vec![run_out(Which::Served("archive".into()), age, lead)],
        observe: Span(Duration::from_secs(2)),
        repair: Repair::by(Runbook::new().then(Step::RestartEach { services: vec!["archive".into()] })),
        checks: vec![
            check::steady(),
            check::landed(),
            check::refused(Refusal::Expired),
            check::no_connection_outlives_expiry(Duration::from_secs(1)),
            check::nothing_accepted_unauthenticated(),
        ],
        ..Scenario::new("", without_renewal(system))
    }
}

/// The same scenario on a system with a defect: exactly the checks that are named for it must fail.
fn control(scenario: Scenario, _: &Settings, caught_by: fn(&str) -> bool) -> Scenario {
    let names = scenario.checks.iter().map(|check| check.name().to_owned());
    let failing = names.filter(|name| caught_by(name)).collect();
    Scenario { expect: Expect::Fail(failing), ..scenario }
}

/// Nobody repairs before the runbook does.
fn without_renewal(mut system: System) -> System {
    for service in &mut system.services {
        service.settings.insert("renewal".into(), false.into());
    }
    system
}
