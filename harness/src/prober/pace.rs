//! How often is asked and tried: a budget for what is well, another for what fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::system::Span;

/// How often is asked and tried.
///
/// Every hop and operation at the full cadence would be 4,250 handshakes and 1,500 tries a second on
/// the reference system, more than two cores can do, and who starves what is measured measures
/// himself. So those that are well share a budget, and those that fail share another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// The cadence of a hop or an operation that fails, and of few of them.
    pub every: Span,
    /// Fresh handshakes a second over all hops that are well.
    pub handshakes: u32,
    /// Tries a second over all operations that are well.
    pub tries: u32,
    /// Handshakes and tries a second over all hops and operations that fail.
    pub failures: u32,
}

impl Default for Pace {
    /// 4 ms, so that a recovery is resolved to 5 ms with what a timer is late; 400 handshakes and 240
    /// tries a second, and 1,000 of what fails. A debug build needs five times the processor time for the
    /// same handshake, and twice that for the same try, so it gets less: its resolution says so.
    fn default() -> Self {
        let slow = cfg!(debug_assertions);
        let (every, handshakes, tries, failures) =
            if slow { (25, 80, 120, 200) } else { (4, 400, 240, 1000) };
        Self { every: Span(Duration::from_millis(every)), handshakes, tries, failures }
    }
}

/// The pace of one run, in which all hops and operations know of each other.
///
/// What fails is asked in turns, one of them every millisecond by default. As soon as one of them is well
/// again, all others are asked at once, each within the full cadence. So if they recover together, the
/// recovery of the whole, which lies between the last failure of any and the first success of the last,
/// is resolved as if all had been asked all the time.
#[derive(Clone, Debug)]
pub struct Pacer {
    pace: Pace,
    /// How many fail in a way that costs somebody work. Whoever waits for a change is told of recoveries
    /// only.
    failing: watch::Sender<u32>,
}

impl Pacer {
    /// Nothing was asked yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, failing: watch::Sender::default() }
    }

    /// The tempo of each of so many hops.
    pub fn of_hops(&self, hops: usize) -> Tempo {
        self.tempo(hops, self.pace.handshakes)
    }

    /// The tempo of each of so many operations.
    pub fn of_operations(&self, operations: usize) -> Tempo {
        self.tempo(operations, self.pace.tries)
    }

    fn tempo(&self, among: usize, budget: u32) -> Tempo {
        let share = Duration::from_secs(1) * u32::try_from(among).unwrap_or(u32::MAX) / budget.max(1);
        let (every, idle) = (self.pace.every.0, self.pace.every.0.max(share));
        let turn = Duration::from_secs(1) / self.pace.failures.max(1);
        Tempo { every, idle, turn, well: idle, last: Answer::Well, failing: self.failing.clone() }
    }
}

/// How often one hop or operation is asked, by how it went.
///
/// While a system comes back, what worked once fails again. So what is well again is left alone for
/// twice as long after each good answer: a relapse that is missed was shorter than the good spell
/// before it.
#[derive(Clone, Debug)]
pub struct Tempo {
    /// The full cadence.
    pub every: Duration,
    /// While it is well.
    pub idle: Duration,
    /// Among those that fail, each has so much time for itself.
    turn: Duration,
    /// After a good answer.
    well: Duration,
    last: Answer,
    failing: watch::Sender<u32>,
}

/// How it went, and what asking again will cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As it should.
    Well,
    /// It did not, and somebody worked for that: a handshake, or a request.
    Failed,
    /// Nobody listens, as between the end of a process and its next start. Asking costs a tenth of a
    /// handshake, and most recoveries begin just there: so it is done twice as often, whoever else fails.
    Nobody,
}

impl Tempo {
    /// An answer came just now.
    pub fn answered(&mut self, answer: Answer) {
        let before = std::mem::replace(&mut self.last, answer);
        self.well = if answer == Answer::Well { (self.well * 2).min(self.idle) } else { self.every };
        self.failing.send_if_modified(|failing| {
            *failing += u32::from(answer == Answer::Failed);
            *failing -= u32::from(before == Answer::Failed);
            before != Answer::Well && answer == Answer::Well
        });
    }

    /// Whether the last answer was not as it should be.
    pub fn fails(&self) -> bool {
        self.last != Answer::Well
    }

