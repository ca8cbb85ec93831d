//! What hides an expiry, or a service from its certificate, until the next handshake or the next start.

use notafter::{
    fault::{Which, expired, withheld},
    scenario::Scenario,
    suite::{Specimen, Template},
};

use super::Row;
use crate::shape::{absent, masked, near, restarted, trio, with};

pub fn rows() -> Vec<Row> {
    rows! {
        "masked-by-resumption", "the leaf that search shows ends, and sessions that began before are resumed: \
         root -> issuing -> [leaf]", trio,
        |system| masked(system, "search", near("search")),
        control: "archive looks at no certificate of a resumed session",
        |system| with(system, "archive", "resumption_bypasses_the_check"),
        ["no-session-outlives-expiry", "nothing-accepted-unauthenticated"];
        "absent-at-boot", "manager is restarted before its certificate is there: [ ]. It comes up when it is", trio,
        |system| absent(system, "manager", withheld("manager")),
        control: "manager looks once", |system| with(system, "manager", "gives_up_without_credential"),
        ["recovers-within"];
        "restart-after-expiry", "the node certificate of archive has ended, and archive is restarted: what it serves \
         needs another certificate, which it has on its disk", trio,
        |system| restarted(system, "archive", expired(Which::Mounted("archive".into(), "node".into()))),
        control: "archive forgets at its end what manager has issued",
        |system| with(system, "archive", "forgets_credential"), ["survives-restart"],
        and "expired-blocks-start": "archive does not start while a certificate of its own has ended",
        |system| with(system, "archive", "expired_blocks_start"), ["survives-restart"];
    }
}
