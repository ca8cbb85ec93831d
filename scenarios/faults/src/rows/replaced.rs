//! A good certificate takes the place of another: it counts when it is on the wire, and stays there.

use notafter::{
    fault::{Which, renewed, rolled_out, run_out},
    pki::Manner,
    runbook::Step,
    scenario::Scenario,
    suite::{Specimen, Template},
    system::{Reload, System},
};

use super::Row;
use crate::shape::{
    AGE, LEAD, botched, near, renewed_in_time, replaced, rotated_under_load, trio, with, with_all,
};

pub fn rows() -> Vec<Row> {
    rows! {
        "replaced", "the certificate of archive is replaced by another good one, twice", trio,
        |system| replaced(system, renewed(Which::Served("archive".into()))),
        control: "archive uses what it finds seconds later", |system| with(system, "archive", "reloads_late"),
        ["in-use-within"],
        and "status-runs-ahead": "archive says that it uses what it does not use yet",
        |system| with(system, "archive", "status_runs_ahead"), ["says-what-it-serves"],
        and "old-one-returns": "archive goes back to its first certificate",
        |system| with(system, "archive", "resurrects_an_old_one"), ["nothing-old-returns"];
        "botched-renewal", "people put the key of another certificate beside a new one, and then a good pair", trio,
        |system| botched(system, renewed(Which::Served("archive".into()))),
        control: "archive is silent about what it rejects",
        |system| with(system, "archive", "silent_about_refusals"), ["says-what-it-rejects"];
        "renewed-after-roll-out", "the certificate of manager nears its end after a roll-out, and is renewed in time",
        trio,
        |system| {
            let renew = Step::Renew { service: "manager".into(), manner: Manner::Swap };
            renewed_in_time(system, rolled_out(near("manager"), "manager"), renew)
        },
        control: "manager reads its certificate at its start only", reads_at_its_start,
        ["replaced-before-expiry"];
        "client-renewed", "the node certificate that search shows to manager nears its end after a roll-out, and is \
         renewed in time", trio,
        |system| {
            let node = Which::Mounted("search".into(), "node".into());
            let near = rolled_out(run_out(node, AGE, LEAD), "search");
            renewed_in_time(system, near, Step::Rotate { service: "search".into() })
        },
        control: "search shows what it had when it first called", client_reads_once, ["replaced-before-expiry"];
        "rotation-under-load", "every certificate is replaced by another good one while users search", trio,
        |system| rotated_under_load(system, renewed(Which::All)),
        control: "services have no certificate while they replace it",
        |system| with_all(system, "drops_while_reloading"), ["outage-within"];
    }
}

/// The manager reads its credential at its start only.
fn reads_at_its_start(mut system: System) -> System {
    for service in system.services.iter_mut().filter(|service| service.name == "manager") {
        service.reload = Reload::Never;
    }
    system
}

/// As a client, search reads its credential once.
fn client_reads_once(system: System) -> System {
    with(system, "search", "client_reads_credential_once")
}
