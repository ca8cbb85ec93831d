//! The four things that go wrong with a Secret, whosever it is.

use std::time::Duration;

use notafter::{
    check::{self, Check},
    fault::{AnyFault, Damage, Which, damage, expired, run_out, withheld},
    history::Refusal,
    pki::Manner,
    prober::Pace,
    profile::Server,
    runbook::{Runbook, Step},
    runtime::Ability,
    scenario::{Limits, Repair, Scenario},
    system::{Span, System},
    workload::Workload,
};

/// From the fault on the wire to the first who says so.
const NOTICED: Duration = Duration::from_secs(5);
/// From a new Secret to the first user who is served: a kubelet looks every second or two.
pub const DELIVERED: Duration = Duration::from_secs(8);
/// The same where a pod waits for it: its kubelet has tried twice as late each time, and the pod has to come.
pub const STARTED: Duration = Duration::from_secs(20);
/// What users may notice of a reload on a busy machine.
pub const HICCUP: Duration = Duration::from_secs(1);
/// How long is watched what a fault does.
const WATCHED: Duration = Duration::from_secs(4);
/// How old a certificate is that nears its end, and how long it has left: for two deliveries, of itself and of its
/// successor, on a busy machine.
pub const AGE: Duration = Duration::from_secs(30);
pub const LEFT: Duration = Duration::from_secs(15);

/// Whose Secret it is.
pub struct Subject {
    pub system: System,
    pub users: Workload,
    pub service: &'static str,
    /// Those of its services that others wrote.
    pub servers: Vec<Server>,
}

/// What it presents has expired while it runs. The repair is a new Secret, and nobody is told of it.
pub fn has_expired(subject: Subject) -> Scenario {
    let (fault, repair) = (expired(served(&subject)), rotate(subject.service));
    let checks = vec![
        check::refused(Refusal::Expired),
        check::detected_within(NOTICED),
        check::recovers_within(DELIVERED),
    ];
    scenario(subject, fault, Repair::by(repair), checks)
}

/// What it presents nears its end, and the Secret is replaced in time.
pub fn is_rotated(subject: Subject, unnoticed: Box<dyn Check>) -> Scenario {
    let renewal = Repair::at_landing(renew(subject.service));
    let fault = run_out(served(&subject), AGE, LEFT);
    scenario(subject, fault, renewal, vec![check::replaced_before_expiry(), unnoticed])
}

/// Certificate and key in the Secret do not belong together; the next one is whole, and is taken.
pub fn is_torn(subject: Subject) -> Scenario {
    let fault = damage(served(&subject), Damage::KeyOfAnother);
    let repair = Repair::by(renew(subject.service).wait("look at the wire", WATCHED));
    scenario(subject, fault, repair, vec![check::keeps_serving(), check::in_use_within(STARTED)])
}

/// The Secret is not there, and the pod is replaced. The repair is a Secret for `whom`, and nothing is restarted.
pub fn is_absent(subject: Subject, whom: &str) -> Scenario {
    let (fault, repair) = (withheld(subject.service), Repair::by(rotate(whom)));
    scenario(subject, fault, repair, vec![check::detected_within(NOTICED), check::recovers_within(STARTED)])
}

/// The control of a scenario whose repair does not mend what is broken: nobody waits much longer than it may take.
pub fn never_recovering(scenario: Scenario, budget: Duration) -> Scenario {
    Scenario { limits: Limits { recover: budget + Duration::from_secs(5), ..scenario.limits }, ..scenario }
}

fn scenario(
    subject: Subject,
    fault: Box<dyn AnyFault>,
    repair: Repair,
    own: Vec<Box<dyn Check>>,
) -> Scenario {
    let mut checks = vec![check::steady(), check::landed(), check::nothing_accepted_unauthenticated()];
    checks.extend(own);
    if subject.users.ledger.is_some() {
        checks.push(check::nothing_lost());
    }
    Scenario {
        workload: subject.users,
        // A cluster has better things to do than to shake hands with us.
        pace: Pace { every: Span(Duration::from_millis(50)), handshakes: 20, tries: 40, failures: 60 },
        needs: vec![Ability::DeliverSecrets],
        servers: subject.servers,
        faults: vec![fault],
        observe: Span(WATCHED),
        stability: Span(Duration::from_secs(1)),
        repair,
        checks,
        limits: Limits {
            start: Duration::from_mins(3),
            landed: Duration::from_secs(30),
            ..Limits::default()
        },
        ..Scenario::new("", subject.system)
    }
}

fn served(subject: &Subject) -> Which {
    Which::Served(subject.service.into())
}

fn rotate(service: &str) -> Runbook {
    Runbook::new().then(Step::Rotate { service: service.into() })
}

fn renew(service: &str) -> Runbook {
    Runbook::new().then(Step::Renew { service: service.into(), manner: Manner::Swap })
}
