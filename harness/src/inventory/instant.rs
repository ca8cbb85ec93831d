//! How instants, distances and serial numbers are written, the same in every form.

use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// As `kubeadm certs check-expiration` does: `Dec 30, 2020 23:36 UTC`.
pub fn expires(unix: i64) -> String {
    let form = format_description!("[month repr:short] [day], [year] [hour]:[minute] UTC");
    written(unix, |instant| instant.format(form).ok())
}

/// A day: `2022-01-26`.
pub fn date(unix: i64) -> String {
    written(unix, |instant| instant.format(format_description!("[year]-[month]-[day]")).ok())
}

/// To the second: `2022-01-26T20:55:00Z` (RFC 3339).
pub fn exact(unix: i64) -> String {
    written(unix, |instant| instant.format(&Rfc3339).ok())
}

/// How long something still lasts, as kubeadm writes it, in its largest unit: `364d`, `23h`; with a
/// sign once it has ended, where kubeadm says `<invalid>`.
pub fn residual(not_after: i64, now: i64) -> String {
    let seconds = not_after.saturating_add(1).saturating_sub(now);
    let sign = if seconds <= 0 { "-" } else { "" };
    format!("{sign}{}", short_span(seconds.unsigned_abs()))
}

/// How long something still lasts.
pub fn left(not_after: i64, now: i64) -> String {
    short_span(not_after.saturating_add(1).saturating_sub(now).unsigned_abs())
}

/// How long ago something ended: `3d ago, 2022-01-26`.
pub fn ago(not_after: i64, now: i64) -> String {
    format!("{} ago, {}", left(not_after, now), date(not_after))
}

/// The first eight digits of a serial number tell it from its neighbours.
pub fn short(serial: &str) -> &str {
    serial.get(..8).unwrap_or(serial)
}

/// In the largest unit that fits: seconds, minutes, hours, days, years of 365 days.
fn short_span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..63_072_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// A certificate can say more than a calendar.
fn written(unix: i64, form: impl Fn(OffsetDateTime) -> Option<String>) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(unix).ok();
    instant.and_then(form).unwrap_or_else(|| format!("second {unix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_kubeadm_and_the_standards_have_it() {
        let unix = 1_643_230_500;
        assert_eq!(expires(unix), "Jan 26, 2022 20:55 UTC");
        assert_eq!(exact(unix), "2022-01-26T20:55:00Z");
        assert_eq!(date(i64::MAX), format!("second {}", i64::MAX));
    }

    #[test]
    fn what_is_left_has_one_unit_and_what_is_over_a_sign() {
        for (left, written) in [
            (1, "1s"),
            (60, "1m"),
            (7_200, "2h"),
            (364 * 86_400, "364d"),
            (10 * 31_536_000, "10y"),
            (0, "-0s"),
            (-86_400, "-1d"),
        ] {
            assert_eq!(residual(left - 1, 0), written);
        }
    }
}
