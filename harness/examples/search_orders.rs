//! Searches for a small sequence covering array, and prints it as `order/arrays.txt` holds it.
//!
//! ```text
//! cargo run --release --example search_orders -- STRENGTH EVENTS ORDERS [SEED] [SECONDS] [TEMPERATURE]
//! ```
//!
//! Simulated annealing over lists of orders: the cost is the number of sequences of STRENGTH events
//! that appear in no order. A move takes one that is missing and makes it appear in one order. Found
//! once, kept as data: a size that took minutes to find is given in microseconds. What is kept was found
//! with seed 1 at 0.9 (strength 3) and 0.6 (strength 4), but for 3 50 15 with seed 4 at 1.0, 4 7 32 with
//! seed 1 at 0.5, 4 9 44 with seed 3 at 0.5, 4 10 48 and 4 12 55 with seed 2 at 0.55; the longest took six
//! minutes. Colder, the search stays where it is: 3 50 15 lacked 22 sequences after 400 s at 0.9.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: Option<u64>| {
        let given = arguments.get(place).map(|text| text.parse().expect("a whole number"));
        given.or(default).expect("STRENGTH EVENTS ORDERS [SEED] [SECONDS] [TEMPERATURE]")
    };
    let size = |place| usize::try_from(number(place, None)).expect("small");
    let (strength, events, orders) = (size(0), size(1), size(2));
    assert!(strength == 3 || strength == 4, "strength 2 needs no search, others are not searched for");
    let limit = Duration::from_secs(number(4, Some(60)));
    let temperature: f64 = arguments
        .get(5)
        .map_or(if strength == 3 { 0.9 } else { 0.55 }, |text| text.parse().expect("a number"));

    let mut random = StdRng::seed_from_u64(number(3, Some(0)));
    let mut array = Array::new(strength, events, orders, &mut random);
    let began = Instant::now();
    let mut least = array.missing.list.len();
    while !array.missing.list.is_empty() {
        if began.elapsed() > limit {
            eprintln!("not found in {limit:?}; at best {least} sequences were missing");
            std::process::exit(1);
        }
        for _ in 0..1000 {
            if array.missing.list.is_empty() {
                break;
            }
            array.step(&mut random, temperature);
            least = least.min(array.missing.list.len());
        }
    }
    eprintln!("found in {:?}", began.elapsed());
    println!("{strength}");
    for row in &array.rows {
        println!("{}", row.iter().map(|&event| letter(event)).collect::<String>());
    }
}

fn letter(event: usize) -> char {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    letters[event].into()
}

/// Orders, and how often each sequence appears in them.
struct Array {
    strength: usize,
    events: usize,
    rows: Vec<Vec<usize>>,
    counts: Vec<u16>,
    missing: Missing,
}

/// The sequences that appear nowhere, each where it can be found again.
struct Missing {
    list: Vec<usize>,
    place: Vec<usize>,
}

impl Missing {
    fn add(&mut self, sequence: usize) {
        self.place[sequence] = self.list.len();
        self.list.push(sequence);
    }

    fn remove(&mut self, sequence: usize) {
        let place = self.place[sequence];
        self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.place[*moved] = place;
        }
    }
}

impl Array {
    fn new(strength: usize, events: usize, orders: usize, random: &mut StdRng) -> Self {
        let all = events.pow(u32::try_from(strength).expect("small"));
        let mut rows = vec![(0..events).collect::<Vec<_>>(); orders];
        for row in &mut rows {
            row.shuffle(random);
        }
        let missing = Missing { list: Vec::new(), place: vec![0; all] };
        let mut array = Self { strength, events, rows, counts: vec![0; all], missing };
        for row in 0..orders {
            for sequence in array.sequences(row) {
                array.counts[sequence] += 1;
            }
        }
        for sequence in 0..all {
            let mut seen = array.decode(sequence);
            seen.sort_unstable();
            seen.dedup();
            if seen.len() == strength && array.counts[sequence] == 0 {
                array.missing.add(sequence);
            }
        }
        array
    }

    fn decode(&self, mut sequence: usize) -> Vec<usize> {
        let mut events = vec![0; self.strength];
        for event in events.iter_mut().rev() {
            *event = sequence % self.events;
            sequence /= self.events;
        }
        events
    }

    fn encode(&self, sequence: &[usize]) -> usize {
        sequence.iter().fold(0, |code, event| code * self.events + event)
    }

