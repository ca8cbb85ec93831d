//! The catalogue: what is wrong, and what a sound system makes of it.

use std::time::Duration;

use notafter::{
    fault::{Damage, Flaw, Which, damage, expire, expired, flawed, revoked, rotated, stale_list},
    history::Refusal,
    pki::Manner,
    scenario::Scenario,
    suite::{Specimen, Template},
    system::System,
};

use crate::shape::{borne, changed, refused, refused_node, renewed, restarted_after, trio, with, with_all};

/// A fault, its controls, each on a system with a defect, and the defects in words.
type Row = (Vec<Template>, Vec<Specimen>);

/// A fault and its controls: the same on a system with a defect, which these checks must catch. The first
/// control has the name of the fault, others have their own.
macro_rules! rows {
    ($($name:literal, $about:literal, $system:expr, $build:expr,
        control: $words:literal, $defect:expr, $caught_by:expr
        $(, and $other:literal: $its_words:literal, $its_defect:expr, $its_caught_by:expr)*;)*) => {
        vec![$((
            vec![
                Template {
                    name: concat!("fault/", $name).into(),
                    about: $about,
                    system: $system,
                    build: |system, _| Scenario { about: $about.into(), ..$build(system) },
                },
                control!($name, $name, $about, $system, $build, $words, $defect, $caught_by),
                $(control!(
                    $other, $name, $about, $system, $build, $its_words, $its_defect, $its_caught_by
                ),)*
            ],
            vec![
                specimen!($name, $name, $system, $words, $defect),
                $(specimen!($other, $name, $system, $its_words, $its_defect),)*
            ],
        ),)*]
    };
}

macro_rules! control {
    ($name:literal, $of:literal, $about:literal, $system:expr, $build:expr, $words:literal, $defect:expr,
        $caught_by:expr) => {
        Template {
            name: concat!("control-of/", $name).into(),
            about: concat!("the same where ", $words),
            system: || $defect($system()),
            build: |system, _| Scenario {
                about: concat!("The control of fault/", $of, ": ", $about, ", where ", $words).into(),
                ..$build(system).failing(&$caught_by)
            },
        }
    };
}

macro_rules! specimen {
    ($name:literal, $of:literal, $system:expr, $words:literal, $defect:expr) => {
        Specimen {
            defect: $words.into(),
            control: concat!("control-of/", $name).into(),
            sound: concat!("fault/", $of).into(),
            seen: stack::defects::seen(&$defect($system()), &$system()),
        }
    };
}

mod around;
mod composed;
mod hidden;
mod replaced;

/// Every fault, each before its control.
pub fn rows() -> Vec<Row> {
    let mut all = presented();
    all.extend(shown());
    all.extend(endured());
    all.extend(renewals());
    all.extend(replaced::rows());
    all.extend(hidden::rows());
    all.extend(composed::rows());
    all.extend(around::rows());
    all
}

/// What archive presents, and search refuses. The control says that it is well whatever happens.
fn presented() -> Vec<Row> {
    rows! {
        "server-leaf-expired", "archive presents a leaf that has ended: root -> issuing -> [leaf]",
        trio, |system| refused(system, "archive", expire("archive"), Refusal::Expired),
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "server-leaf-not-yet-valid", "archive presents a leaf that has not begun: root -> issuing -> [leaf]",
        trio, |system| refused(system, "archive", flawed(archive(), Flaw::LeafNotYetValid), Refusal::NotYetValid),
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "server-issuing-expired", "archive presents a good leaf under a CA that has ended: root -> [issuing] -> leaf",
        trio, |system| refused(system, "archive", flawed(archive(), Flaw::IssuingExpired), Refusal::Expired),
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "leaf-outlives-issuer", "archive presents a leaf for a day under a CA for seconds: root -> [issuing] -> leaf",
        trio, |system| {
            let flaw = Flaw::IssuingEndsIn(Duration::from_secs(2));
            refused(system, "archive", flawed(archive(), flaw), Refusal::Expired)
        },
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "wrong-name", "archive presents a leaf that names another service: root -> issuing -> [leaf]",
        trio, |system| refused(system, "archive", flawed(archive(), Flaw::WrongName), Refusal::WrongName),
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "wrong-purpose", "archive presents a leaf that is for clients only: root -> issuing -> [leaf]",
        trio, |system| refused(system, "archive", flawed(archive(), Flaw::WrongPurpose), Refusal::WrongPurpose),
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "missing-intermediate", "archive presents its leaf alone: root -> [ ] -> leaf",
        trio, |system| refused(system, "archive", flawed(archive(), Flaw::MissingIntermediate), Refusal::UnknownIssuer),
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
        "issuer-rotated-before-trust", "archive presents a leaf of the next root, which search does not trust yet",
        trio, |system| {
            let fault = flawed(archive(), Flaw::IssuerRotatedBeforeTrust);
            refused(system, "archive", fault, Refusal::UnknownIssuer)
        },
        control: "nobody says that anything is wrong", unnoticed, ["detected-within"];
    }
}

