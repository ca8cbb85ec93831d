//! The blast radius of each credential of a system, and of each certificate of its authorities: it alone has
//! expired, once while everything runs and once after a restart of its holder.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    check,
    fault::{Tier, Which, authority_expired, expired},
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

/// What has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Of {
    /// The certificate in one mount of a service.
    Credential {
        /// Whose.
        service: String,
        /// Which of its mounts.
        mount: String,
    },
    /// A certificate of an authority.
    Authority {
        /// Whose.
        authority: String,
        /// Which of its two.
        certificate: Tier,
    },
}

impl Of {
    /// The service or the authority.
    pub fn holder(&self) -> &str {
        match self {
            Self::Credential { service, .. } => service,
            Self::Authority { authority, .. } => authority,
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential { service, mount } => write!(f, "{service}/{mount}"),
            Self::Authority { authority, certificate } => write!(f, "{authority} {certificate}"),
        }
    }
}

/// Every credential of the services of one's own, and both certificates of every authority of theirs.
pub fn all(system: &System) -> Vec<Of> {
    let credentials = system.own().flat_map(|service| {
        let of = |mount: &String| Of::Credential { service: service.name.clone(), mount: mount.clone() };
        service.mounts.keys().map(of)
    });
    let authorities = system.authorities.iter().flat_map(|authority| {
        [Tier::Root, Tier::Issuing]
            .map(|certificate| Of::Authority { authority: authority.clone(), certificate })
    });
    credentials.chain(authorities).collect()
}

/// The scenario in which this has expired while users do what they always do; with `restarted` its holders
/// are restarted then, and meet it again.
pub fn scenario(system: &System, users: &Workload, of: &Of, restarted: bool) -> Scenario {
    let scenario = match of {
        Of::Credential { service, mount } => credential(system, users, (service, mount), restarted),
        Of::Authority { authority, certificate } => {
            self::authority(system, users, authority, *certificate, restarted)
        }
    };
    let name = format!(
        "blast/{}{}",
        of.to_string().replace(['/', ' '], "-"),
        if restarted { "-restarted" } else { "" }
    );
    Scenario { name, ..scenario }
}

/// People reissue what people install, and restart the holder, which gets itself the rest.
fn credential(
    system: &System,
    users: &Workload,
    (service, mount): (&str, &str),
    restarted: bool,
) -> Scenario {
    let restart = Step::RestartEach { services: vec![service.to_owned()] };
    let repair = Runbook::new().then(Step::Rotate { service: service.to_owned() }).then(restart);
    Scenario {
        about: format!("The {mount} certificate of {service} has expired, and only it."),
        faults: vec![expired(Which::Mounted(service.to_owned(), mount.to_owned()))],
        aftermath: if restarted { Aftermath::RefreshExpired } else { Aftermath::Nothing },
        ..base(system, users, repair)
    }
}

/// People give whoever issues a good issuing CA, reissue what people install, and restart everything.
fn authority(system: &System, users: &Workload, name: &str, tier: Tier, restarted: bool) -> Scenario {
    let services: Vec<String> = system.own().map(|service| service.name.clone()).collect();
    let mut repair = Runbook::new().then(Step::RenewAuthority { authority: name.to_owned() });
    for service in &services {
        repair = repair.then(Step::Rotate { service: service.clone() });
    }
    Scenario {
        about: format!("The {tier} certificate of authority {name} has expired, and only it."),
        faults: vec![authority_expired(name, tier)],
        aftermath: if restarted { Aftermath::RefreshAll } else { Aftermath::Nothing },
        ..base(system, users, repair.then(Step::RestartAll { services }))
    }
}

fn base(system: &System, users: &Workload, repair: Runbook) -> Scenario {
    let seconds = Duration::from_secs;
    Scenario {
        workload: users.clone(),
        observe: Span(WATCHED),
        repair: Repair::by(repair),
        checks: vec![check::steady(), check::nothing_accepted_unauthenticated()],
        limits: Limits { landed: LANDED, repair: seconds(20), recover: seconds(20), ..Limits::default() },
        ..Scenario::new("", system.clone())
    }
}
