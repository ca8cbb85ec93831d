//! A good certificate takes the place of another.

use std::time::Duration;

use notafter::{
    check,
    fault::AnyFault,
    pki::Manner,
    runbook::{Runbook, Step},
    scenario::{Limits, Repair, Scenario},
    system::{Span, System},
    workload::{Operation, Workload},
};

use super::{base, checks};

/// A replaced certificate is on the wire by then, on a busy machine.
const IN_USE: Duration = Duration::from_secs(2);
/// Old and new may be served side by side, and watchers be late, for as long.
const SIDE_BY_SIDE: Duration = Duration::from_millis(300);
/// A service that will not use something has said so by then.
const SAID: Duration = Duration::from_secs(1);
/// What was put there last is in use by then, in most runs.
const LOOKED_AT: Duration = Duration::from_millis(700);
/// The end that is waited for, and as long again.
const PAST_THE_END: Duration = Duration::from_secs(8);

/// What a service presents nears its end, and a new one is written in this manner. It is on the wire before
/// the old one ends, and no handshake fails.
pub fn renewed_of(system: System, service: &str, fault: Box<dyn AnyFault>, manner: Manner) -> Scenario {
    let renew = Step::Renew { service: service.into(), manner };
    Scenario {
        faults: vec![fault],
        repair: Repair::at_landing(Runbook::new().then(renew)),
        limits: Limits { recover: PAST_THE_END, ..Limits::default() },
        checks: checks([check::replaced_before_expiry(), check::keeps_serving()]),
        ..base(system)
    }
}

/// The same where a restart was part of the fault: that it is served meanwhile nobody promises.
pub fn renewed_in_time(system: System, fault: Box<dyn AnyFault>, renew: Step) -> Scenario {
    Scenario {
        faults: vec![fault],
        repair: Repair::at_landing(Runbook::new().then(renew)),
        limits: Limits { recover: PAST_THE_END, ..Limits::default() },
        checks: checks([check::replaced_before_expiry()]),
        ..base(system)
    }
}

/// A good certificate of archive is replaced by a good one, once more: soon, for good, and in truth.
pub fn replaced(system: System, fault: Box<dyn AnyFault>) -> Scenario {
    let renew = Step::Renew { service: "archive".into(), manner: Manner::Swap };
    let watch = Duration::from_millis(2500);
    Scenario {
        faults: vec![fault],
        repair: Repair::at_landing(Runbook::new().then(renew).wait("people look at the wire", watch)),
        checks: checks([
            check::in_use_within(IN_USE),
            check::nothing_old_returns(SIDE_BY_SIDE),
            check::says_what_it_serves(SIDE_BY_SIDE),
            check::keeps_serving(),
        ]),
        ..base(system)
    }
}

/// People botch a renewal and do it again: the old one goes on meanwhile, and archive says why.
pub fn botched(system: System, fault: Box<dyn AnyFault>) -> Scenario {
    let service = || "archive".to_owned();
    let runbook = Runbook::new()
        .then(Step::RenewWithWrongKey { service: service() })
        .wait("people wonder", SAID + SIDE_BY_SIDE)
        .then(Step::Renew { service: service(), manner: Manner::Swap })
        .wait("people look at the wire", LOOKED_AT);
    Scenario {
        faults: vec![fault],
        observe: Span(Duration::ZERO),
        repair: Repair::by(runbook),
        checks: checks([check::says_what_it_rejects(SAID), check::keeps_serving()]),
        ..base(system)
    }
}

/// Everything is replaced, twice for archive and search, while users search. None of them notices.
pub fn rotated_under_load(system: System, fault: Box<dyn AnyFault>) -> Scenario {
    let renew = |service: &str| Step::Renew { service: service.into(), manner: Manner::Swap };
    Scenario {
        workload: searching(),
        faults: vec![fault],
        repair: Repair::by(
            Runbook::new()
                .then(renew("archive"))
                .then(renew("search"))
                .wait("people look at the wire", LOOKED_AT),
        ),
        checks: checks([check::outage_within(Duration::ZERO)]),
        ..base(system)
    }
}

/// Users who search all the time.
pub fn searching() -> Workload {
    let Workload { authority, operations, .. } = stack::workload();
    let operations = operations.into_iter().filter(|one| one.name == "search");
    let operations = operations.map(|one| Operation { service: "search".into(), ..one }).collect();
    Workload { authority, operations, ledger: None }
}
