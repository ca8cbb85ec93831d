//! From when to when a certificate is valid, in the resolution that certificates have.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// From when to when a certificate is valid (RFC 5280, 4.1.2.5): whole seconds, both ends included.
///
/// The constructors round down to whole seconds and stay within the years that a certificate can
/// express, 1950 to 9999; minting does the same with fields that were set by hand.
///
/// The last second counts, so peers begin to refuse at [`Self::refused_from`], up to one second
/// after the instant that was asked for. Not everybody reads the standard that way: OpenSSL
/// 3.0 refuses during the last second already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second in which it is valid.
    pub not_before: SystemTime,
    /// Last second in which it is valid.
    pub not_after: SystemTime,
}

/// How far a fresh certificate reaches back, so that a peer whose clock is slow accepts it.
const BACKDATED: Duration = Duration::from_mins(1);
/// How long ago a certificate that nears its end, or has passed it, began before.
const DAY: Duration = Duration::from_hours(24);
/// 1950-01-01 00:00:00 UTC: what `UTCTime` begins with.
const EARLIEST: i64 = -631_152_000;
/// 9999-12-31 23:59:59 UTC: "no well-defined expiration date".
const LATEST: i64 = 253_402_300_799;

impl Validity {
    /// From one second to another. The order is not checked.
    pub fn between(from: SystemTime, to: SystemTime) -> Self {
        Self { not_before: at(seconds(from)), not_after: at(seconds(to)) }
    }

    /// Fresh: from one minute ago until `length` from now.
    pub fn lasting(length: Duration) -> Self {
        let now = SystemTime::now();
        Self::between(earlier(now, BACKDATED), later(now, length))
    }

    /// Near its end: from a day ago until `left` from now.
    pub fn ending_in(left: Duration) -> Self {
        let now = SystemTime::now();
        Self::between(earlier(now, DAY), later(now, left))
    }

    /// Past its end: refused by everybody for at least `ago`, after a day in which it was valid.
    pub fn ended(ago: Duration) -> Self {
        // The last second is still valid: one more, so that `ended(ZERO)` is over.
        let last = earlier(SystemTime::now(), ago.saturating_add(Duration::from_secs(1)));
        Self::between(earlier(last, DAY), last)
    }

    /// Not begun: valid for a day from `wait` from now, rounded up.
    pub fn starting_in(wait: Duration) -> Self {
        let first = later(SystemTime::now(), wait.saturating_add(Duration::from_secs(1)));
        Self::between(first, later(first, DAY))
    }

    /// The first instant in which it is no longer valid: one second after the beginning of the last.
    pub fn refused_from(&self) -> SystemTime {
        later(self.not_after, Duration::from_secs(1))
    }

    /// Last second in which it is valid, Unix seconds, as it will stand in the certificate.
    pub fn last_second(&self) -> i64 {
        self.unix().1
    }

    /// First and last second, Unix seconds, as they will stand in the certificate.
    pub(super) fn unix(&self) -> (i64, i64) {
        (seconds(self.not_before), seconds(self.not_after))
    }

    /// First and last second, as the minting library wants them.
    pub(super) fn datetimes(&self) -> (OffsetDateTime, OffsetDateTime) {
        // `seconds` keeps within the range of the type, so the fallback is never taken.
        let datetime = |unix| OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (first, last) = self.unix();
        (datetime(first), datetime(last))
    }
}

/// Unix seconds, rounded down and kept within what a certificate can express.
fn seconds(instant: SystemTime) -> i64 {
    let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let unix = match instant.duration_since(UNIX_EPOCH) {
        Ok(since) => whole(since),
        Err(before) => -whole(before.duration()) - i64::from(before.duration().subsec_nanos() > 0),
    };
    unix.clamp(EARLIEST, LATEST)
}

/// The beginning of a second. The argument comes from [`seconds`], which every clock can express.
fn at(unix: i64) -> SystemTime {
    let distance = Duration::from_secs(unix.unsigned_abs());
    if unix < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

fn later(instant: SystemTime, by: Duration) -> SystemTime {
    instant.checked_add(by).unwrap_or(at(LATEST))
}

fn earlier(instant: SystemTime, by: Duration) -> SystemTime {
    instant.checked_sub(by).unwrap_or(at(EARLIEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_whole_seconds_rounded_down_on_both_sides_of_1970() {
        let half = Duration::from_millis(1500);
        let validity = Validity::between(UNIX_EPOCH - half, UNIX_EPOCH + half);
        assert_eq!(validity.unix(), (-2, 1));
        assert_eq!(validity.not_before, UNIX_EPOCH - Duration::from_secs(2));
        assert_eq!(validity.refused_from(), UNIX_EPOCH + Duration::from_secs(2));
    }

    #[test]
    fn a_validity_that_has_ended_is_refused_by_now() {
        assert!(Validity::ended(Duration::ZERO).refused_from() <= SystemTime::now());
        assert!(Validity::ended(DAY).refused_from() <= SystemTime::now() - DAY);
    }

    #[test]
    fn a_validity_that_ends_soon_holds_until_then_and_not_a_second_longer() {
        let left = Duration::from_millis(1700);
        for make in [Validity::ending_in, Validity::lasting] {
            let before = SystemTime::now();
            let validity = make(left);
            let after = SystemTime::now();
            assert!(validity.refused_from() > before + left);
            assert!(validity.refused_from() <= after + left + Duration::from_secs(1));
            assert!(validity.not_before < before);
        }
    }

    #[test]
    fn a_validity_that_has_not_begun_begins_no_earlier_than_asked() {
        let wait = Duration::from_secs(10);
        let before = SystemTime::now();
        assert!(Validity::starting_in(wait).not_before > before + wait);
    }

    #[test]
    fn what_no_certificate_can_express_becomes_the_nearest_date() {
        let longest = Validity::lasting(Duration::MAX);
        assert_eq!(longest.unix().1, LATEST);
        let over = Validity::ended(Duration::MAX);
        assert_eq!(over.unix(), (EARLIEST, EARLIEST));
        assert_eq!(over.datetimes().0.year(), 1950);
        assert_eq!(longest.datetimes().1.year(), 9999);
    }
}
