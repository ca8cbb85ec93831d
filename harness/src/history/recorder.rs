//! Writes a history while the run goes on.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use super::{Event, History, Micros, What};
use crate::clock::Clock;

/// Writes a history while the run goes on. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    events: Vec<Event>,
    file: io::BufWriter<File>,
    failed: Option<io::Error>,
    quiet: bool,
}

impl Recorder {
    /// Begins `history.jsonl` at `path`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path, clock: Clock) -> io::Result<Self> {
        let file = io::BufWriter::new(File::create_new(path)?);
        let inner = Inner { events: Vec::new(), file, failed: None, quiet: false };
        Ok(Self { clock, inner: Arc::new(Mutex::new(inner)) })
    }

    /// The clock of this history.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Records something that happens now.
    pub fn record(&self, what: What) {
        self.record_at(self.clock.now(), what);
    }

    /// Records something that happened, or began, at `at`. Frequent events are written out by
    /// [`Self::flush`], which the runner calls several times a second; all others at once.
    ///
    /// # Panics
    /// Never: every event has a JSON form.
    pub fn record_at(&self, at: Micros, what: What) {
        let frequent = matches!(what, What::Probe(_) | What::Operation(_) | What::Record(_));
        let event = Event { at, what };
        let mut inner = self.lock();
        if inner.quiet {
            return;
        }
        let mut line = serde_json::to_vec(&event).expect("events have a JSON form");
        line.push(b'\n');
        let written = inner.file.write_all(&line);
        let written = if frequent { written } else { written.and_then(|()| inner.file.flush()) };
        if let Err(error) = written {
            inner.failed.get_or_insert(error);
        }
        inner.events.push(event);
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The first error of any write so far: from then on the evidence on disk is incomplete.
    pub fn flush(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if let Some(error) = &inner.failed {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        inner.file.flush()
    }

    /// Stops recording: whoever holds a broken cluster up for hours does not fill a disk.
    pub fn hush(&self) {
        self.lock().quiet = true;
    }

    /// A copy of the history so far.
    pub fn so_far(&self) -> History {
        History { events: self.lock().events.clone() }
    }

    /// Looks at the events from number `from` on, under a lock: be brief. Gives how many there are.
    pub fn since(&self, from: usize, mut look: impl FnMut(&Event)) -> usize {
        let inner = self.lock();
        inner.events[from.min(inner.events.len())..].iter().for_each(&mut look);
        inner.events.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic elsewhere must not take the evidence with it.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