/// What search shows, and archive refuses. The control lets in anybody; then nobody notices, but for a
/// service that looks at the end of its own certificate.
fn shown() -> Vec<Row> {
    const LET_IN: [&str; 3] = ["refused", "detected-within", "nothing-accepted-unauthenticated"];
    rows! {
        "client-leaf-expired", "search shows a leaf that has ended: root -> issuing -> [leaf]",
        trio, |system| refused(system, "search", expire("search"), Refusal::Expired),
        control: "archive lets in anybody", fails_open, ["refused", "nothing-accepted-unauthenticated"];
        "client-leaf-not-yet-valid", "search shows a leaf that has not begun: root -> issuing -> [leaf]",
        trio, |system| refused(system, "search", flawed(search(), Flaw::LeafNotYetValid), Refusal::NotYetValid),
        control: "archive lets in anybody", fails_open, LET_IN;
        "client-issuing-expired", "search shows a good leaf under a CA that has ended: root -> [issuing] -> leaf",
        trio, |system| refused(system, "search", flawed(search(), Flaw::IssuingExpired), Refusal::Expired),
        control: "archive lets in anybody", fails_open, LET_IN;
        "client-missing-intermediate", "search shows its leaf alone: root -> [ ] -> leaf",
        trio, |system| refused(system, "search", flawed(search(), Flaw::MissingIntermediate), Refusal::UnknownIssuer),
        control: "archive lets in anybody", fails_open, LET_IN;
        "renewal-needs-expired", "archive renews its workload certificate with a node certificate that has ended: it \
         cannot help itself, people must",
        trio, |system| {
            let node = Which::Mounted("archive".into(), "node".into());
            refused_node(system, "archive", expired(node))
        },
        control: "manager lets in anybody", |system| with(system, "manager", "fails_open"),
        ["refused", "nothing-accepted-unauthenticated"];
        "client-revoked", "the leaf that search shows is on the revocation list of archive: root -> issuing -> [leaf]",
        trio, |system| refused(system, "search", revoked("search", "archive"), Refusal::Revoked),
        control: "archive looks at no revocation list", |system| with(system, "archive", "ignores_revocation"),
        ["refused", "detected-within"];
        "revocation-list-stale", "the revocation list of archive has run out, and nobody is on it; TLS has no alert \
         for that, and unknown_ca stands for it",
        trio, |system| refused(system, "archive", stale_list("archive"), Refusal::UnknownIssuer),
        control: "archive believes lists that have run out", |system| with(system, "archive", "believes_old_lists"),
        ["refused", "detected-within"];
        "old-root-pulled-early", "archive trusts the next root alone, and search shows a leaf of the old one",
        trio, |system| {
            let fault = flawed(Which::Served("archive".into()), Flaw::OldRootPulledEarly);
            refused(system, "archive", fault, Refusal::UnknownIssuer)
        },
        control: "archive lets in anybody", fails_open, LET_IN;
    }
}

