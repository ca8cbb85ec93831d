//! The three shapes that all scenarios of faults have, and the systems that they run on.

use std::time::Duration;

use notafter::{
    check::{self, Check, Expect},
    fault::{AnyFault, Which, run_out},
    history::Refusal,
    pki::Manner,
    runbook::{Runbook, Step},
    scenario::{Limits, Repair, Scenario},
    system::{Span, System},
};

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
        set(&mut system, |_| true, setting, false);
    }
    system
}

/// The same system with a defect of one service switched on.
pub fn with(mut system: System, service: &str, defect: &str) -> System {
    set(&mut system, |name| name == service, defect, true);
    system
}

/// The same system with a defect of every service switched on.
pub fn with_all(mut system: System, defect: &str) -> System {
    set(&mut system, |_| true, defect, true);
    system
}

fn set(system: &mut System, whose: impl Fn(&str) -> bool, setting: &str, on: bool) {
    for service in system.services.iter_mut().filter(|service| whose(&service.name)) {
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

/// Nothing comes of it, and nothing has to be repaired.
pub fn changed(system: System, fault: Box<dyn AnyFault>) -> Scenario {
    Scenario {
        faults: vec![fault],
        limits: Limits { recover: RECOVERED, ..Limits::default() },
        checks: checks([check::keeps_serving()]),
        ..base(system)
    }
}

/// The certificate of archive nears its end, and a new one is written in this manner. It is on the wire
/// before the old one ends, and no handshake fails.
pub fn renewed(system: System, manner: Manner) -> Scenario {
    let renew = Step::Renew { service: "archive".into(), manner };
    Scenario {
        faults: vec![near_its_end()],
        repair: Repair::at_landing(Runbook::new().then(renew)),
        // The end that is waited for, and as long again.
        limits: Limits { recover: Duration::from_secs(8), ..Limits::default() },
        checks: checks([check::replaced_before_expiry(), check::keeps_serving()]),
        ..base(system)
    }
}

/// The certificate of archive ends in three seconds, up to one more: certificates end on whole seconds.
pub fn near_its_end() -> Box<dyn AnyFault> {
    run_out(Which::Served("archive".into()), Duration::from_secs(2), Duration::from_secs(3))
}

/// What a control of this scenario must fail.
pub fn failing(scenario: Scenario, caught_by: &[&str]) -> Scenario {
    Scenario { expect: Expect::Fail(caught_by.iter().map(ToString::to_string).collect()), ..scenario }
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
