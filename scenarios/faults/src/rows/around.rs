//! Certificates are good, or good again: what is wrong is a clock, or that everybody comes back at once.

use std::time::Duration;

use notafter::{
    fault::{Which, clock_ahead, clock_behind, expired},
    scenario::Scenario,
    suite::{Specimen, Template},
    system::System,
};

use super::Row;
use crate::shape::{bounded, stormed, timeless, trio, with, with_all};

/// No certificate of a run has begun so long ago, nor ends so late.
const FAR: Duration = Duration::from_hours(48);

pub fn rows() -> Vec<Row> {
    rows! {
        "clock-ahead", "the clock of archive is two days ahead: for it every certificate has ended, for others none",
        trio, |system| timeless(system, "archive", clock_ahead("archive", FAR)),
        control: "nobody says that anything is wrong", |system| with_all(system, "health_lies"),
        ["detected-within"];
        "clock-behind", "the clock of archive is two days behind: for it no certificate has begun, for others all have",
        trio, |system| timeless(system, "archive", clock_behind("archive", FAR)),
        control: "archive lets in anybody", |system| with(system, "archive", "fails_open"),
        ["refused", "nothing-accepted-unauthenticated"];
        "recovery-storm", "the certificate of manager has ended, and everybody whom that turned away comes back when \
         it is replaced; manager bears 100 connections: root -> issuing -> [leaf]", few_connections,
        |system| stormed(system, "manager", expired(Which::Served("manager".into()))),
        control: "all who wait behind search come back at the same moment",
        |system| with(system, "search", "thundering_retry"), ["stays-up"];
    }
}

/// The manager ends where more connections are open than it bears.
fn few_connections() -> System {
    bounded(trio(), "manager", 100)
}
