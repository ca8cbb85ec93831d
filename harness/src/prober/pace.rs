//! How often is asked and tried: a budget for what is well, the full cadence for what fails.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::system::Span;

/// How long something has to be well before it is asked less often: while a system comes back, what
/// worked once fails again, and the last such failure is what resolves the recovery.
const WARY: Duration = Duration::from_millis(100);

/// How often is asked and tried.
///
/// Every hop and operation at the full cadence would be 4,250 handshakes and 1,500 tries a second on
/// the reference system, more than two cores can do, and who starves what is measured measures
/// himself. So a hop or an operation that fails has the full cadence, which resolves its recovery, and
/// those that are well share a budget; while one fails, the others stay on the budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// The cadence of a hop or an operation that fails, and of few of them.
    pub every: Span,
    /// Fresh handshakes a second over all hops that are well.
    pub handshakes: u32,
    /// Tries a second over all operations that are well.
    pub tries: u32,
}

impl Default for Pace {
    /// 4 ms, so that a recovery is resolved to 5 ms with what a timer is late; 400 handshakes and 240
    /// tries a second. A debug build needs five times the processor time for the same handshake, and
    /// twice that for the same try, so it gets less: its resolution says so.
    fn default() -> Self {
        let slow = cfg!(debug_assertions);
        let (every, handshakes, tries) = if slow { (25, 80, 120) } else { (4, 400, 240) };
        Self { every: Span(Duration::from_millis(every)), handshakes, tries }
    }
}

impl Pace {
    /// The tempo of each of so many hops.
    pub fn of_hops(&self, hops: usize) -> Tempo {
        self.share(hops, self.handshakes)
    }

    /// The tempo of each of so many operations.
    pub fn of_operations(&self, operations: usize) -> Tempo {
        self.share(operations, self.tries)
    }

    fn share(&self, among: usize, budget: u32) -> Tempo {
        let share = Duration::from_secs(1) * u32::try_from(among).unwrap_or(u32::MAX) / budget.max(1);
        Tempo { every: self.every.0, idle: self.every.0.max(share), failed: None }
    }
}

/// How often one hop or operation is asked, by how it went.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// While it fails, and for a moment after.
    pub every: Duration,
    /// While it is well.
    pub idle: Duration,
    failed: Option<Instant>,
}

impl Tempo {
    /// An answer came just now.
    pub fn answered(&mut self, well: bool) {
        if !well {
            self.failed = Some(Instant::now());
        }
    }

    /// From one question to the next.
    pub fn gap(&self) -> Duration {
        let wary = self.failed.is_some_and(|failed| failed.elapsed() < WARY);
        if wary { self.every } else { self.idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace { every: Span(Duration::from_millis(5)), handshakes: 400, tries: 240 }
    }

    #[test]
    fn few_hops_are_asked_at_the_full_cadence() {
        assert_eq!(pace().of_hops(1).gap(), Duration::from_millis(5));
        assert_eq!(pace().of_hops(2).gap(), Duration::from_millis(5));
    }

    #[test]
    fn many_hops_share_the_budget() {
        // 17 hops, 400 handshakes a second.
        assert_eq!(pace().of_hops(17).gap(), Duration::from_micros(42_500));
        assert_eq!(pace().of_operations(6).gap(), Duration::from_millis(25));
    }

    #[test]
    fn no_hops_and_no_budget_are_no_division_by_zero() {
        assert_eq!(pace().of_hops(0).gap(), Duration::from_millis(5));
        assert_eq!(Pace { handshakes: 0, ..pace() }.of_hops(1).gap(), Duration::from_secs(1));
    }

    #[test]
    fn what_failed_a_moment_ago_is_asked_at_the_full_cadence_though_it_is_well_again() {
        let mut tempo = pace().of_hops(17);
        tempo.answered(true);
        assert_eq!(tempo.gap(), tempo.idle);
        tempo.answered(false);
        assert_eq!(tempo.gap(), tempo.every);
        tempo.answered(true);
        assert_eq!(tempo.gap(), tempo.every);
        tempo.failed = Instant::now().checked_sub(WARY);
        assert_eq!(tempo.gap(), tempo.idle);
    }
}
