//! The shapes that scenarios of faults have, and the systems that they run on.

mod around;
mod composed;
mod replaced;

use std::time::Duration;

use notafter::{
    check::{self, Check},
    fault::{AnyFault, Which, run_out},
    history::Refusal,
    pki::Manner,
    runbook::{Runbook, Step},
    scenario::{Aftermath, Limits, Repair, Scenario},
    system::{Service, Span, System},
};

pub use around::{bounded, stormed, timeless};
pub use composed::{broken_again, due, renewed_late, some_refused};
pub use replaced::{botched, renewed_in_time, renewed_of, replaced, rotated_under_load};

/// A cached connection is a fraction of a second old when it is looked at again; this is more.
const NOTICED: Duration = Duration::from_millis(1500);
/// What a repair that is nothing but a restart may take, on a busy machine.
const RECOVERED: Duration = Duration::from_secs(5);

/// Manager, archive and search. Nobody renews, and no connection is kept: a fresh handshake each time, so
/// that nothing is hidden by what was open before.
pub fn trio() -> System {
    let mut system = stack::system();
    system.name = "trio".into();
    system.services.retain(|service| ["manager", "archive", "search"].contains(&service.name.as_str()));
    for setting in ["renewal", "pool"] {
        set(&mut system, setting, false);
    }
    system
}

/// The same with three replicas of search.
pub fn crowd() -> System {
    let mut system = trio();
    system.name = "crowd".into();
    let search = system.service("search").cloned();
    for name in ["search-2", "search-3"] {
        system.services.extend(search.clone().map(|one| Service { name: name.into(), ..one }));
    }
    system
}

/// The same system in which one service renews by itself what is due.
pub fn with_renewal(system: System, service: &str) -> System {
    system.with(service, "renewal", true)
}

/// The same system with a defect of one service switched on.
pub fn with(system: System, service: &str, defect: &str) -> System {
    system.with(service, defect, true)
}

/// The same system with a defect of every service switched on.
pub fn with_all(mut system: System, defect: &str) -> System {
    set(&mut system, defect, true);
    system
}

fn set(system: &mut System, setting: &str, on: bool) {
    for service in &mut system.services {
        service.settings.insert(setting.into(), on.into());
    }
}

/// What is broken is refused for this reason and no other, somebody notices, and a restart of `service`,
/// which gets itself a new certificate then, repairs it.
pub fn refused(system: System, service: &str, fault: Box<dyn AnyFault>, reason: Refusal) -> Scenario {
    refused_until(system, fault, Runbook::new().then(restart(service)), reason)
}

/// The same for a credential that people install, as every node has one: they reissue it, and restart the
/// service.
pub fn refused_node(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    let rotate = Step::Rotate { service: service.into() };
    refused_until(system, fault, Runbook::new().then(rotate).then(restart(service)), Refusal::Expired)
}

fn restart(service: &str) -> Step {
    Step::RestartEach { services: vec![service.into()] }
}

fn refused_until(system: System, fault: Box<dyn AnyFault>, repair: Runbook, reason: Refusal) -> Scenario {
    Scenario {
        faults: vec![fault],
        observe: Span(NOTICED),
        repair: Repair::by(repair),
        checks: checks([
            check::refused(reason),
            check::detected_within(NOTICED),
            check::recovers_within(RECOVERED),
        ]),
        ..base(system)
    }
}

/// Nothing comes of it: no handshake fails. The repair is a good certificate, and touches nothing else.
pub fn borne(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    let renew = Step::Renew { service: service.into(), manner: Manner::Swap };
    Scenario {
        faults: vec![fault],
        repair: Repair::by(Runbook::new().then(renew)),
        checks: checks([check::keeps_serving()]),
        ..base(system)
    }
}

/// Nothing comes of it, nobody is at a loss meanwhile, and nothing has to be repaired.
pub fn changed(system: System, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        faults: vec![fault],
        limits: Limits { recover: RECOVERED, ..Limits::default() },
        checks: checks([check::keeps_serving(), check::stays_ready()]),
        ..base(system)
    }
}

/// Everything is replaced in order, and then people restart a service: it gets itself a certificate that fits.
pub fn restarted_after(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        faults: vec![fault],
        repair: Repair::at_landing(Runbook::new().then(restart(service))),
        limits: Limits { recover: RECOVERED * 3 / 2, ..Limits::default() },
        checks: checks([check::recovers_within(RECOVERED)]),
        ..base(system)
    }
}

/// The certificate of archive nears its end, and a new one is written in this manner. It is on the wire
/// before the old one ends, and no handshake fails.
pub fn renewed(system: System, manner: Manner) -> Scenario {
    renewed_of(system, "archive", near("archive"), manner)
}

/// What a service presents ends while it is in use, and sessions are resumed past that. Fresh handshakes are
/// refused, and so are they.
pub fn masked(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        ask_resumed_sessions: true,
        checks: checks([
            check::refused(Refusal::Expired),
            check::no_session_outlives_expiry(Duration::from_millis(500)),
            check::recovers_within(RECOVERED),
        ]),
        ..refused(system, service, fault, Refusal::Expired)
    }
}

/// What a service needs to start is not there, and comes later. Nobody restarts it a second time.
pub fn absent(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        faults: vec![fault],
        repair: Repair::by(Runbook::new().then(Step::Rotate { service: service.into() })),
        limits: Limits { recover: Duration::from_secs(3), ..Limits::default() },
        checks: checks([check::recovers_within(Duration::from_secs(2))]),
        ..base(system)
    }
}

/// A certificate has ended, and the platform restarts its holder. What was served before is served after.
pub fn restarted(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        aftermath: Aftermath::RefreshExpired,
        checks: checks([check::survives_restart(), check::recovers_within(RECOVERED)]),
        ..refused_node(system, service, fault)
    }
}

/// How long ago a certificate that nears its end was issued.
pub const AGE: Duration = Duration::from_secs(2);
/// How long it has left, up to a second more: certificates end on whole seconds.
pub const LEAD: Duration = Duration::from_secs(3);

/// The certificate that a service presents ends in a few seconds.
pub fn near(service: &str) -> Box<dyn AnyFault> {
    run_out(Which::Served(service.into()), AGE, LEAD)
}

fn base(system: System) -> Scenario {
    Scenario {
        workload: stack::nobody(),
        stability: Span(Duration::from_millis(300)),
        ..Scenario::new("", system)
    }
}

/// With the controls that every scenario has.
fn checks<const N: usize>(own: [Box<dyn Check>; N]) -> Vec<Box<dyn Check>> {
    let always = [check::steady(), check::landed(), check::nothing_accepted_unauthenticated()];
    always.into_iter().chain(own).collect()
}
