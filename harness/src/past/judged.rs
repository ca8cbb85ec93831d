//! A night of one series beside the nights before: what the statistics say of the runs that are kept.

use crate::{
    history::Micros,
    regression::{self, Pace, Taken, Turn, Verdicts},
};

use super::{Kept, MeasurementsKept, Series};

/// A night of one series, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Which runs were compared.
    pub series: Series,
    /// How many of them there are tonight.
    pub runs: usize,
    /// How many nights there were before.
    pub before: usize,
    /// What the verdicts say.
    pub turn: Turn,
    /// What the durations say, as far as they were measured tonight.
    pub durations: Vec<Lasted>,
}

/// A duration of one series, night after night.
#[derive(Clone, Debug, PartialEq)]
pub struct Lasted {
    /// One of [`MeasurementsKept::DURATIONS`].
    pub name: &'static str,
    /// What the nights say.
    pub pace: Pace,
    /// The median of each night, microseconds; tonight is the last.
    pub nights: Vec<Micros>,
}

impl Judged {
    /// Judges a night by its runs and those of the nights before, oldest first. `accepted` says that the
    /// first of all these nights was called normal by a person. None without a run.
    pub fn of(tonight: &[Kept], before: &[Vec<Kept>], accepted: bool) -> Option<Self> {
        let series = tonight.first()?.series.clone();
        let nights = || before.iter().map(Vec::as_slice).chain([tonight]);
        let verdicts: Vec<_> = nights().map(verdicts).collect();
        let durations = MeasurementsKept::DURATIONS.into_iter().enumerate().filter_map(|(which, name)| {
            taken(tonight)[which]?;
            let nights: Vec<_> = nights().filter_map(|night| taken(night)[which]).collect();
            let pace = regression::pace(nights.iter().copied())?;
            Some(Lasted { name, pace, nights: nights.iter().map(|night| night.median).collect() })
        });
        Some(Self {
            series,
            runs: tonight.len(),
            before: before.len(),
            turn: regression::turn(&verdicts, accepted),
            durations: durations.collect(),
        })
    }

    /// Whether something got worse.
    pub fn regressed(&self) -> bool {
        let slower = |lasted: &Lasted| matches!(lasted.pace, Pace::Slower(_));
        matches!(self.turn, Turn::Turned(_)) || self.durations.iter().any(slower)
    }
}

/// Each of [`MeasurementsKept::DURATIONS`] in one night: the median of its repeats; none if it was measured
/// in fewer than half of those that could tell their verdict.
pub fn taken(night: &[Kept]) -> [Option<Taken>; 3] {
    let told: Vec<_> = night.iter().filter(|run| run.result.failed().is_some()).collect();
    [0, 1, 2].map(|which| {
        let times = told.iter().filter_map(|run| run.result.measurements.durations()[which]);
        let enough = times.clone().count() * 2 >= told.len();
        let median = regression::median(times.clone().map(|time| time.median)).filter(|_| enough)?;
        Some(Taken { median, resolution: regression::median(times.map(|time| time.resolution))? })
    })
}

fn verdicts(night: &[Kept]) -> Verdicts {
    let told = night.iter().map(|run| run.result.failed().map(|failed| (run.result.expected, failed)));
    let known: Vec<_> = told.flatten().collect();
    Verdicts { unknown: night.len() - known.len(), known }
}
