//! Clocks and clients around good certificates.

use notafter::{
    check,
    fault::AnyFault,
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::Scenario,
    system::System,
};

use super::{RECOVERED, checks, refused_until};

/// The clock of a service is off, so it refuses everybody, and nobody else does. It is put right, and nothing
/// else is touched.
pub fn timeless(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    let repair = Runbook::new().then(Step::SetClock { service: service.into() });
    refused_until(system, fault, repair, Refusal::Expired)
}

/// The certificate of a service has ended, and a new one is there. Whoever comes back then must not end it.
pub fn stormed(system: System, service: &str, fault: Box<dyn AnyFault>) -> Scenario {
    let repair = Runbook::new().then(Step::Rotate { service: service.into() });
    Scenario {
        checks: checks([
            check::refused(Refusal::Expired),
            check::recovers_within(RECOVERED),
            check::stays_up(),
        ]),
        ..refused_until(system, fault, repair, Refusal::Expired)
    }
}

/// The same system in which a service ends where more connections than these are open.
pub fn bounded(mut system: System, service: &str, most: i64) -> System {
    for service in system.services.iter_mut().filter(|one| one.name == service) {
        service.settings.insert("most_connections".into(), most.into());
    }
    system
}
