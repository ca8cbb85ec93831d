//! What had to be refused.

use super::*;

#[test]
fn what_expired_in_use_is_refused_as_expired() {
    let check = refused(Refusal::Expired);
    passes(
        &*check,
        Script::outage(),
        "442 handshakes refused for `certificate expired`, none for another reason",
    );
    fails(
        &*check,
        Script::expiry(),
        "served that had to be refused for `certificate expired`: search -> archive",
    );
    let gone = Script::expiry().unreachable("search", "archive", EXPIRY..9_000);
    fails(&*check, gone, "none of 980 fresh handshakes after the fault bit was refused");
}

#[test]
fn a_refusal_for_another_reason_fails() {
    let check = refused(Refusal::Expired);
    let other = Script::outage().refuses("search", "archive", 4_100..4_210, Refusal::UnknownIssuer);
    fails(
        &*check,
        other,
        "refused otherwise than for `certificate expired`: search -> archive, 4.1 s into the run, by the client for `unknown issuer`",
    );
    let early = Script::outage().refuses("search", "archive", 900..4_210, Refusal::Expired);
    fails(
        &*check,
        early,
        "refused otherwise than for `certificate expired`: search -> archive, 1 s into the run",
    );
    // As Go does, which refuses a certificate as soon as its last second begins.
    let last_second = Script::outage().refuses("search", "archive", 1_100..4_210, Refusal::Expired);
    passes(&*check, last_second, "none for another reason");
    let bystander =
        Script::outage().hop("gateway", "auth").refuses("gateway", "auth", 4_000..4_005, Refusal::Expired);
    fails(&*check, bystander, "gateway -> auth");
}

/// As etcd, which reads certificate and key anew at each handshake.
#[test]
fn a_server_that_got_halves_of_two_pairs_says_nothing_about_certificates() {
    let check = refused(Refusal::Expired);
    let torn = |span: std::ops::Range<u64>, words: &str| {
        let outcome = Outcome::Refused { by: Side::Server, reason: Refusal::Other(words.into()) };
        Script::outage().answers("search", "archive", span, outcome)
    };
    let internal = "alert InternalError";
    passes(&*check, torn(4_150..4_200, internal), "refused for `certificate expired`, none for another");
    // Whoever brings the server its files does so after they were installed, and before it presents them.
    passes(&*check, torn(4_150..4_260, internal), "refused for `certificate expired`, none for another");
    fails(&*check, torn(3_500..3_600, internal), "by the server for `alert InternalError`");
    fails(&*check, torn(4_300..4_400, internal), "by the server for `alert InternalError`");
    fails(
        &*check,
        torn(4_000..4_100, "alert HandshakeFailure"),
        "by the server for `alert HandshakeFailure`",
    );
}

#[test]
fn a_fault_that_was_averted_lets_nothing_be_refused() {
    let check = refused(Refusal::Expired);
    let averted = Script::new().hop("search", "archive").fault("archive").renews("archive", 1_500);
    let averted = averted.expires("archive", false);
    passes(&*check, averted.clone(), "no handshake was refused");
    fails(
        &*check,
        averted.refuses("search", "archive", 3_000..3_005, Refusal::Expired),
        "1 handshake refused",
    );
}

#[test]
fn refusals_are_unknown_when_nothing_bit_or_nobody_asked() {
    let check = refused(Refusal::Expired);
    cannot_tell(&*check, Script::new().hop("search", "archive").fault("archive"), "reached its end");
    cannot_tell(
        &*refused(Refusal::WrongName),
        Script::new().hop("a", "b"),
        "no credential of the fault landed",
    );
    let unasked = Script::outage().hop("search", "archive").dies(2_000);
    cannot_tell(&*check, unasked, "no fresh handshake was tried after the fault bit");
    cannot_tell(&*check, unsteady(Script::outage()), "steady phase never ended");
    cannot_tell(&*check, jumped(Script::outage()), "clock jumped");
}

#[test]
fn other_reasons_bite_from_the_landing() {
    let script = Script::new().hop("search", "archive").fault("archive");
    let named = script.refuses("search", "archive", 1_010..JUDGED, Refusal::WrongName);
    passes(&*refused(Refusal::WrongName), named.clone(), "refused for `wrong name`");
    fails(&*refused(Refusal::Revoked), named, "refused otherwise than for `certificate revoked`");
}

#[test]
fn nobody_is_served_without_a_valid_certificate() {
    let check = nothing_accepted_unauthenticated();
    let asked = Script::outage()
        .asks(500, Question::WithoutCertificate, None)
        .asks(2_500, Question::WithForeign, Some(403))
        .asks(2_600, Question::WithExpired, None);
    passes(&*check, asked.clone(), "3 intruders refused");
    let served = asked.clone().asks(2_700, Question::WithForeign, Some(200));
    fails(
        &*check,
        served,
        "1 request served without a valid certificate; first: search -> archive, a client with a certificate of a foreign authority, 2.7 s into the run, status 200",
    );
    let resumed = asked.clone().asks(2_800, Question::Resumed, Some(204));
    fails(&*check, resumed, "a resumed session");
    let open = asked.clone().asks(2_800, Question::Open, Some(200));
    passes(&*check, open, "3 intruders refused");
    cannot_tell(&*check, Script::outage(), "no intruder ever asked");
    cannot_tell(&*check, jumped(asked), "clock jumped");
}

#[test]
fn a_certificate_has_ended_after_its_last_second_and_what_clocks_may_differ() {
    let check = nothing_accepted_unauthenticated();
    let asked = Script::expiry().asks(500, Question::WithoutCertificate, None);
    let answers = |from| asked.clone().refuses("search", "archive", from..9_000, Refusal::Expired);
    passes(&*check, answers(EXPIRY + 105), "1 intruder refused");
    fails(&*check, answers(EXPIRY + 110), "1 request served without a valid certificate");
}

#[test]
fn an_open_connection_ends_with_its_certificate() {
    let check = no_connection_outlives_expiry(ms(100));
    let within =
        Script::outage().asks(1_500, Question::Open, Some(200)).asks(2_050, Question::Open, Some(200));
    cannot_tell(&*check, within.clone(), "no open connection was asked more than 100 ms after");
    passes(&*check, within.clone().asks(2_200, Question::Open, None), "none of 1 request later than 100 ms");
    fails(&*check, within.clone().asks(2_500, Question::Open, Some(200)), "served up to 500 ms after");
    cannot_tell(&*check, jumped(within.asks(2_500, Question::Open, Some(200))), "clock jumped");
}

#[test]
fn a_resumed_session_is_worth_no_more_than_the_certificates_it_began_with() {
    let check = no_session_outlives_expiry(ms(100));
    let before = Script::outage().asks(1_500, Question::Resumed, Some(200));
    cannot_tell(&*check, before.clone(), "no resumed session was asked more than 100 ms after");
    passes(&*check, before.clone().asks(2_200, Question::Resumed, Some(403)), "none of 1 request later");
    fails(
        &*check,
        before.asks(2_500, Question::Resumed, Some(200)),
        "on resumed sessions served up to 500 ms",
    );
}
