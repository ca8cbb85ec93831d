//! The one seam of time: nothing else in the harness reads a clock for a measurement.

use std::time::{Duration, Instant, SystemTime};

use crate::history::Micros;

/// The one seam of time: a monotonic clock for what happened when, and the wall clock that
/// certificates live by, both read once at the beginning of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall: SystemTime,
}

impl Clock {
    /// A clock whose zero is now.
    pub fn start() -> Self {
        Self { origin: Instant::now(), wall: SystemTime::now() }
    }

    /// Microseconds since the zero.
    pub fn now(&self) -> Micros {
        micros(self.origin.elapsed())
    }

    /// Wall time of the zero.
    pub fn wall_at_zero(&self) -> SystemTime {
        self.wall
    }

    /// When the wall clock will read this many Unix seconds; 0 if that was before the zero.
    pub fn at_unix(&self, seconds: i64) -> Micros {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        since.duration_since(self.wall).map_or(0, micros)
    }

    /// How far the wall clock has moved against the monotonic one, in milliseconds.
    pub fn drift_ms(&self) -> i64 {
        let expected = self.wall + self.origin.elapsed();
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(expected) {
            Ok(ahead) => millis(ahead),
            Err(behind) => -millis(behind.duration()),
        }
    }
}

/// Whole microseconds of a duration.
pub fn micros(duration: Duration) -> Micros {
    duration.as_micros().try_into().unwrap_or(Micros::MAX)
}
