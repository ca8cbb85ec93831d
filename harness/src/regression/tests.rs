//! What the test promises: exact where it can be counted, by simulation with fixed seeds elsewhere.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

/// Weather of nights and runs, as the logarithm of a ratio to the true duration.
#[derive(Clone, Copy)]
struct Noise {
    /// Spread of repeats within a night.
    repeats: f64,
    /// Spread between nights.
    nights: f64,
    /// Spread of the step from one night's level to the next, which adds up.
    drift: f64,
    /// How often a night, or a run, is far off: up to 60 % slower.
    outliers: f64,
}

const CALM: Noise = Noise { repeats: 0.05, nights: 0.03, drift: 0.005, outliers: 0.02 };
const ROUGH: Noise = Noise { repeats: 0.10, nights: 0.04, drift: 0.005, outliers: 0.02 };
const REPEATS: usize = 5;

/// The nights of one duration whose true value is a second.
struct Nights {
    random: StdRng,
    noise: Noise,
    level: f64,
}

impl Nights {
    fn new(seed: u64, noise: Noise) -> Self {
        Self { random: StdRng::seed_from_u64(seed), noise, level: 0.0 }
    }

    /// The next night, with everything slower by this ratio.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
    fn next(&mut self, slower: f64) -> Taken {
        let Noise { repeats, nights, drift, outliers } = self.noise;
        self.level += drift * self.normal();
        let weather = self.level + nights * self.normal() + self.outlier(outliers);
        let run = |_| {
            let run: f64 = weather + repeats * self.normal() + self.outlier(outliers);
            (1e6 * slower * run.exp()) as Micros
        };
        Taken { median: median((0..REPEATS).map(run)).expect("five runs"), resolution: 10_000 }
    }

    /// Normally distributed, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (a, b): (f64, f64) = (self.random.random(), self.random.random());
        (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    fn outlier(&mut self, often: f64) -> f64 {
        if self.random.random::<f64>() < often { 0.47 * self.random.random::<f64>() } else { 0.0 }
    }
}

/// False alarms of each of so many families of so many durations, in a hundred nights after thirty.
fn false_alarms(noise: Noise, families: u64, durations: u64) -> Vec<usize> {
    let of_one = |seed| {
        let mut nights = Nights::new(seed, noise);
        let mut follower = Follower::default();
        let judged = (0..130).map(|_| follower.next(nights.next(1.0)));
        judged.skip(30).filter(|pace| matches!(pace, Pace::Slower(_))).count()
    };
    (0..families).map(|family| (0..durations).map(|one| of_one(family * 1_000 + one)).sum()).collect()
}

/// The share of slow-downs by 30 %, after so many nights, that are found by their third night.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn found(noise: Noise, before: usize) -> f64 {
    const TRIALS: u64 = 1_000;
    let found = (0..TRIALS).filter(|seed| {
        let mut nights = Nights::new(*seed, noise);
        let mut follower = Follower::default();
        for _ in 0..before {
            follower.next(nights.next(1.0));
        }
        (0..3).any(|_| matches!(follower.next(nights.next(1.3)), Pace::Slower(_)))
    });
    found.count() as f64 / TRIALS as f64
}

#[test]
fn a_hundred_unchanged_nights_raise_at_most_one_false_alarm_of_thirty_durations() {
    let alarms = false_alarms(CALM, 20, 30);
    assert!(alarms.iter().sum::<usize>() <= 4, "{alarms:?} in twenty times a hundred nights");
    assert!(alarms.iter().all(|alarms| *alarms <= 1), "{alarms:?}");
}

#[test]
fn nights_rougher_than_any_that_was_seen_raise_an_alarm_in_a_hundred_at_most() {
    let alarms = false_alarms(ROUGH, 60, 10);
    assert!(alarms.iter().sum::<usize>() <= 60, "{alarms:?} in sixty times a hundred nights");
}

#[test]
fn a_slow_down_of_thirty_percent_is_found_within_three_nights() {
    for (noise, before, least) in [(CALM, 20, 0.97), (CALM, 30, 0.98), (ROUGH, 20, 0.88), (ROUGH, 30, 0.90)] {
        let found = found(noise, before);
        assert!(found >= least, "found {found} after {before} nights, {least} promised");
    }
}

const STEADY: Taken = Taken { median: 1_000_000, resolution: 10_000 };

fn slow(percent: u64) -> Taken {
    Taken { median: STEADY.median / 100 * (100 + percent), ..STEADY }
}

/// What each of these nights says, after thirty steady ones; `!` is slower.
fn said(nights: impl IntoIterator<Item = Taken>) -> String {
    let mut follower = Follower::default();
    for _ in 0..30 {
        follower.next(STEADY);
    }
    let mark = |night| if matches!(follower.next(night), Pace::Slower(_)) { '!' } else { '.' };
    nights.into_iter().map(mark).collect()
}

