//! Whether tonight is worse than the nights before: a recovery that got slower, a verdict that turned.
//! Pure functions of what was measured; the simulations in the tests prove the rates that are said here.
//!
//! # The test
//!
//! A night counts with the median of its repeats, so that nights are compared with nights: runs of one
//! night share its weather, and pooling them would make any weather significant. The latest three nights
//! are set against up to [`WINDOW`] normal ones before them. They are slower if both hold:
//!
//! - **More than chance.** The exact one-sided rank-sum test (Wilcoxon, Mann and Whitney) has a p value of
//!   at most [`LEVEL`]: if nothing has changed, each way to choose three nights out of all is as likely as
//!   any other, *whatever the distribution of the times*. Equal times count against an alarm.
//! - **Worth an alarm.** Every one of the three is above the median of the normal nights by 1.5 spreads,
//!   and two of them are by 2, as on a control chart; and the middle one is by more than its resolution.
//!   The spread is the median absolute deviation of the normal nights as a standard deviation, at least
//!   [`SPREAD`] of the median. So two nights must be 14 % slower, and the third 10.5 %.
//!
//! # Its rates
//!
//! The first condition alone bounds the false alarms: one duration raises no more than half of one in a
//! hundred nights, however wild it is. With both it is far less, so that many durations can be judged. By
//! simulation (tests of this module), five repeats a night, drift, and one night and one run in fifty far
//! off:
//!
//! | repeats spread by | nights by | false alarms in 100 nights, 30 durations together | 30 % slower, found by the third night |
//! |---|---|---|---|
//! | 5 % | 3 % | 0.06 | 98 % after 20 nights, 99 % after 30 |
//! | 10 % | 4 % | 1.1 | 91 % after 20 nights, 93 % after 30 |
//!
//! Ten repeats of `aware-2022` and `stack/spool` spread by 1 to 8 % on a machine that was busy with builds.
//!
//! One night decides nothing, because one busy night is nothing to wake anybody for. A slow creep becomes
//! normal; that is for the trend to show. A night is normal once no three nights in a row with it in them
//! were slower, so a slow-down stays red until it is mended or accepted.

use std::collections::{BTreeSet, VecDeque};

use crate::history::Micros;

/// The p value at which three nights are slower than chance explains.
pub const LEVEL: f64 = 0.005;
/// The least spread of nights that is reckoned with, as a share of their median.
pub const SPREAD: f64 = 0.07;
/// So many normal nights are looked back on.
pub const WINDOW: usize = 30;
/// So many nights it takes, the three that are judged included, until the p value can be low enough.
pub const NEEDED: usize = 12;

/// So many nights in a row are judged together.
const JUDGED: usize = 3;
/// By how many spreads the least of them must be above normal, and the middle one.
const ABOVE: (f64, f64) = (1.5, 2.0);
/// A median absolute deviation as a standard deviation, if the distribution is normal.
const SIGMA: f64 = 1.4826;

/// How long something took in one night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The median of the repeats, microseconds.
    pub median: Micros,
    /// How exactly it is known, microseconds.
    pub resolution: Micros,
}

/// What a night says about how long something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// There are too few nights before it.
    Unknown {
        /// So many more are needed.
        more: usize,
    },
    /// No slower than chance explains, or not by enough.
    Usual(Comparison),
    /// A regression.
    Slower(Comparison),
}

/// The latest three nights beside the normal ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The median of the normal nights, microseconds.
    pub usual: Micros,
    /// The middle one of the latest three, microseconds.
    pub now: Micros,
    /// The probability of three nights as slow as these among the normal ones if nothing has changed.
    pub p: f64,
}

/// Follows one duration of one scenario, night after night.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    normal: VecDeque<Micros>,
    /// The latest nights, each with whether it was part of a slow-down.
    latest: VecDeque<(Taken, bool)>,
}

impl Follower {
    /// Judges the next night.
    pub fn next(&mut self, night: Taken) -> Pace {
        self.latest.push_back((night, false));
        if self.latest.len() > JUDGED
            && let Some((left, slow)) = self.latest.pop_front()
            && !slow
        {
            self.normal.push_back(left.median);
            if self.normal.len() > WINDOW {
                self.normal.pop_front();
            }
        }
        let more = NEEDED.saturating_sub(self.normal.len() + self.latest.len());
        if more > 0 {
            return Pace::Unknown { more };
        }
        let comparison = self.compare();
        if comparison.p > LEVEL || !self.worth(comparison) {
            return Pace::Usual(comparison);
        }
        self.latest.iter_mut().for_each(|(_, slow)| *slow = true);
        Pace::Slower(comparison)
    }