    /// From one question to the next.
    pub fn gap(&self) -> Duration {
        match self.last {
            Answer::Well => self.well,
            Answer::Failed => self.every.max(self.turn * *self.failing.borrow()),
            Answer::Nobody => self.every / 2,
        }
    }

    /// Tells of the recoveries of all others.
    pub fn others(&self) -> Others {
        Others(self.failing.subscribe())
    }
}

/// Tells of recoveries.
pub struct Others(watch::Receiver<u32>);

impl Others {
    /// Whatever recovered until now is known.
    pub fn seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until one has recovered since.
    pub async fn recover(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer() -> Pacer {
        let every = Span(Duration::from_millis(5));
        Pacer::new(Pace { every, handshakes: 400, tries: 240, failures: 1000 })
    }

    fn gap_after(tempo: &mut Tempo, answer: Answer) -> Duration {
        tempo.answered(answer);
        tempo.gap()
    }

    #[test]
    fn few_hops_are_asked_at_the_full_cadence() {
        assert_eq!(pacer().of_hops(1).gap(), Duration::from_millis(5));
        assert_eq!(pacer().of_hops(2).gap(), Duration::from_millis(5));
    }

    #[test]
    fn many_hops_share_the_budget() {
        // 17 hops, 400 handshakes a second.
        assert_eq!(pacer().of_hops(17).gap(), Duration::from_micros(42_500));
        assert_eq!(pacer().of_operations(6).gap(), Duration::from_millis(25));
    }

    #[test]
    fn no_hops_and_no_budget_are_no_division_by_zero() {
        assert_eq!(pacer().of_hops(0).gap(), Duration::from_millis(5));
        let none = Pace { handshakes: 0, failures: 0, ..pacer().pace };
        assert_eq!(Pacer::new(none).of_hops(1).gap(), Duration::from_secs(1));
    }

    #[test]
    fn what_fails_is_asked_at_the_full_cadence_and_less_often_with_each_good_answer() {
        let mut tempo = pacer().of_hops(17);
        assert_eq!(gap_after(&mut tempo, Answer::Well), Duration::from_micros(42_500));
        assert_eq!(gap_after(&mut tempo, Answer::Failed), Duration::from_millis(5));
        assert_eq!(gap_after(&mut tempo, Answer::Well), Duration::from_millis(10));
        assert_eq!(gap_after(&mut tempo, Answer::Well), Duration::from_millis(20));
        assert_eq!(gap_after(&mut tempo, Answer::Failed), Duration::from_millis(5));
        assert_eq!(gap_after(&mut tempo, Answer::Nobody), Duration::from_micros(2_500));
        for _ in 0..4 {
            gap_after(&mut tempo, Answer::Well);
        }
        assert_eq!(gap_after(&mut tempo, Answer::Well), Duration::from_micros(42_500));
    }

    #[test]
    fn many_that_fail_take_turns_and_those_whom_nobody_answers_do_not_count() {
        let pacer = pacer();
        let mut tempi = vec![pacer.of_hops(17); 17];
        for tempo in &mut tempi {
            tempo.answered(Answer::Failed);
        }
        assert_eq!(tempi[0].gap(), Duration::from_millis(17));
        for tempo in &mut tempi[7..] {
            tempo.answered(Answer::Nobody);
        }
        assert_eq!(tempi[0].gap(), Duration::from_millis(7));
        assert_eq!(tempi[16].gap(), Duration::from_micros(2_500));
        for tempo in &mut tempi[1..7] {
            tempo.answered(Answer::Well);
        }
        assert_eq!(tempi[0].gap(), Duration::from_millis(5));
    }

    #[tokio::test]
    async fn a_recovery_is_told_to_the_others_once() {
        let pacer = pacer();
        let (mut tempo, mut others) = (pacer.of_hops(17), pacer.of_hops(17).others());
        tempo.answered(Answer::Failed);
        tempo.answered(Answer::Well);
        tempo.answered(Answer::Well);
        let told = tokio::time::timeout(Duration::from_secs(5), others.recover()).await;
        assert!(told.is_ok(), "not told");
        let again = tokio::time::timeout(Duration::from_millis(20), others.recover()).await;
        assert!(again.is_err(), "told twice");
    }
}