    /// Every sequence that appears in an order.
    fn sequences(&self, row: usize) -> Vec<usize> {
        let row = &self.rows[row];
        let mut found = Vec::new();
        let mut chosen: Vec<usize> = (0..self.strength).collect();
        loop {
            found.push(self.encode(&chosen.iter().map(|&place| row[place]).collect::<Vec<_>>()));
            let free = |at: &usize| chosen[*at] < row.len() - self.strength + at;
            let Some(at) = (0..self.strength).rev().find(free) else { return found };
            chosen[at] += 1;
            for later in at + 1..self.strength {
                chosen[later] = chosen[later - 1] + 1;
            }
        }
    }

    /// Makes one missing sequence appear, unless that costs too much.
    fn step(&mut self, random: &mut StdRng, temperature: f64) {
        let before = self.missing.list.len();
        let wanted = self.decode(self.missing.list[random.random_range(0..before)]);
        let row = random.random_range(0..self.rows.len());
        let mut done: Vec<(usize, usize)> = Vec::new();
        // One event stays where it is; those before and after it move to where they have to be.
        let anchor = random.random_range(0..self.strength);
        let mut bound = self.place(row, wanted[anchor]);
        for &event in &wanted[anchor + 1..] {
            let from = self.place(row, event);
            if from < bound {
                // Everything between moves down by one.
                let to = Self::aim(random, bound, self.events - 1);
                self.shift(row, from, to);
                done.push((to, from));
                bound = to;
            } else {
                bound = from;
            }
        }
        let mut bound = self.place(row, wanted[anchor]);
        for &event in wanted[..anchor].iter().rev() {
            let from = self.place(row, event);
            if from > bound {
                let to = Self::aim(random, bound, 0);
                self.shift(row, from, to);
                done.push((to, from));
                bound = to;
            } else {
                bound = from;
            }
        }
        let after = self.missing.list.len();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let worse = after as f64 - before as f64;
        if worse > 0.0 && random.random::<f64>() >= (-worse / temperature).exp() {
            for (from, to) in done.into_iter().rev() {
                self.shift(row, from, to);
            }
        }
    }

    /// Mostly the nearest place, sometimes one further on.
    fn aim(random: &mut StdRng, near: usize, far: usize) -> usize {
        if random.random_range(0..4) > 0 || near == far {
            return near;
        }
        if near < far { random.random_range(near..=far) } else { random.random_range(far..=near) }
    }

    fn place(&self, row: usize, event: usize) -> usize {
        self.rows[row].iter().position(|other| *other == event).expect("every event is in every order")
    }

    /// Moves the event at one place to another, by swaps of neighbours.
    fn shift(&mut self, row: usize, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            self.swap(row, at);
            at += 1;
        }
        while at > to {
            at -= 1;
            self.swap(row, at);
        }
    }

    /// Swaps two neighbours, and counts anew what that touches: the sequences with both of them.
    fn swap(&mut self, row: usize, at: usize) {
        let mut order = std::mem::take(&mut self.rows[row]);
        let (first, second, n) = (order[at], order[at + 1], self.events);
        let (old, new) = (first * n + second, second * n + first);
        if self.strength == 3 {
            for &before in &order[..at] {
                self.change(before * n * n + old, before * n * n + new);
            }
            for &after in &order[at + 2..] {
                self.change(old * n + after, new * n + after);
            }
        } else {
            let (before, after) = (&order[..at], &order[at + 2..]);
            for (place, &x) in before.iter().enumerate() {
                for &y in &before[place + 1..] {
                    let head = (x * n + y) * n * n;
                    self.change(head + old, head + new);
                }
                for &y in after {
                    let (head, tail) = (x * n * n * n, y);
                    self.change(head + old * n + tail, head + new * n + tail);
                }
            }
            for (place, &x) in after.iter().enumerate() {
                for &y in &after[place + 1..] {
                    let tail = x * n + y;
                    self.change(old * n * n + tail, new * n * n + tail);
                }
            }
        }
        order.swap(at, at + 1);
        self.rows[row] = order;
    }

    fn change(&mut self, old: usize, new: usize) {
        self.counts[old] -= 1;
        if self.counts[old] == 0 {
            self.missing.add(old);
        }
        if self.counts[new] == 0 {
            self.missing.remove(new);
        }
        self.counts[new] += 1;
    }
}
