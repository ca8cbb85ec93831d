//! What breaks a quorum and what does not, each with a control that must fail for a named reason.

use std::time::Duration;

use notafter::{
    check::{self, Check},
    fault::{AnyFault, Flaw, Which, expired, flawed, rotated_in_turn, run_out},
    history::Refusal,
    runbook::{Runbook, Step},
    scenario::{Aftermath, Repair, Scenario},
    suite::{Specimen, Template},
    system::{Span, System},
};

use crate::{
    judging::{leader_stays, writes_stop},
    member,
    system::{MEMBERS, PEERS, system, users, watched},
};

/// How long a quorum that holds may keep users waiting: a member that is told to end hands its leadership over,
/// and a busy machine is slow at it.
const HICCUP: Duration = Duration::from_secs(1);
/// What a health check may take: a look, and a member that starts.
const NOTICED: Duration = Duration::from_secs(2);
/// An election, and connections that are made again, on a busy machine.
const RECOVERED: Duration = Duration::from_secs(10);
/// How long is watched: several elections.
const WATCHED: Duration = Duration::from_secs(4);

/// Every scenario of this crate, each before its control.
pub fn templates() -> Vec<Template> {
    let template = |name: &str, about, build| Template { name: name.into(), about, system, build };
    vec![
        template(
            "quorum/one-expired",
            "the certificate of one member has expired: the quorum holds",
            |system, _| one_expired(system, &["three"]),
        ),
        template(
            "control-of/quorum-one-expired",
            "the same, and that of a second member, too",
            |system, _| one_expired(system, &["two", "three"]).failing(&["outage-within"]),
        ),
        template(
            "quorum/majority-expired",
            "the certificates of two members have expired: no write is taken, none is lost",
            |system, _| majority_expired(system),
        ),
        template(
            "control-of/quorum-majority-expired",
            "the same where the writer acknowledges before it knows",
            |system, _| {
                let system = system.with("writer", "acknowledges_early", true);
                majority_expired(system).failing(&["writes-stop", "nothing-lost"])
            },
        ),
        template(
            "quorum/expires-unnoticed",
            "all certificates end while members are connected: no user notices",
            |system, _| expires(system, Aftermath::Nothing),
        ),
        template(
            "control-of/quorum-expires-unnoticed",
            "the same, and then connections are cut",
            |system, _| expires(system, Aftermath::RefreshExpired).failing(&["outage-within"]),
        ),
        template(
            "quorum/authority-rotated",
            "the root is replaced, with overlap and restarts in turn: no user notices",
            |system, _| authority_rotated(system),
        ),
        template("control-of/quorum-authority-rotated", "the same without overlap", |system, _| {
            pulled_early(system, [check::outage_within(HICCUP)]).failing(&["outage-within"])
        }),
        template(
            "quorum/old-root-pulled-early",
            "the root that all still show is no longer trusted: no write is taken, none is lost",
            |system, _| early(system),
        ),
        template(
            "control-of/quorum-old-root-pulled-early",
            "the same where the writer acknowledges before it knows",
            |system, _| {
                let system = system.with("writer", "acknowledges_early", true);
                early(system).failing(&["writes-stop", "nothing-lost"])
            },
        ),
        template("quorum/returns", "a member that was cut off comes back: the leader stays", |system, _| {
            returns(system)
        }),
        template(
            "control-of/quorum-returns",
            "the same without pre-vote, as by default in etcd 3.4",
            |system, _| {
                let off = |system: System, member: &str| system.with(member, "pre_vote", false);
                returns(MEMBERS.into_iter().fold(system, off)).failing(&["leader-stays"])
            },
        ),
    ]
}

/// What is wrong in each control, for `notafter zoo`.
pub fn zoo() -> Vec<Specimen> {
    let specimen = |name: &str, defect: &str| Specimen {
        defect: defect.into(),
        control: format!("control-of/quorum-{name}"),
        sound: format!("quorum/{name}"),
        seen: Vec::new(),
    };
    vec![
        specimen("one-expired", "a second member of three shows an expired leaf"),
        specimen("majority-expired", "the writer acknowledges before it knows"),
        specimen("expires-unnoticed", "members are restarted with expired leaves"),
        specimen("authority-rotated", "the root of the members is replaced without overlap"),
        specimen("old-root-pulled-early", "the writer acknowledges before it knows"),
        specimen("returns", "members call for elections without asking before"),
    ]
}

/// `peers root -> issuing -> [three]`: the leaf that `three` shows to the others has expired, and it only; then
/// `three` is restarted, which cuts its connections. It is out, and the two others are a quorum.
fn one_expired(system: System, whose: &[&str]) -> Scenario {
    Scenario {
        about: "The leaf that one member shows to the others has expired: root -> issuing -> [three]; then \
                it is restarted, which cuts its connections. The two others are a quorum."
            .into(),
        faults: peers(whose, expired),
        aftermath: Aftermath::RefreshExpired,
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::outage_within(HICCUP),
            check::recovers_within(RECOVERED),
        ]),
        ..base(system, rotate(whose))
    }
}

