//! The final account of the records.

use crate::history::{History, Micros, Record, What};

/// How many record numbers are kept as examples.
const EXAMPLES: usize = 5;

/// The final account of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Sent by the source.
    pub sent: u64,
    /// Stored, at least once.
    pub stored: u64,
    /// Sent and not stored.
    pub lost: u64,
    /// Lost although they had been acknowledged: somebody promised to keep them.
    pub lost_acknowledged: u64,
    /// Stored more than once.
    pub duplicated: u64,
    /// Stored later after they were sent than the run allows.
    pub late: u64,
    /// Stored, but no user finds them.
    pub unfound: u64,
    /// The longest time from sent to stored.
    pub slowest: Micros,
    /// Numbers of the first few lost ones.
    pub lost_examples: Vec<u64>,
    /// Numbers of the first few duplicated ones.
    pub duplicated_examples: Vec<u64>,
}

impl Records {
    pub(super) fn add(&mut self, record: &Record) {
        self.sent += 1;
        self.duplicated += u64::from(record.copies > 1);
        if let Some(stored) = record.stored {
            self.stored += 1;
            self.unfound += u64::from(!record.found);
            self.slowest = self.slowest.max(stored.saturating_sub(record.sent));
        } else {
            self.lost += 1;
            self.lost_acknowledged += u64::from(record.acked.is_some());
        }
    }

    /// Adds what takes the whole run to know: which are late, and examples of what went wrong.
    pub(super) fn close(&mut self, late_us: Micros, history: &History) {
        if self.slowest <= late_us && self.lost + self.duplicated == 0 {
            return;
        }
        let records = history.events.iter().filter_map(|event| match &event.what {
            What::Record(record) => Some(record),
            _ => None,
        });
        for record in records {
            let took = record.stored.map_or(0, |stored| stored.saturating_sub(record.sent));
            self.late += u64::from(took > late_us);
            if record.stored.is_none() {
                self.lost_examples.push(record.number);
            }
            if record.copies > 1 {
                self.duplicated_examples.push(record.number);
            }
        }
        for examples in [&mut self.lost_examples, &mut self.duplicated_examples] {
            examples.sort_unstable();
            examples.truncate(EXAMPLES);
        }
    }
}
