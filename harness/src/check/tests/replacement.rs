//! Alerts and renewals in time.

use super::*;

#[test]
fn an_alert_comes_with_its_lead() {
    let check = alerted_before_expiry(ms(500));
    let warned = |at| Script::outage().alert(at, AlertRule::Expiry, "archive");
    passes(&*check, warned(1_500), "alerts for all of 1 certificate, at least 500 ms before the end");
    fails(&*check, warned(1_501), "archive/mesh only 499 ms before");
    fails(&*check, warned(2_300), "archive/mesh 300 ms after");
    fails(&*check, Script::outage(), "archive/mesh never");
    fails(&*check, Script::outage().alert(1_500, AlertRule::Symptom, "archive"), "archive/mesh never");
    let two = warned(1_500).fault("auth").expires("auth", true);
    fails(&*check, two, "1 of 2 certificates without an alert 500 ms before the end: auth/mesh never");
    cannot_tell(&*check, Script::new().fault("archive"), "no certificate of the fault reached its end");
    cannot_tell(&*check, jumped(warned(1_500)), "clock jumped");
}

#[test]
fn a_renewal_in_time_is_no_alert() {
    let renewed = Script::new().fault("archive").renews("archive", 1_400).expires("archive", false);
    let check = alerted_before_expiry(ms(500));
    fails(&*check, renewed.clone(), "archive/mesh never");
    passes(&*check, renewed.alert(1_300, AlertRule::Expiry, "archive"), "700 ms before the end");
}

#[test]
fn a_certificate_is_replaced_in_time_when_it_is_off_the_wire_before_its_end() {
    let check = replaced_before_expiry();
    let script = || Script::new().operation("search").hop("search", "archive").fault("archive");
    passes(&*check, script().expires("archive", false), "all of 1 certificate replaced on the wire");
    fails(
        &*check,
        script().expires("archive", true),
        "1 of 1 certificate still in use at the end: archive/mesh",
    );
    cannot_tell(&*check, script(), "no certificate of the fault reached its end");
    cannot_tell(&*check, jumped(Script::expiry()), "the wall clock jumped");
}