/// `peers root -> issuing -> [two], [three]`: the leaves of a majority have expired, and they only; then both
/// are restarted. Nobody is a quorum: no write is taken. The repair is two new leaves, which etcd reads by
/// itself, and everything that was acknowledged is there.
fn majority_expired(system: System) -> Scenario {
    Scenario {
        about:
            "The leaves of two members of three have expired: root -> issuing -> [two], [three]; then both \
                are restarted. Without a quorum no write may be taken, and none that was acknowledged may be \
                lost."
                .into(),
        faults: peers(&["two", "three"], expired),
        aftermath: Aftermath::RefreshExpired,
        checks: checks([check::refused(Refusal::Expired), writes_stop(), check::recovers_within(RECOVERED)]),
        ..base(system, rotate(&["two", "three"]))
    }
}

/// `peers root -> issuing -> [one], [two], [three]`: all leaves end while members are connected to each other.
/// etcd never looks at a connection again that is open: users notice nothing, and every new handshake among
/// members is refused.
fn expires(system: System, aftermath: Aftermath) -> Scenario {
    let (age, lead) = (Duration::from_secs(4), Duration::from_secs(4));
    Scenario {
        about: "The leaves of all members end while they are connected: root -> issuing -> [one], [two], \
                [three]. Connections that are open live on, and nobody can make another."
            .into(),
        faults: peers(&MEMBERS, |which| run_out(which, age, lead)),
        aftermath,
        checks: checks([
            check::refused(Refusal::Expired),
            check::detected_within(NOTICED),
            check::outage_within(HICCUP),
            check::recovers_within(RECOVERED),
        ]),
        ..base(system, rotate(&MEMBERS))
    }
}

/// `[peers root] -> [issuing] -> [one], [two], [three]`: everything is replaced, and nothing is wrong: the new
/// root is trusted before anybody shows it, the old one until nobody does. For each bundle the members are
/// restarted one after another.
fn authority_rotated(system: System) -> Scenario {
    Scenario {
        about:
            "The root of the members is replaced with overlap: trusted before it is shown, and the old one \
                until nobody shows it; members are restarted one after another for each bundle, because etcd \
                reads it at its start."
                .into(),
        faults: vec![rotated_in_turn(PEERS)],
        checks: checks([check::outage_within(HICCUP)]),
        ..base(system, Runbook::new())
    }
}

/// `[peers root] -> issuing -> one, two, three`: every member trusts the next root alone, and still shows a
/// leaf of the old one; then all are restarted, because etcd reads its bundle then. Nobody is a quorum.
fn pulled_early<const N: usize>(system: System, own: [Box<dyn Check>; N]) -> Scenario {
    let restart = Step::RestartAll { services: MEMBERS.map(Into::into).into() };
    Scenario {
        about:
            "Every member trusts the next root alone while all still show leaves of the old one: [root] -> \
                issuing -> leaf; then all are restarted, which is when etcd reads its bundle."
                .into(),
        faults: peers(&MEMBERS, |which| flawed(which, Flaw::OldRootPulledEarly)),
        aftermath: Aftermath::RestartBroken,
        checks: checks(own.into_iter().chain([check::recovers_within(RECOVERED)])),
        ..base(system, rotate(&MEMBERS).then(restart))
    }
}

fn early(system: System) -> Scenario {
    pulled_early(system, [check::detected_within(NOTICED), writes_stop()])
}

/// `peers root -> issuing -> [three]`: as in [`one_expired`], and then `three` gets a new leaf. While it was
/// cut off it has called for election after election; with pre-vote its term is still that of the others.
fn returns(system: System) -> Scenario {
    Scenario {
        about:
            "The leaf of one member has expired, and it is restarted: root -> issuing -> [three]. It calls \
                for elections that nobody hears. When it comes back with a new leaf, the leader that the \
                others have must stay."
                .into(),
        workload: watched(),
        faults: peers(&["three"], expired),
        aftermath: Aftermath::RefreshExpired,
        checks: checks([check::refused(Refusal::Expired), leader_stays(), check::recovers_within(RECOVERED)]),
        ..base(system, rotate(&["three"]))
    }
}

fn base(system: System, repair: Runbook) -> Scenario {
    Scenario {
        workload: users(),
        servers: vec![member::SERVER],
        observe: Span(WATCHED),
        stability: Span(Duration::from_millis(1500)),
        repair: Repair::by(repair),
        ..Scenario::new("", system)
    }
}

/// With the controls that every scenario has, and what holds whatever breaks.
fn checks(own: impl IntoIterator<Item = Box<dyn Check>>) -> Vec<Box<dyn Check>> {
    let always =
        [check::steady(), check::landed(), check::nothing_lost(), check::nothing_accepted_unauthenticated()];
    always.into_iter().chain(own).collect()
}

/// A fault for what each of these members shows to the others.
fn peers(whose: &[&str], fault: impl Fn(Which) -> Box<dyn AnyFault>) -> Vec<Box<dyn AnyFault>> {
    whose.iter().map(|member| fault(Which::Mounted((*member).into(), "peer".into()))).collect()
}

/// New leaves, which etcd reads by itself.
fn rotate(whose: &[&str]) -> Runbook {
    let rotate = |book: Runbook, member: &&str| book.then(Step::Rotate { service: (*member).into() });
    whose.iter().fold(Runbook::new(), rotate)
}
