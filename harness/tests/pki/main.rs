//! What the harness mints is judged here by two others: webpki and the openssl command line.

mod judges;

use std::time::{Duration, SystemTime};

use judges::{Judgement, Question, ask_both, openssl, openssl_with_lists, unix, webpki};
use notafter::pki::{Authority, Credential, Identity, Overlap, Usage, Validity, leaf_of};

const HOUR: Duration = Duration::from_hours(1);

fn authority() -> Authority {
    Authority::new("mesh").expect("an authority")
}

fn issue(authority: &Authority, validity: Validity) -> Credential {
    authority.issue(&Identity::service("archive"), validity).expect("a credential")
}

/// `root -> issuing -> archive`, nothing wrong.
#[test]
fn a_valid_chain_is_accepted() {
    let credential = issue(&authority(), Validity::lasting(HOUR));
    for usage in [Usage::ServerAuth, Usage::ClientAuth] {
        assert_eq!(ask_both(&credential, Question { usage, ..Question::now() }), Judgement::Accepted);
    }
}

/// `root -> issuing -> archive`: the leaf, and only the leaf, is expired.
#[test]
fn a_leaf_past_its_not_after_is_refused_as_expired() {
    let credential = issue(&authority(), Validity::ended(Duration::ZERO));
    assert_eq!(ask_both(&credential, Question::now()), Judgement::Expired);
}

/// `root -> issuing -> archive`: the leaf, and only the leaf, has not begun.
#[test]
fn a_leaf_before_its_not_before_is_refused_as_not_yet_valid() {
    let credential = issue(&authority(), Validity::starting_in(HOUR));
    assert_eq!(ask_both(&credential, Question::now()), Judgement::NotYetValid);
}

/// `root -> issuing -> archive`: the issuing CA, and only the issuing CA, is expired; the leaf
/// outlives it.
#[test]
fn a_leaf_past_its_issuer_is_refused() {
    let root = Validity::lasting(HOUR);
    let authority = Authority::with_validity("mesh", root, Validity::ended(HOUR)).expect("an authority");
    let credential = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(ask_both(&credential, Question::now()), Judgement::Expired);
}

/// `root -> issuing -> archive`: the caller wanted another name.
#[test]
fn a_leaf_for_another_name_is_refused() {
    let credential = issue(&authority(), Validity::lasting(HOUR));
    assert_eq!(ask_both(&credential, Question { name: "search", ..Question::now() }), Judgement::WrongName);
}

/// `root -> issuing -> archive`: the leaf is a client's and presents itself as a server.
#[test]
fn a_leaf_for_another_purpose_is_refused() {
    let client = authority().issue(&Identity::client("archive"), Validity::lasting(HOUR));
    let client = client.expect("a credential");
    let as_client = Question { usage: Usage::ClientAuth, ..Question::now() };
    assert_eq!(ask_both(&client, as_client), Judgement::Accepted);
    assert_eq!(ask_both(&client, Question::now()), Judgement::WrongPurpose);
}

/// `root -> issuing -> archive`: the holder of the bundle trusts another authority of the same name.
#[test]
fn a_leaf_of_another_authority_is_refused() {
    let credential = issue(&authority(), Validity::lasting(HOUR)).with_bundle(authority().bundle());
    assert_eq!(ask_both(&credential, Question::now()), Judgement::UnknownIssuer);
}

/// `root -> [issuing] -> archive`: another issuing CA under the same root, which has ended.
#[test]
fn a_leaf_under_an_issuing_ca_that_has_ended_is_refused_and_one_beside_it_is_not() {
    let authority = authority();
    let short = authority.issuer_lasting(Validity::ended(HOUR)).expect("an issuer");
    let credential = short.issue(&Identity::service("archive"), Validity::lasting(HOUR)).expect("a leaf");
    assert_eq!(ask_both(&credential, Question::now()), Judgement::Expired);
    let beside = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(
        ask_both(&beside.with_bundle(credential.bundle_pem().into()), Question::now()),
        Judgement::Accepted
    );
}

