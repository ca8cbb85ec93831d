//! Reads a history while it is written, and waits for what it will hold.

use std::time::Duration;

use super::{Event, Recorder};
use crate::error::{Error, Result};

/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(2);

/// A place in a history that is still being written.
#[derive(Clone, Debug)]
pub struct Tail {
    recorder: Recorder,
    next: usize,
}

impl Tail {
    /// From the first event on.
    pub fn from_start(recorder: &Recorder) -> Self {
        Self { recorder: recorder.clone(), next: 0 }
    }

    /// From the next event on.
    pub fn from_now(recorder: &Recorder) -> Self {
        let next = recorder.since(usize::MAX, |_| {});
        Self { recorder: recorder.clone(), next }
    }

    /// Looks at each event that is new since the last look. Be brief: nobody records meanwhile.
    pub fn look(&mut self, look: impl FnMut(&Event)) {
        self.next = self.recorder.since(self.next, look);
    }

    /// Waits until `done` gives no reason to wait any longer.
    ///
    /// # Errors
    /// After `limit`, with the last reason.
    pub async fn until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let Err(reason) = done(self) else { return Ok(()) };
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::new(format!("{reason}, after {limit:?}")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
