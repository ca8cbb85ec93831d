//! One line on stderr for each notable event; the same line at most once a second.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a line is not repeated.
const QUIET: Duration = Duration::from_secs(1);
/// How many different lines are remembered.
const REMEMBERED: usize = 256;

/// Where a service says what happens to it.
#[derive(Debug)]
pub struct Log {
    name: String,
    recent: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Log {
    /// A log whose lines begin with `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), recent: Mutex::default() }
    }

    /// Says it, unless it was said within the last second.
    pub fn say(&self, line: &str) {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let held_back = match recent.get_mut(line) {
            Some((last, held_back)) if now.duration_since(*last) < QUIET => {
                *held_back += 1;
                return;
            }
            Some((_, held_back)) => *held_back,
            None => 0,
        };
        if recent.len() >= REMEMBERED {
            recent.clear();
        }
        recent.insert(line.to_owned(), (now, 0));
        drop(recent);
        let times = if held_back > 0 { format!(" ({held_back} more times)") } else { String::new() };
        // One write, so that lines of several services stay whole. Nobody may read them any more; a
        // service does not die of that.
        let _ = std::io::stderr().write_all(format!("{}: {line}{times}\n", self.name).as_bytes());
    }
}