/// `[root] -> issuing -> archive`: verifiers disagree about the dates of what is trusted.
#[test]
fn a_root_that_has_ended_is_trusted_by_webpki_and_not_by_openssl() {
    let authority = authority();
    let ended = authority.root_lasting(Validity::ended(HOUR)).expect("a root");
    let credential = issue(&authority, Validity::lasting(HOUR)).with_bundle(ended);
    assert_eq!(webpki(&credential, Question::now()), Judgement::Accepted);
    assert_eq!(openssl(&credential, Question::now()), Judgement::Expired);
}

/// `root -> issuing -> archive`, and beside it `old root -> [root] -> issuing -> archive`.
#[test]
fn a_cross_signed_root_that_has_ended_spoils_no_other_path() {
    let authority = authority();
    let issuer = authority.issuer_cross_signed(Validity::ended(HOUR)).expect("an issuer");
    let credential = issuer.issue(&Identity::service("archive"), Validity::lasting(HOUR)).expect("a leaf");
    assert_eq!(ask_both(&credential, Question::now()), Judgement::Accepted);
    // Who trusts the old root alone has no other path.
    let old = credential.bundle_pem().split_inclusive("-----END CERTIFICATE-----\n").nth(1).expect("a root");
    assert_eq!(ask_both(&credential.clone().with_bundle(old.into()), Question::now()), Judgement::Expired);
}

/// `root -> issuing -> archive`: the chain is cut off above the leaf.
#[test]
fn a_leaf_without_what_leads_to_a_root_is_of_an_unknown_issuer() {
    let credential = issue(&authority(), Validity::lasting(HOUR)).without_intermediates();
    assert_eq!(ask_both(&credential, Question::now()), Judgement::UnknownIssuer);
}

#[test]
fn a_revocation_list_names_who_is_on_it_and_runs_out() {
    let authority = authority();
    let (on, off) = (issue(&authority, Validity::lasting(HOUR)), issue(&authority, Validity::lasting(HOUR)));
    let list = authority.issuer().revoke(&[on.leaf()], Validity::lasting(HOUR)).expect("a list");
    let with = |credential: &Credential, list: &str| credential.clone().with_revocations(list);
    assert_eq!(openssl_with_lists(&with(&on, &list), Question::now()), Judgement::Revoked);
    assert_eq!(openssl_with_lists(&with(&off, &list), Question::now()), Judgement::Accepted);
    let stale = authority.issuer().revoke(&[], Validity::ended(HOUR)).expect("a list");
    assert_eq!(openssl_with_lists(&with(&off, &stale), Question::now()), Judgement::StaleList);
    // What is written is read again, list and all.
    let folder = tempfile::tempdir().expect("a folder");
    with(&on, &list).write(folder.path()).expect("written");
    let read = Credential::read(folder.path()).expect("a credential");
    assert_eq!(read.revocations_der().expect("lists").len(), 1);
    on.write(folder.path()).expect("written");
    assert_eq!(
        Credential::read(folder.path()).expect("a credential").revocations_der().expect("none").len(),
        0
    );
}

#[test]
fn a_leaf_names_its_addresses() {
    let loopback = "127.3.0.9".parse().expect("an address");
    let identity = Identity { addresses: vec![loopback], ..Identity::service("archive") };
    let credential = authority().issue(&identity, Validity::lasting(HOUR)).expect("a credential");
    let asked = Question { name: "127.3.0.9", ..Question::now() };
    assert_eq!(ask_both(&credential, asked), Judgement::Accepted);
    assert_eq!(ask_both(&credential, Question { name: "127.3.0.8", ..asked }), Judgement::WrongName);
}

#[test]
fn during_an_overlap_old_and_new_leaves_are_accepted() {
    let mut authority = authority();
    let old = issue(&authority, Validity::lasting(HOUR));
    authority.rotate(Overlap::TrustBoth).expect("a rotation");
    let new = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(ask_both(&old.clone().with_bundle(authority.bundle()), Question::now()), Judgement::Accepted);
    assert_eq!(ask_both(&new, Question::now()), Judgement::Accepted);
    let behind = new.with_bundle(old.bundle_pem().into());
    assert_eq!(ask_both(&behind, Question::now()), Judgement::UnknownIssuer);

    authority.end_overlap().expect("the end of the overlap");
    let after = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(ask_both(&after, Question::now()), Judgement::Accepted);
    assert_eq!(ask_both(&old.with_bundle(authority.bundle()), Question::now()), Judgement::UnknownIssuer);
}

