//! What ingestion remembers beside its spool: the numbers it has seen and those it owes an
//! acknowledgement for.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    disk,
    seen::{Seen, ranges},
};

/// Numbers seen, and numbers to acknowledge. On disk they may be behind the spool, never ahead.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Books {
    /// What was seen.
    pub seen: Seen,
    /// What the source does not know yet: each from the first to the last, both included.
    pub unacknowledged: Vec<(u64, u64)>,
    #[serde(skip)]
    unwritten: bool,
}

impl Books {
    /// Reads the books; new ones if there are none.
    pub fn read(file: &Path) -> io::Result<Self> {
        match disk::read_if_any(file)? {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(Self::default()),
        }
    }

    /// Writes the books, if anything is new in them.
    pub fn write(&mut self, file: &Path) -> io::Result<()> {
        if self.unwritten {
            disk::replace(file, &serde_json::to_vec(self)?)?;
            self.unwritten = false;
        }
        Ok(())
    }

    /// Enters numbers, ascending. Says whether a gap opened, shrank or closed.
    pub fn enter(&mut self, numbers: impl Iterator<Item = u64>) -> bool {
        let mut gap_changed = false;
        let see = |number: &u64| gap_changed |= self.seen.see(*number);
        let new = ranges(numbers.inspect(see));
        self.unwritten |= !new.is_empty();
        self.unacknowledged.extend(new);
        gap_changed
    }

    /// The source knows about the oldest so many ranges.
    pub fn acknowledged(&mut self, ranges: usize) {
        self.unacknowledged.drain(..ranges.min(self.unacknowledged.len()));
        self.unwritten = true;
    }
}
