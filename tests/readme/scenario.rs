use notafter::{
    check, fault,
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::{Repair, Scenario},
    suite::{Suite, Template},
};
use std::time::Duration;

pub fn suite() -> Suite {
    Suite { templates: vec![archive_expires()], ..stack::suite() }
}

/// `root -> issuing -> archive`: the leaf, and only the leaf, has expired.
fn archive_expires() -> Template {
    Template {
        name: "mine/archive-expires".into(),
        about: "the certificate that archive presents has expired",
        system: stack::system,
        build: |system, _settings| Scenario {
            workload: stack::workload(),
            faults: vec![fault::expire("archive")],
            repair: Repair::by(
                Runbook::new()
                    .then(Step::Rotate { service: "archive".into() })
                    .then(Step::RestartEach { services: vec!["archive".into()] }),
            ),
            checks: vec![
                check::steady(),
                check::landed(),
                check::refused(Refusal::Expired),
                check::recovers_within(Duration::from_secs(2)),
                check::nothing_lost(),
            ],
            ..Scenario::new("mine/archive-expires", system)
        },
    }
}
