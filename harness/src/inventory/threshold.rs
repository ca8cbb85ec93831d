//! When a certificate is due, as fractions of its lifetime, because lifetimes shrink: 47 days from 2029
//! in the CA/Browser Forum's rules, six days at Let's Encrypt already.
//!
//! | level | from when |
//! |---|---|
//! | [`Level::RenewalOverdue`] | two thirds of the lifetime are used: what renews by itself should have |
//! | [`Level::Critical`] | less than a sixth of it is left |
//! | [`Level::Page`] | less than a twentieth of it, or less than a lead (an hour, if nobody says), is left |
//! | [`Level::Expired`] | its last second has passed |
//!
//! Everything that asks whether it is time, a finding, an alert, a calendar, asks here.

use serde::{Deserialize, Serialize};

/// One part in so many of a lifetime is left when [`Level::RenewalOverdue`] begins.
pub const RENEWAL_OVERDUE: i64 = 3;
/// One part in so many is left when [`Level::Critical`] begins.
pub const CRITICAL: i64 = 6;
/// One part in so many is left when [`Level::Page`] begins.
pub const PAGE: i64 = 20;
/// Less than this is left: somebody must be woken, whatever the lifetime was. Seconds.
pub const LEAD: i64 = 3_600;
/// In a second.
const MICROS: i128 = 1_000_000;

/// How near its end a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Valid, and nothing to do.
    Fine,
    /// It has not begun.
    NotYetValid,
    /// It should have been renewed: two thirds are used.
    RenewalOverdue,
    /// Less than a sixth is left.
    Critical,
    /// Less than a twentieth or less than an hour is left.
    Page,
    /// It has ended.
    Expired,
}

impl Level {
    /// In the words of documents: `renewal-overdue`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::NotYetValid => "not-yet-valid",
            Self::RenewalOverdue => "renewal-overdue",
            Self::Critical => "critical",
            Self::Page => "page",
            Self::Expired => "expired",
        }
    }
}

/// From when to when something is valid: first and last second, Unix seconds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

impl Lifetime {
    /// How near its end it is at a second.
    pub fn level(self, now: i64) -> Level {
        self.level_with(i128::from(now) * MICROS, i128::from(LEAD) * MICROS)
    }

    /// The same at a microsecond since 1970, where somebody is woken so many microseconds before the end at
    /// the latest: what lives for seconds cannot wait for the next whole one.
    pub fn level_with(self, now: i128, lead: i128) -> Level {
        let length = i128::from(self.length()) * MICROS;
        let left = (i128::from(self.not_after) + 1) * MICROS - now;
        match () {
            () if left <= 0 => Level::Expired,
            () if now < i128::from(self.not_before) * MICROS => Level::NotYetValid,
            () if left < lead.max(length / i128::from(PAGE)) => Level::Page,
            () if left * i128::from(CRITICAL) < length => Level::Critical,
            () if now >= i128::from(self.renew_by()) * MICROS => Level::RenewalOverdue,
            () => Level::Fine,
        }
    }

    /// The second by which two thirds are used, Unix seconds.
    pub fn renew_by(self) -> i64 {
        let length = self.length();
        let used = RENEWAL_OVERDUE - 1;
        self.not_before.saturating_add(
            length / RENEWAL_OVERDUE * used + length % RENEWAL_OVERDUE * used / RENEWAL_OVERDUE,
        )
    }

    /// Seconds in which it is still valid; none or less once it has ended.
    pub fn left(self, now: i64) -> i64 {
        self.not_after.saturating_add(1).saturating_sub(now)
    }

    /// The share of the lifetime that is left, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    pub fn share_left(self, now: i64) -> f64 {
        match self.length() {
            0 => 0.0,
            length => (self.left(now) as f64 / length as f64).clamp(0.0, 1.0),
        }
    }

    fn length(self) -> i64 {
        self.not_after.saturating_add(1).saturating_sub(self.not_before).max(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    /// Ninety days, from zero.
    const QUARTER: Lifetime = Lifetime { not_before: 0, not_after: 90 * DAY - 1 };

    #[test]
    fn levels_begin_at_their_fractions_of_a_lifetime() {
        for (day, level) in [
            (0, Level::Fine),
            (59, Level::Fine),
            (60, Level::RenewalOverdue),
            (75, Level::RenewalOverdue),
            (76, Level::Critical),
            (86, Level::Page),
            (90, Level::Expired),
        ] {
            assert_eq!(QUARTER.level(day * DAY), level, "day {day}");
        }
        assert_eq!(QUARTER.level(-1), Level::NotYetValid);
        assert_eq!(QUARTER.level(90 * DAY - 1), Level::Page, "the last second counts");
        assert_eq!(QUARTER.renew_by(), 60 * DAY);
    }

    #[test]
    fn an_hour_wakes_somebody_however_short_the_lifetime() {
        let short = Lifetime { not_before: 0, not_after: 6 * HOUR - 1 };
        assert_eq!(short.level(5 * HOUR), Level::RenewalOverdue);
        assert_eq!(short.level(5 * HOUR + 1), Level::Page);
    }

    #[test]
    fn what_lives_for_seconds_is_judged_between_them() {
        let seconds = Lifetime { not_before: 0, not_after: 14 };
        let at = |tenths: i128| seconds.level_with(tenths * MICROS / 10, 13 * MICROS / 2);
        assert_eq!((at(84), at(86), at(150)), (Level::Fine, Level::Page, Level::Expired));
    }

    proptest! {
        #[test]
        fn it_never_gets_better_with_time(from in any::<i64>(), to in any::<i64>(), now in any::<i64>(), later in any::<u32>()) {
            let lifetime = Lifetime { not_before: from, not_after: to };
            let (one, other) = (lifetime.level(now), lifetime.level(now.saturating_add(later.into())));
            prop_assert!(one <= other || one == Level::NotYetValid, "{one:?} then {other:?}");
            prop_assert!((0.0..=1.0).contains(&lifetime.share_left(now)));
        }
    }
}
