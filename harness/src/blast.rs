//! The blast radius of each credential of a system: it alone has expired, once while everything runs and
//! once after a restart of its holder.

use std::time::Duration;

use crate::{
    check,
    fault::{Which, expired},
    runbook::{Runbook, Step},
    scenario::{Aftermath, Limits, Repair, Scenario},
    system::{Span, System},
    workload::Workload,
};

/// How long users are watched before people repair anything: longer than a service waits before it looks
/// at a hop again, and than a supervisor waits before its third start.
const WATCHED: Duration = Duration::from_secs(2);
/// A certificate that nobody has seen on the wire by then is renewed at once, or not in use.
const LANDED: Duration = Duration::from_secs(3);

/// A credential: a service and one of its mounts.
pub type Credential = (String, String);

/// Every credential of the services of one's own.
pub fn credentials(system: &System) -> Vec<Credential> {
    let mounts = |service: &crate::system::Service| {
        service.mounts.keys().map(|mount| (service.name.clone(), mount.clone())).collect::<Vec<_>>()
    };
    system.own().flat_map(mounts).collect()
}

/// The scenario in which this credential has expired while users do what they always do; with `restarted`
/// its holder is restarted then, as in the next roll-out, and meets it again. People reissue what people
/// install, and restart the holder, which gets itself the rest.
pub fn scenario(system: &System, users: &Workload, of: &Credential, restarted: bool) -> Scenario {
    let (service, mount) = of;
    let restart = Step::RestartEach { services: vec![service.clone()] };
    let repair = Runbook::new().then(Step::Rotate { service: service.clone() }).then(restart);
    let seconds = Duration::from_secs;
    Scenario {
        about: format!("The {mount} certificate of {service} has expired, and only it."),
        workload: users.clone(),
        faults: vec![expired(Which::Mounted(service.clone(), mount.clone()))],
        aftermath: if restarted { Aftermath::RefreshExpired } else { Aftermath::Nothing },
        observe: Span(WATCHED),
        repair: Repair::by(repair),
        checks: vec![check::steady(), check::nothing_accepted_unauthenticated()],
        limits: Limits { landed: LANDED, repair: seconds(20), recover: seconds(20), ..Limits::default() },
        ..Scenario::new(
            format!("blast/{service}-{mount}{}", if restarted { "-restarted" } else { "" }),
            system.clone(),
        )
    }
}