/// `old root -> archive`, and `new root -> archive`.
#[test]
fn a_root_that_signs_leaves_itself_is_replaced_by_one_that_does() {
    let mut authority = Authority::root("kubernetes").expect("an authority");
    let old = issue(&authority, Validity::lasting(HOUR));
    authority.rotate(Overlap::TrustBoth).expect("a rotation");
    let new = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(new.chain_der().len(), 1, "a leaf");
    assert_eq!(ask_both(&new, Question::now()), Judgement::Accepted);
    assert_eq!(ask_both(&old.clone().with_bundle(authority.bundle()), Question::now()), Judgement::Accepted);
    authority.end_overlap().expect("the end of the overlap");
    assert_eq!(ask_both(&old.with_bundle(authority.bundle()), Question::now()), Judgement::UnknownIssuer);
}

#[test]
fn without_an_overlap_an_old_leaf_is_refused() {
    let mut authority = authority();
    let old = issue(&authority, Validity::lasting(HOUR));
    authority.rotate(Overlap::TrustNewOnly).expect("a rotation");
    assert_eq!(ask_both(&issue(&authority, Validity::lasting(HOUR)), Question::now()), Judgement::Accepted);
    assert_eq!(ask_both(&old.with_bundle(authority.bundle()), Question::now()), Judgement::UnknownIssuer);
}

/// `old root -> new root -> issuing -> archive`, and `new root -> issuing -> archive`.
#[test]
fn a_cross_signed_leaf_is_accepted_under_the_old_bundle_the_new_root_and_both() {
    let mut authority = authority();
    let old = issue(&authority, Validity::lasting(HOUR));
    authority.rotate(Overlap::CrossSigned).expect("a rotation");
    let new = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(new.chain_der().len(), 3, "leaf, issuing CA, cross-signed root");
    assert_eq!(ask_both(&new, Question::now()), Judgement::Accepted);
    assert_eq!(ask_both(&old.clone().with_bundle(authority.bundle()), Question::now()), Judgement::Accepted);
    let behind = new.clone().with_bundle(old.bundle_pem().into());
    assert_eq!(ask_both(&behind, Question::now()), Judgement::Accepted);

    authority.end_overlap().expect("the end of the overlap");
    assert_eq!(ask_both(&new.with_bundle(authority.bundle()), Question::now()), Judgement::Accepted);
    let after = issue(&authority, Validity::lasting(HOUR));
    assert_eq!(after.chain_der().len(), 2, "leaf, issuing CA");
    assert_eq!(ask_both(&after, Question::now()), Judgement::Accepted);
    let behind = after.with_bundle(old.bundle_pem().into());
    assert_eq!(ask_both(&behind, Question::now()), Judgement::UnknownIssuer);
}

#[test]
fn a_second_rotation_keeps_every_root_of_the_overlap() {
    let mut authority = authority();
    let first = issue(&authority, Validity::lasting(HOUR));
    authority.rotate(Overlap::TrustBoth).expect("a rotation");
    authority.rotate(Overlap::TrustBoth).expect("a rotation");
    assert_eq!(ask_both(&first.with_bundle(authority.bundle()), Question::now()), Judgement::Accepted);
}

/// RFC 5280, 4.1.2.5: the last second is included. OpenSSL 3.0 excludes it, so it is asked about the
/// seconds beside it.
#[test]
fn the_last_second_is_included() {
    let end = SystemTime::now() + Duration::from_mins(30);
    let credential = issue(&authority(), Validity::between(SystemTime::now() - HOUR, end));
    let last = unix(end);
    assert_eq!(credential.leaf().not_after, last);
    let at = |second| Question { at: second, ..Question::now() };
    assert_eq!(webpki(&credential, at(last)), Judgement::Accepted);
    assert_eq!(webpki(&credential, at(last + 1)), Judgement::Expired);
    assert_eq!(openssl(&credential, at(last - 1)), Judgement::Accepted);
    assert_eq!(openssl(&credential, at(last + 1)), Judgement::Expired);
}

