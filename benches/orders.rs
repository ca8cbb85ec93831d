//! Orders of start on processes against what they may cost.
//!
//! `cargo bench --bench orders -- [REPEATS]`, 3 by default. Every figure is printed beside its limit as a
//! ratio; side by side is what `notafter orders` does by default here.

use std::{collections::BTreeSet, time::Instant};

use notafter::{
    order::{Choice, Strength, Trials, covering, fitting},
    runtime::Runtime,
};

fn main() {
    let suite = stack::suite();
    notafter::multicall::dispatch(&suite.programs);
    let repeats = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(3);
    let runs = tempfile::tempdir().expect("a folder for the runs");
    let tokio = tokio::runtime::Runtime::new().expect("runtime");
    arrays();
    println!("{} clusters side by side", fitting(Runtime::Processes));
    for (strength, limit) in [(Strength::Three, 3.0), (Strength::Four, 15.0)] {
        let mut seconds: Vec<f64> = Vec::new();
        let mut rate: Vec<f64> = Vec::new();
        for _ in 0..repeats {
            let choice = Choice { strength, ways: BTreeSet::new(), ..Choice::default() };
            let trials = Trials { choice, ..Trials::of(stack::system(), runs.path()) };
            let (_stop, interrupt) = tokio::sync::watch::channel(false);
            let begun = Instant::now();
            let outcome = tokio.block_on(trials.run(interrupt)).expect("trials");
            assert!(outcome.error.is_none() && outcome.order_works == Some(true));
            let took = begun.elapsed().as_secs_f64();
            seconds.push(took);
            rate.push(f64::from(u32::try_from(outcome.tried.len()).expect("few")) / took);
        }
        let what = format!("every {strength} of nine services in all orders");
        println!(
            "{what:<46} {:>6.2} s, {:.2} of the {limit} s allowed",
            median(&mut seconds),
            median(&mut seconds) / limit
        );
        println!(
            "{:<46} {:>6.2} /s, {:.2} of the 8 asked for",
            "  orders",
            median(&mut rate),
            median(&mut rate) / 8.0
        );
    }
}

/// Every array that is there, the slowest first.
fn arrays() {
    let sizes = (3..=126).map(|n| (n, Strength::Three)).chain((4..=12).map(|n| (n, Strength::Four)));
    let timed = sizes.map(|(n, strength)| {
        let begun = Instant::now();
        let orders = covering(n, strength).expect("there").len();
        (begun.elapsed().as_secs_f64() * 1e3, n, strength, orders)
    });
    let slowest = timed.max_by(|one, other| one.0.total_cmp(&other.0));
    let (ms, n, strength, orders) = slowest.expect("some");
    println!(
        "{:<46} {ms:>6.2} ms, {:.2} of the 10 ms allowed",
        format!("slowest array: {orders} orders of {n}, strength {strength}"),
        ms / 10.0
    );
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
