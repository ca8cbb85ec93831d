//! Waits between tries, random bytes, and the clock of the machine.

use std::time::{Duration, SystemTime};

use crate::tls;

/// Growing waits between tries: capped, and jittered so that services do not march in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const CAP: Duration = Duration::from_millis(200);

    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Waits, and makes the next wait longer.
    pub async fn wait(&mut self) {
        tokio::time::sleep(jittered(self.next)).await;
        self.next = (self.next * 3 / 2).min(Self::CAP);
    }

    /// Something worked: begin anew.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

/// Between three quarters of a duration and all of it.
pub fn jittered(whole: Duration) -> Duration {
    let [dice] = random();
    whole * (u32::from(dice) + 3 * 256) / (4 * 256)
}

/// Bytes that nobody can guess.
///
/// # Panics
/// If the operating system has no randomness to give.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    tls::provider().secure_random.fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// The clock of the machine, by which records are counted, whoever moved the one of this process:
/// microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros().try_into().unwrap_or(u64::MAX)
}