/// The first second is included, as both judges agree.
#[test]
fn the_first_second_is_included() {
    let begin = SystemTime::now() - Duration::from_mins(30);
    let older = Validity::between(begin - HOUR, begin + HOUR);
    let authority = Authority::with_validity("mesh", older, older).expect("an authority");
    let credential = issue(&authority, Validity::between(begin, begin + HOUR));
    let first = unix(begin);
    assert_eq!(credential.leaf().not_before, first);
    let at = |second| Question { at: second, ..Question::now() };
    assert_eq!(ask_both(&credential, at(first)), Judgement::Accepted);
    assert_eq!(ask_both(&credential, at(first - 1)), Judgement::NotYetValid);
}

#[test]
fn a_reissued_leaf_is_accepted_with_the_same_key_and_another_serial() {
    let authority = authority();
    let expired = issue(&authority, Validity::ended(HOUR));
    let again = authority.reissue(&expired, &Identity::service("archive"), Validity::lasting(HOUR));
    let again = again.expect("a credential");
    assert_eq!(again.key_pem(), expired.key_pem());
    assert_ne!(again.leaf().serial, expired.leaf().serial);
    assert_eq!(ask_both(&again, Question::now()), Judgement::Accepted);
}

#[test]
fn a_service_with_the_issuing_key_issues_the_same_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = authority();
    authority.write_issuer(folder.path()).expect("a folder with the issuing CA");
    let issuer = notafter::pki::Issuer::read(folder.path()).expect("the issuing CA");
    let credential = issuer.issue(&Identity::service("archive"), Validity::lasting(HOUR));
    let credential = credential.expect("a credential").with_bundle(authority.bundle());
    assert_eq!(ask_both(&credential, Question::now()), Judgement::Accepted);
}

/// The serial and the dates in a history are those that openssl prints.
#[test]
fn openssl_reads_the_same_serial_and_dates() {
    let credential = issue(&authority(), Validity::lasting(HOUR));
    let leaf = leaf_of(&credential.chain_der()[0]).expect("a leaf");
    let printed =
        judges::openssl_prints(credential.chain_pem(), &["-serial", "-enddate", "-dateopt", "iso_8601"]);
    assert!(printed.contains(&format!("serial={}", leaf.serial.to_uppercase())), "{printed}");
    let end = time::OffsetDateTime::from_unix_timestamp(leaf.not_after).expect("a date");
    assert!(printed.contains(&format!("notAfter={} {}", end.date(), clock(end))), "{printed}");
}

/// The profile of RFC 5280: identifiers of both keys, CA or not, what the key is for.
#[test]
fn extensions_are_those_of_the_profile() {
    let credential = issue(&authority(), Validity::lasting(HOUR));
    let leaf = judges::openssl_prints(credential.chain_pem(), &["-text"]);
    for wanted in [
        "id-ecPublicKey",
        "prime256v1",
        "ecdsa-with-SHA256",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "DNS:archive\n",
    ] {
        assert!(leaf.contains(wanted), "no `{wanted}` in {leaf}");
    }
    let issuing =
        &credential.chain_pem()[credential.chain_pem().rfind("-----BEGIN").expect("a second section")..];
    for (pem, path_length) in [(issuing, 0), (credential.bundle_pem(), 2)] {
        let printed = judges::openssl_prints(pem, &["-text"]);
        let constraint =
            format!("X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:{path_length}");
        let usage = "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign";
        for wanted in [&constraint, usage, "X509v3 Subject Key Identifier", "X509v3 Authority Key Identifier"]
        {
            assert!(printed.contains(wanted), "no `{wanted}` in {printed}");
        }
    }
}

fn clock(instant: time::OffsetDateTime) -> String {
    let (hour, minute, second) = instant.to_hms();
    format!("{hour:02}:{minute:02}:{second:02}Z")
}
