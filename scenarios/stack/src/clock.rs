//! The clock by which certificates live: the machine's, unless somebody has moved this process's.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use notafter::service::clock_ahead;
use rustls::{pki_types::UnixTime, time_provider::TimeProvider};
use time::OffsetDateTime;

/// How far it is ahead of the machine's, in seconds. A process has one clock, whoever asks.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// The clock, for rustls.
#[derive(Debug)]
pub struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_micros(unix_us())))
    }
}

/// Looks whether somebody has moved it: `file` says by how much, and is not there as long as nobody has.
pub fn look(file: &Path) {
    AHEAD.store(clock_ahead(file), Ordering::Relaxed);
}

/// Microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let machine = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    machine.saturating_add_signed(AHEAD.load(Ordering::Relaxed).saturating_mul(1_000_000))
}

/// Whole seconds since the Unix epoch.
pub fn unix_seconds() -> i64 {
    i64::try_from(unix_us() / 1_000_000).unwrap_or(i64::MAX)
}

/// The same as a date.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_micros(unix_us())
}