#[test]
fn a_slow_down_stays_red_until_it_is_mended_however_long_that_takes() {
    assert_eq!(said([slow(30); 80]), format!("..{}", "!".repeat(78)));
    let mended = [[slow(30); 5], [STEADY; 5], [slow(30); 5]].concat();
    assert_eq!(said(mended), "..!!!.......!!!");
}

#[test]
fn what_is_slow_once_or_twice_or_hardly_wakes_nobody() {
    assert_eq!(said([slow(300), STEADY, slow(300), slow(300), STEADY]), ".....");
    assert_eq!(said([slow(10); 20]), ".".repeat(20));
    assert_eq!(said((0..60).map(|night| slow(night / 2))), ".".repeat(60));
}

#[test]
fn what_the_resolution_explains_is_no_slow_down() {
    let coarse = |percent| Taken { resolution: 400_000, ..slow(percent) };
    assert_eq!(said([coarse(30); 5]), ".....");
    assert_eq!(said([coarse(50); 5]), "..!!!");
}

#[test]
fn too_few_nights_say_how_many_more_it_takes() {
    let mut follower = Follower::default();
    let more: Vec<_> = (0..NEEDED)
        .map(|_| match follower.next(STEADY) {
            Pace::Unknown { more } => more,
            _ => 0,
        })
        .collect();
    assert_eq!(more, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert!(p_value(NEEDED - JUDGED, 0) <= LEVEL && p_value(NEEDED - JUDGED - 1, 0) > LEVEL);
}

#[test]
fn the_p_value_is_the_share_of_choices_that_are_at_least_as_extreme() {
    // By hand: of the 20 ways to choose three of six, only {4,5,6} has nothing against it.
    assert!((p_value(3, 0) - 0.05).abs() < 1e-12);
    for normal in 1..9 {
        let nights = normal + 3;
        let mut against = Vec::new();
        for a in 0..nights {
            for b in a + 1..nights {
                for c in b + 1..nights {
                    // How many of the others are above each.
                    against.push((nights - 1 - a - 2) + (nights - 1 - b - 1) + (nights - 1 - c));
                }
            }
        }
        for most in 0..=normal * 3 {
            let share = against.iter().filter(|one| **one <= most).count();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let share = share as f64 / against.len() as f64;
            assert!((p_value(normal, most) - share).abs() < 1e-12, "{normal} {most}");
        }
    }
}

proptest! {
    /// Whatever the distribution, so with times drawn from any few values, ties included.
    #[test]
    fn the_rank_test_alone_is_right_for_any_times(times in prop::collection::vec(0..6_u64, 12)) {
        let (mut alarms, mut ways) = (0_u32, 0_u32);
        for a in 0..12 {
            for b in a + 1..12 {
                for c in b + 1..12 {
                    let normal = (0..12).filter(|night| ![a, b, c].contains(night));
                    let take = |night: usize| Taken { median: times[night], resolution: 0 };
                    let mut follower = Follower::default();
                    normal.chain([a, b, c]).for_each(|night| { follower.next(take(night)); });
                    ways += 1;
                    alarms += u32::from(follower.compare().p <= LEVEL);
                }
            }
        }
        prop_assert!(f64::from(alarms) <= LEVEL * f64::from(ways), "{alarms} of {ways}");
    }
}

/// A night of runs: `.` as expected, `?` unknown, a letter a run in which that check failed.
fn night(runs: &str) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for run in runs.chars() {
        match run {
            '?' => verdicts.unknown += 1,
            '.' => verdicts.known.push((true, BTreeSet::new())),
            check => verdicts.known.push((false, BTreeSet::from([check.to_string()]))),
        }
    }
    verdicts
}

fn turned(nights: &str, accepted: bool) -> Turn {
    turn(&nights.split(' ').map(night).collect::<Vec<_>>(), accepted)
}

#[test]
fn a_verdict_has_turned_when_most_repeats_fail_what_they_did_not_fail_before() {
    let a = || vec!["a".to_owned()];
    assert_eq!(turned("... ...", false), Turn::AsExpected);
    assert_eq!(turned("... ..a", false), Turn::AsExpected);
    assert_eq!(turned("... .aa", false), Turn::Turned(a()));
    assert_eq!(
        turned("aaa", false),
        Turn::Turned(a()),
        "there is no night before, but a verdict it must give"
    );
    assert_eq!(turned("... aaa aaa aaa aaa", false), Turn::Turned(a()), "it stays red");
    assert_eq!(turned("aaa aaa", true), Turn::AsBefore, "somebody said that this is normal");
    assert_eq!(turned("aaa bbb", true), Turn::Turned(vec!["a".into(), "b".into()]));
    assert_eq!(turned("aaa ...", true), Turn::AsExpected);
}

#[test]
fn a_night_that_cannot_tell_is_unknown_and_no_pass() {
    assert_eq!(turned("... ??.", false), Turn::Unknown);
    assert_eq!(turned("... ?..", false), Turn::AsExpected);
    assert_eq!(turned("... ?aa", false), Turn::Turned(vec!["a".into()]));
    assert_eq!(turn(&[], false), Turn::Unknown);
}
