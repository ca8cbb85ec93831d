//! Durations as text.

use std::{fmt, ops::Mul, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A duration that reads and writes as text: `5ms`, `1.5s`, `10m`, `2h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Mul<u32> for Span {
    type Output = Self;

    fn mul(self, times: u32) -> Self {
        Self(self.0 * times)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        for (unit, size) in UNITS.into_iter().rev() {
            if micros >= size && micros.is_multiple_of(size) {
                return write!(f, "{}{unit}", micros / size);
            }
        }
        write!(f, "{micros}us")
    }
}

/// Units of a [`Span`], in microseconds.
const UNITS: [(&str, u128); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no duration; write a number and a unit: 5ms, 1.5s, 10m");
        let at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(refused)?;
        let (number, unit) = text.split_at(at);
        let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        // Whole numbers exactly; a fraction to the microsecond, which is what is written.
        let number = number.trim();
        let micros = if let Ok(whole) = number.parse::<u64>() {
            u128::from(whole) * size
        } else {
            let number: f64 = number.parse().map_err(|_| refused())?;
            #[expect(clippy::cast_precision_loss, reason = "the largest unit is exact in f64")]
            let seconds = number * (size as f64 / 1e6);
            let exact = Duration::try_from_secs_f64(seconds).map_err(|_| refused())?;
            (exact.as_nanos() + 500) / 1000
        };
        u64::try_from(micros).map(Duration::from_micros).map(Self).map_err(|_| refused())
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let millis = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(millis("5ms"), Ok(5));
        assert_eq!(millis("1.5s"), Ok(1500));
        assert_eq!(millis("10 m"), Ok(600_000));
        for bad in ["", "5", "ms", "5 years", "-1s", "nans", "1e99h"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_of_whole_microseconds_survives_its_text(micros in 0_u64..1 << 52) {
            let span = Span(Duration::from_micros(micros));
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }
}