/// What nobody should notice.
fn endured() -> Vec<Row> {
    rows! {
        "root-expired", "the root that archive trusts has ended: [root] -> issuing -> leaf. Names and keys are \
         trusted, not dates (RFC 5280, 6.1.1); OpenSSL sees it otherwise",
        trio, |system| borne(system, "archive", flawed(archive(), Flaw::RootExpired)),
        control: "archive trusts no root that has ended", |system| with(system, "archive", "refuses_expired_roots"), ["keeps-serving"];
        "cross-sign-expired", "search shows a root that another has signed for too short, beside a good path",
        trio, |system| borne(system, "search", flawed(search(), Flaw::CrossSignExpired)),
        control: "archive takes no other path", |system| with(system, "archive", "builds_no_other_path"), ["keeps-serving"];
        "authority-rotated", "every certificate is replaced by one under a new root, which is trusted before and \
         alone after: [root] -> [issuing] -> [leaf]",
        trio, |system| changed(system, rotated("mesh", true)),
        control: "archive reads its bundle once", |system| with(system, "archive", "bundle_read_once"),
        ["keeps-serving", "stays-ready"],
        and "root-dropped-early": "archive trusts the newest root alone",
        |system| with(system, "archive", "trusts_newest_root_only"), ["keeps-serving", "stays-ready"];
        "root-added", "archive presents a leaf under a new root, which search was told to trust before, beside the \
         old one: [root] -> [issuing] -> [leaf]",
        trio, |system| changed(system, rotated("mesh", false)),
        control: "search trusts whom it calls by the bundle of its start",
        |system| with(system, "search", "client_bundle_read_once"), ["stays-ready"];
        "restart-after-rotation", "every certificate is replaced by one under a new root, and then archive is \
         restarted and gets another from manager: [root] -> [issuing] -> [leaf]",
        trio, |system| restarted_after(system, "archive", rotated("mesh", true)),
        control: "manager issues with the key that it had at its start",
        |system| with(system, "manager", "caches_issuer"), ["recovers-within"];
        "key-of-another", "the key that archive finds is another certificate's",
        trio, |system| borne(system, "archive", damage(archive(), Damage::KeyOfAnother)),
        control: "archive drops what was good", drops, ["keeps-serving"];
        "truncated-chain", "the certificate that archive finds is cut off in the middle",
        trio, |system| borne(system, "archive", damage(archive(), Damage::TruncatedChain)),
        control: "archive drops what was good", drops, ["keeps-serving"];
        "empty-bundle", "the bundle that archive finds is empty",
        trio, |system| borne(system, "archive", damage(archive(), Damage::EmptyBundle)),
        control: "archive drops what was good", drops, ["keeps-serving"];
        "key-for-everybody", "the key that archive finds can be read by everybody",
        trio, |system| borne(system, "archive", damage(archive(), Damage::KeyForEverybody)),
        control: "archive drops what was good", drops, ["keeps-serving"];
        "certificate-removed", "the certificate of archive and its key are taken away: [ ]",
        trio, |system| borne(system, "archive", damage(archive(), Damage::Removed)),
        control: "archive drops what was good", drops, ["keeps-serving"];
        "torn-pair", "archive finds a new certificate, and its key only a while later",
        trio, |system| borne(system, "archive", damage(archive(), Damage::TornPair)),
        control: "archive drops what was good", drops, ["keeps-serving"];
    }
}

/// A certificate that nears its end and is replaced on disk: it counts when it is on the wire.
fn renewals() -> Vec<Row> {
    const STALE: [&str; 2] = ["replaced-before-expiry", "keeps-serving"];
    rows! {
        "renewed-by-swap", "the certificate of archive is renewed in time, as a kubelet swaps a folder",
        trio, |system| renewed(system, Manner::Swap),
        control: "archive reloads once and never again", |system| with(system, "archive", "reloads_once"), STALE;
        "renewed-by-rename", "the certificate of archive is renewed in time, each file moved over the old one",
        trio, |system| renewed(system, Manner::Rename),
        control: "archive watches moved links only", |system| with(system, "archive", "watches_links_only"), STALE;
        "renewed-in-place", "the certificate of archive is renewed in time, each file written where it is",
        trio, |system| renewed(system, Manner::InPlace),
        control: "archive watches moved links only", |system| with(system, "archive", "watches_links_only"), STALE;
    }
}

fn archive() -> Which {
    Which::Served("archive".into())
}

fn search() -> Which {
    Which::Served("search".into())
}

/// Everybody says that all is well.
fn unnoticed(system: System) -> System {
    with_all(system, "health_lies")
}

/// The archive lets in anybody.
fn fails_open(system: System) -> System {
    with(system, "archive", "fails_open")
}

/// The archive gives up a good credential for one that makes no sense.
fn drops(system: System) -> System {
    with(system, "archive", "drops_what_was_good")
}
