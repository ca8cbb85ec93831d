//! The certificate outage of 26 January 2022, as it was and with each mitigation.
//!
//! That afternoon the certificates of a company's container management system expired. Its API died,
//! and with it all container networking: ingestion, processing, archival, search and login stopped.
//! Every certificate was rotated by hand in 30 minutes; then pods that start in one order only cost
//! 41 more. The next day the two hours of missed ingestion were fetched again from the source
//! platforms. Nothing leaked, nothing was lost.
//!
//! `root -> issuing -> leaf`, twice: `platform` for nodes and the manager, `mesh` for workloads. Every
//! leaf ends, and only the leaves; authorities, names, usages and keys are in order.

mod incident;
mod orders;

use std::time::Duration;

use notafter::{
    alerting::ExpiryAlert,
    check,
    check::Expect,
    fault::{Which, run_out},
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::{Aftermath, Repair, Scenario},
    suite::{Ablation, Settings, Specimen, Suite, Template},
    system::{Backoff, Reload, Span, Start, System},
};

/// The family's name.
const FAMILY: &str = "aware-2022";
/// What the company did afterwards, and what can be taken away again.
const MITIGATIONS: [&str; 3] = ["alerts", "renewal", "any-order"];
/// Minutes before the end at which the certificates are put into use.
const LEAD: u32 = 140;
/// Minutes of their life that are over by then.
const AGE: u32 = 160;
/// How many orders the operators try before they find one that works.
const WRONG_ORDERS: usize = 3;

/// Which mitigations are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mitigations {
    /// Somebody is told before a certificate ends, and rotates it in time.
    pub alerts: bool,
    /// Services renew their certificates by themselves and use them at once.
    pub renewal: bool,
    /// Services start irrespective of order.
    pub any_order: bool,
}

/// The scenarios of this crate, with everything that they run on.
pub fn suite() -> Suite {
    Suite {
        templates: vec![
            template("as-it-was", "no alert, no renewal, one order: rotation by hand", |system, settings| {
                scenario(system, settings, Mitigations::default())
            }),
            template("with-alerts", "people are told in time, and rotate by hand", |system, settings| {
                let on = Mitigations { alerts: true, ..Mitigations::default() };
                scenario(system, settings, on)
            }),
            template("with-renewal", "services renew by themselves", |system, settings| {
                let on = Mitigations { renewal: true, ..Mitigations::default() };
                scenario(system, settings, on)
            }),
            template("with-any-order", "services start irrespective of order", |system, settings| {
                let on = Mitigations { any_order: true, ..Mitigations::default() };
                scenario(system, settings, on)
            }),
            template("mitigated", "alerts, renewal, any order", |system, settings| {
                let on = Mitigations { alerts: true, renewal: true, any_order: true };
                scenario(system, settings, on)
            }),
        ],
        ablations: vec![Ablation {
            family: FAMILY,
            mitigations: &MITIGATIONS,
            system: stack::system,
            build: |system, settings, on| {
                let is_on = |place: usize| on.get(place).copied().unwrap_or(false);
                let on = Mitigations { alerts: is_on(0), renewal: is_on(1), any_order: is_on(2) };
                scenario(system, settings, on)
            },
        }],
        zoo: vec![Specimen {
            defect: "nobody is told, nothing renews, and services start in one order".into(),
            control: format!("{FAMILY}/as-it-was"),
            sound: format!("{FAMILY}/mitigated"),
            seen: Vec::new(),
        }],
        programs: stack::programs(),
        systems: vec![stack::system],
        ..Suite::default()
    }
}

fn template(variant: &str, about: &'static str, build: fn(System, &Settings) -> Scenario) -> Template {
    Template { name: format!("{FAMILY}/{variant}"), about, system: stack::system, build }
}

/// The incident on this system with these mitigations.
///
/// People are as slow as they were: every pause of theirs is the incident's, scaled. What machines
/// do takes as long as it takes. The night before the backfill is left out.
pub fn scenario(system: System, settings: &Settings, on: Mitigations) -> Scenario {
    let minutes = |count: u32| settings.minute.0 * count;
    let system = with(system, settings, on);
    let own: Vec<String> = system.own().map(|service| service.name.clone()).collect();
    // An alert is only worth a rotation by hand where nobody renews.
    let repair = match (on.renewal, on.alerts) {
        (true, _) => Repair::default(),
        (false, true) => Repair::at_expiry_alert(planned(&own, minutes)),
        (false, false) => Repair::by(by_hand(&system, &own, settings, on.any_order)),
    };
    let lead = minutes(LEAD).max(Duration::from_secs(4));
    Scenario {
        about: about(on),
        workload: stack::workload(),
        alert: on.alerts.then(|| told_in_time(settings, lead)),
        faults: vec![run_out(Which::All, minutes(AGE), lead)],
        aftermath: Aftermath::RefreshExpired,
        // 3:55 to 4:04 pm.
        observe: Span(minutes(9)),
        repair,
        // 5:34 to 5:48 pm; where nothing was missed there is nothing to wait for.
        recovery_runs: if on.renewal || on.alerts { Runbook::new() } else { recovery_runs(minutes(14)) },
        checks: vec![
            check::steady(),
            check::landed(),
            check::refused(Refusal::Expired),
            check::outage_within(Duration::ZERO),
            check::recovers_within(Duration::from_secs(2)),
            check::drains_within(minutes(120).max(Duration::from_secs(5))),
            check::nothing_lost(),
            check::nothing_duplicated(),
            check::nothing_accepted_unauthenticated(),
            check::alerted_before_expiry(minutes(60)),
            check::starts_in_order(),
        ],
        expect: expect(on),
        incident: Some(incident::incident()),
        minute: settings.minute,
        ..Scenario::new(FAMILY, system)
    }
}