    fn compare(&self) -> Comparison {
        let latest = self.latest.iter().map(|(night, _)| night.median);
        let no_faster = |late: Micros| self.normal.iter().filter(|usual| late <= **usual).count();
        Comparison {
            usual: median(self.normal.iter().copied()).unwrap_or(0),
            now: median(latest.clone()).unwrap_or(0),
            p: p_value(self.normal.len(), latest.map(no_faster).sum()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "no run takes 285 years")]
    fn worth(&self, Comparison { usual, now, .. }: Comparison) -> bool {
        let deviations = self.normal.iter().map(|night| night.abs_diff(usual));
        let spread = (SIGMA * median(deviations).unwrap_or(0) as f64).max(SPREAD * usual as f64);
        let least = self.latest.iter().map(|(night, _)| night.median).min().unwrap_or(0);
        let resolution = self.latest.iter().map(|(night, _)| night.resolution).max().unwrap_or(0);
        let above = |night: Micros| night.saturating_sub(usual);
        above(least) as f64 >= ABOVE.0 * spread
            && above(now) as f64 >= ABOVE.1 * spread
            && above(now) > resolution
    }
}

/// What the nights of one duration say about the last of them; none without a night.
pub fn pace(nights: impl IntoIterator<Item = Taken>) -> Option<Pace> {
    let mut follower = Follower::default();
    nights.into_iter().map(|night| follower.next(night)).last()
}

/// The verdicts of the repeats of one scenario in one night.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Of each run whose verdict is known: whether it is the one that it must give, and which checks
    /// failed.
    pub known: Vec<(bool, BTreeSet<String>)>,
    /// How many runs could not tell.
    pub unknown: usize,
}

/// What a night says about the verdict of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Half of the runs or more could not tell.
    Unknown,
    /// The verdict is the one that the scenario must give.
    AsExpected,
    /// It is not, and was the same in the nights before.
    AsBefore,
    /// It is not, and is another one than in the nights before. These checks make the difference; all
    /// that failed if there was no night before.
    Turned(Vec<String>),
}

/// What the last of these nights says; unknown without a night. The majority of its repeats decides: if
/// one run in fifty fails by chance, three of five do so in one night of 13,000.
///
/// A verdict that is not as expected is a regression, unless most nights before failed the same checks.
/// Nights in which the verdict had turned are not looked back on, so it stays red until it is mended or
/// accepted: `accepted` says that a person called the first of these nights normal.
pub fn turn(nights: &[Verdicts], accepted: bool) -> Turn {
    let mut normal: Vec<BTreeSet<String>> = Vec::new();
    let mut said = Turn::Unknown;
    for (number, night) in nights.iter().enumerate() {
        let Some((as_expected, failed)) = night.majority() else {
            said = Turn::Unknown;
            continue;
        };
        let usual = most(&normal);
        said = if as_expected {
            Turn::AsExpected
        } else if (accepted && number == 0) || (!normal.is_empty() && usual == failed) {
            Turn::AsBefore
        } else {
            Turn::Turned(failed.symmetric_difference(&usual).cloned().collect())
        };
        if !matches!(said, Turn::Turned(_)) {
            normal.push(failed);
        }
    }
    said
}

impl Verdicts {
    /// Whether most runs gave the verdict that they must give, and which checks failed in most; none if
    /// too few could tell.
    fn majority(&self) -> Option<(bool, BTreeSet<String>)> {
        if self.known.len() <= self.unknown {
            return None;
        }
        let good = self.known.iter().filter(|(as_expected, _)| *as_expected).count();
        let failed: Vec<_> = self.known.iter().map(|(_, failed)| failed.clone()).collect();
        Some((good * 2 > self.known.len(), most(&failed)))
    }
}

/// What is in more than half of these sets.
fn most(sets: &[BTreeSet<String>]) -> BTreeSet<String> {
    let common = |one: &&String| sets.iter().filter(|set| set.contains(*one)).count() * 2 > sets.len();
    sets.iter().flatten().filter(common).cloned().collect()
}

/// The middle of these, the lower one of two; none of none.
pub fn median(values: impl IntoIterator<Item = Micros>) -> Option<Micros> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// The share of all ways to choose three nights out of `normal + 3` in which no more than `against` pairs
/// speak against a slow-down.
#[expect(clippy::cast_precision_loss, reason = "counts of a few nights are exact")]
fn p_value(normal: usize, against: usize) -> f64 {
    // Each way is three numbers, ascending: how many normal nights are no faster than each of the three.
    let mut extreme = 0_usize;
    for first in 0..=normal.min(against / 3) {
        for second in first..=normal.min((against - first) / 2) {
            let rest = against - first - second;
            extreme += rest.min(normal) - second + 1;
        }
    }
    let ways = (normal + 1) * (normal + 2) * (normal + 3) / 6;
    extreme as f64 / ways as f64
}

#[cfg(test)]
mod tests;
