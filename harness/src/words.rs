//! How durations, counts and lists are written for people.

use crate::history::Micros;

/// A duration with as many digits as a person needs: `850 us`, `4.2 ms`, `812 ms`, `1.84 s`, `2 min 3 s`.
pub fn span(micros: Micros) -> String {
    match micros {
        0 => "0 ms".into(),
        1..1_000 => format!("{micros} us"),
        1_000..10_000 => decimals(micros, 1_000, 1, "ms"),
        10_000..999_500 => format!("{} ms", (micros + 500) / 1_000),
        999_500..59_995_000 => decimals(micros, 1_000_000, 2, "s"),
        _ => {
            let seconds = (micros + 500_000) / 1_000_000;
            match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, 0) => format!("{minutes} min"),
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, 0, _) => format!("{hours} h"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            }
        }
    }
}

/// A duration with its sign: `-1.84 s`.
pub fn signed_span(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}", span(micros.unsigned_abs()))
}

/// When something was, seen from another instant: `+1.84 s`, `-5 ms`.
pub fn offset(at: Micros, zero: Micros) -> String {
    let sign = if at < zero { "-" } else { "+" };
    format!("{sign}{}", span(at.abs_diff(zero)))
}

/// Milliseconds, for machines: three decimals hold every microsecond.
#[expect(clippy::cast_precision_loss, reason = "a run of 285 years would lose a microsecond")]
pub fn millis(micros: Micros) -> f64 {
    micros as f64 / 1e3
}

/// Milliseconds with their sign, for machines.
#[expect(clippy::cast_precision_loss, reason = "a run of 285 years would lose a microsecond")]
pub fn signed_millis(micros: i64) -> f64 {
    micros as f64 / 1e3
}

/// A number with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts: `1 record`, `2,340 records`.
pub fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// How often something ended by itself: `1 crash`, `12 crashes`.
pub fn crashes(number: usize) -> String {
    format!("{} crash{}", count(number as u64), if number == 1 { "" } else { "es" })
}

/// The first `most` of a list, and how many more there are: `a, b and 3 more`.
pub fn list<T: AsRef<str>>(items: &[T], most: usize) -> String {
    let shown = items.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>();
    match (shown.as_slice(), items.len().saturating_sub(shown.len())) {
        (all, 0) => match all {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        },
        (some, more) => format!("{} and {more} more", some.join(", ")),
    }
}

/// The first line of a text, cut to `most` characters.
pub fn brief(text: &str, most: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let cut: String = line.chars().take(most.saturating_sub(3)).collect();
    format!("{}...", cut.trim_end())
}

fn decimals(micros: Micros, unit: Micros, places: u32, name: &str) -> String {
    let scale = Micros::from(10_u32.pow(places));
    let scaled = (micros * scale + unit / 2) / unit;
    let width = places as usize;
    let text = format!("{}.{:0width$}", scaled / scale, scaled % scale);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_digits_that_a_person_needs() {
        let written = [0, 850, 4_180, 9_999, 10_000, 812_400, 999_499, 999_500, 1_840_000, 60_000_000]
            .map(span)
            .join(" | ");
        assert_eq!(
            written,
            "0 ms | 850 us | 4.2 ms | 10 ms | 10 ms | 812 ms | 999 ms | 1 s | 1.84 s | 1 min"
        );
        assert_eq!(span(123_000_000), "2 min 3 s");
        assert_eq!(span(7_260_000_000), "2 h 1 min");
        assert_eq!(signed_span(-1_500_000), "-1.5 s");
    }

    #[test]
    fn lists_and_counts_read_as_prose() {
        assert_eq!(list(&["a", "b", "c"], 5), "a, b and c");
        assert_eq!(list(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(list::<&str>(&[], 2), "");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(2_340, "record"), "2,340 records");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(brief("\n  too long for here\nsecond", 10), "too lon...");
    }
}