/// Told while there is time to plan: before the first of those that renew by themselves has done so, which is
/// when two thirds of a life are over.
fn told_in_time(settings: &Settings, lead: Duration) -> ExpiryAlert {
    let every = (settings.minute.0 * 5).max(Duration::from_millis(100));
    ExpiryAlert { lead: Span(lead * 13 / 14), every: Span(every) }
}

/// The verdict that these mitigations must give, with the reason of each failure.
fn expect(on: Mitigations) -> Expect {
    let mut failing = Vec::new();
    // Without renewal somebody has to restart services, one replica each: users notice.
    if !on.renewal {
        failing.push("outage-within");
    }
    if !on.alerts {
        failing.push("alerted-before-expiry");
    }
    // Rotated in time, services restart one by one while all the others are up: any order does.
    if !on.renewal && !on.alerts && !on.any_order {
        failing.push("starts-in-order");
    }
    if failing.is_empty() {
        Expect::Pass
    } else {
        Expect::Fail(failing.into_iter().map(Into::into).collect())
    }
}

fn about(on: Mitigations) -> String {
    let state = |on| if on { "on" } else { "off" };
    format!(
        "Every leaf certificate of the container management system and its workloads reaches its \
         not-after while it is in use; services whose certificate ended are restarted, as a node refresh \
         would. Alerts {}, renewal {}, any order {}.",
        state(on.alerts),
        state(on.renewal),
        state(on.any_order)
    )
}

/// The system with these mitigations. Backoffs are a kubelet's (10 s, 5 min, 10 min), scaled.
fn with(mut system: System, settings: &Settings, on: Mitigations) -> System {
    let minute = settings.minute.0;
    let restart = Backoff { first: Span(minute / 6), cap: Span(minute * 5), reset_after: Span(minute * 10) };
    for service in system.services.iter_mut().filter(|service| !service.external) {
        service.start = if on.any_order { Start::InAnyOrder } else { Start::NeedsFirst };
        service.reload = if on.renewal { Reload::OnChange } else { Reload::OnSignal };
        service.restart = restart;
        service.settings.insert("renewal".into(), on.renewal.into());
        // What TLS does by itself: a connection lives on until somebody cuts it.
        service.settings.insert("open_connections".into(), "outlive-expiry".into());
    }
    system
}

/// 4:04 to 5:34 pm: found, fetched, rotated one after another, and then the orders.
fn by_hand(system: &System, own: &[String], settings: &Settings, any_order: bool) -> Runbook {
    let minutes = |count: u32| settings.minute.0 * count;
    let found = Runbook::new().then(Step::Identify).wait("get hold of what a rotation needs", minutes(16));
    let rotated = rotate_all(found, own, minutes(30)).wait("refresh the deployments", minutes(3));
    if any_order {
        return rotated.then(Step::RestartAll { services: own.to_vec() });
    }
    let mut orders = orders::wrong(system, own, WRONG_ORDERS, settings.seed);
    orders.push(own.to_vec());
    // 41 minutes, all of them spent on orders that do not work.
    let think = minutes(41) / u32::try_from(WRONG_ORDERS).unwrap_or(1);
    rotated.then(Step::TryOrders { orders, think: Span(think) })
}

/// The same rotation with time to spare: everything is still up when services restart.
fn planned(own: &[String], minutes: impl Fn(u32) -> Duration) -> Runbook {
    let found = Runbook::new().then(Step::Identify).wait("plan the rotation", minutes(5));
    rotate_all(found, own, minutes(30)).then(Step::RestartEach { services: own.to_vec() })
}

fn rotate_all(runbook: Runbook, own: &[String], all: Duration) -> Runbook {
    let each = all / u32::try_from(own.len()).unwrap_or(1).max(1);
    own.iter().fold(runbook, |runbook, service| {
        runbook
            .then(Step::Rotate { service: service.clone() })
            .wait(format!("rotate {service} by hand"), each)
    })
}

fn recovery_runs(begin: Duration) -> Runbook {
    Runbook::new().wait("prepare the recovery runs", begin).then(Step::Ask {
        title: "fetch missed records again from the source".into(),
        service: "ingest".into(),
        path: "/v1/backfill".into(),
    })
}
