//! More than one thing goes wrong: at once, during a repair, or with some of many.

use notafter::{
    fault::{Flaw, Which, expire, expired, flawed},
    scenario::Scenario,
    suite::{Specimen, Template},
    system::System,
};

use super::Row;
use crate::shape::{
    broken_again, crowd, due, renewed_late, some_refused, trio, with, with_all, with_renewal,
};

pub fn rows() -> Vec<Row> {
    rows! {
        "two-at-once", "the certificate of archive is due while manager, which renews it, presents a wrong name; \
         manager is repaired before the other ends", renewing,
        |system| {
            let wrong = flawed(Which::Served("manager".into()), Flaw::WrongName);
            renewed_late(system, "manager", vec![wrong, due("archive")])
        },
        control: "archive waits an hour after a renewal that failed",
        |system| with(system, "archive", "backs_off_for_hours"), ["replaced-before-expiry"];
        "during-repair", "the certificate of manager ends while people repair the one of archive, which needs it", trio,
        |system| broken_again(system, "archive", expire("archive"), "manager", expire("manager")),
        control: "nobody says that anything is wrong", |system| with_all(system, "health_lies"),
        ["detected-within"];
        "some-of-many", "2 of 3 replicas of search show a leaf that has ended; users of the third go on", crowd,
        |system| {
            let some = ["search-2", "search-3"];
            let fault = expired(Which::ServedBy(some.map(String::from).into()));
            some_refused(system, &some, fault)
        },
        control: "archive lets in anybody", |system| with(system, "archive", "fails_open"),
        ["refused", "nothing-accepted-unauthenticated"];
    }
}

/// Archive renews by itself what is due.
fn renewing() -> System {
    with_renewal(trio(), "archive")
}
