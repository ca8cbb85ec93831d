//! More than one thing goes wrong.

use std::time::Duration;

use notafter::{
    check,
    fault::{AnyFault, Which, run_out},
    history::Refusal,
    pki::Manner,
    runbook::{Runbook, Step},
    scenario::{Limits, Repair, Scenario},
    system::System,
};

use super::{NOTICED, RECOVERED, base, checks, refused_until, replaced::searching, restart};

/// How long ago a certificate that is due in a moment was issued. It is due when 2/3 to 5/6 of its life are
/// over, of 13 to 14 seconds: 0.6 s to 3.7 s from now.
const DUE_AGE: Duration = Duration::from_secs(8);
/// How long it has left, up to a second more.
const DUE_LEAD: Duration = Duration::from_secs(5);
/// By then it was due, and has more than half a second left.
const DUE: Duration = Duration::from_millis(3600);

/// What a service presents is due for renewal soon, and ends a while after.
pub fn due(service: &str) -> Box<dyn AnyFault> {
    run_out(Which::Served(service.into()), DUE_AGE, DUE_LEAD)
}

/// Renewals fail until `issuer` is repaired, and then are in time.
pub fn renewed_late(system: System, issuer: &str, faults: Vec<Box<dyn AnyFault>>) -> Scenario {
    let renew = Step::Renew { service: issuer.into(), manner: Manner::Swap };
    Scenario {
        faults,
        repair: Repair::at_landing(Runbook::new().wait("nobody notices", DUE).then(renew)),
        limits: Limits { recover: Duration::from_secs(4), ..Limits::default() },
        checks: checks([check::replaced_before_expiry()]),
        ..base(system)
    }
}

/// While people repair `first`, `second` breaks, without which that repair fails. They repair it before.
pub fn broken_again(
    system: System,
    first: &str,
    fault: Box<dyn AnyFault>,
    second: &str,
    another: Box<dyn AnyFault>,
) -> Scenario {
    let rotate = Step::Rotate { service: second.into() };
    let runbook = Runbook::new().then(rotate).then(restart(first));
    Scenario { during_repair: vec![another], ..refused_until(system, fault, runbook, Refusal::Expired) }
}

/// Some replicas of search are refused, and users of the other do not notice.
pub fn some_refused(system: System, replicas: &[&str], fault: Box<dyn AnyFault>) -> Scenario {
    let services = replicas.iter().map(ToString::to_string).collect();
    let runbook = Runbook::new().then(Step::RestartEach { services });
    Scenario {
        workload: searching(),
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::recovers_within(RECOVERED),
            check::outage_within(Duration::ZERO),
        ]),
        ..refused_until(system, fault, runbook, Refusal::Expired)
    }
}
