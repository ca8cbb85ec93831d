//! How long a history of a million events takes to load and to judge; under a second is what is asked for.
//!
//! The history is made up but shaped like a real one: nine operations and fourteen hops, tried every 5 ms
//! for some three minutes, of which one minute is an outage, and a ledger of 20,000 records.

use std::{hint::black_box, io::Write, time::Duration};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use notafter::{
    check::{self, Check, Expect},
    history::{
        Event, Health, History, Landed, Leaf, Micros, Operation, Outcome, Phase, Probe, Purpose, Question,
        Record, Refusal, RunInfo, Side, StepKind, What, Witness,
    },
    measure::Measurements,
};

const EVENTS: usize = 1_000_000;
const CADENCE: Micros = 5_000;
const WALL: u64 = 1_700_000_000;
const SECOND: Micros = 1_000_000;
const EXPIRY: Micros = 30 * SECOND;
const REPAIRED: Micros = 90 * SECOND;

const OPERATIONS: [&str; 9] = [
    "login",
    "search",
    "spotlight",
    "ingest",
    "archive",
    "retention",
    "data-hold",
    "user-data-removal",
    "manage",
];

const HOPS: [(&str, &str); 14] = [
    ("gateway", "auth"),
    ("gateway", "search"),
    ("gateway", "spotlight"),
    ("auth", "archive"),
    ("ingest", "source"),
    ("ingest", "auth"),
    ("ingest", "processor"),
    ("processor", "archive"),
    ("search", "archive"),
    ("spotlight", "archive"),
    ("archive", "manager"),
    ("auth", "manager"),
    ("ingest", "manager"),
    ("processor", "manager"),
];

fn judging(criterion: &mut Criterion) {
    let history = history();
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    write(&history, file.as_file_mut());
    let checks = checks();
    let overall = check::judge_all(&history, &checks);
    for (name, verdict) in &overall.checks {
        assert!(!matches!(verdict, check::Verdict::Unknown(_)), "{name}: {verdict}");
    }

    let mut group = criterion.benchmark_group("a million events");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(10));
    group.bench_function("load", |bencher| {
        bencher.iter_with_large_drop(|| {
            History::read(black_box(file.path())).expect("what was written can be read")
        });
    });
    group.bench_function("measure", |bencher| bencher.iter(|| black_box(Measurements::of(&history)).outage));
    group.bench_function("judge", |bencher| bencher.iter(|| check::judge_all(black_box(&history), &checks)));
    group.finish();
}

fn checks() -> Vec<Box<dyn Check>> {
    let seconds = Duration::from_secs;
    vec![
        check::steady(),
        check::landed(),
        check::refused(Refusal::Expired),
        check::outage_within(seconds(1)),
        check::recovers_within(seconds(1)),
        check::drains_within(seconds(60)),
        check::nothing_lost(),
        check::nothing_duplicated(),
        check::nothing_accepted_unauthenticated(),
        check::no_connection_outlives_expiry(seconds(1)),
        check::alerted_before_expiry(seconds(1)),
    ]
}

fn write(history: &History, file: &mut std::fs::File) {
    let mut lines = std::io::BufWriter::new(file);
    for event in &history.events {
        serde_json::to_writer(&mut lines, event).expect("events have a JSON form");
        lines.write_all(b"\n").expect("a line is written");
    }
    lines.flush().expect("lines are written");
}

fn history() -> History {
    let mut events = vec![Event { at: 0, what: What::Run(info()) }];
    phases(&mut events);
    for (service, _) in HOPS.iter().chain(&[("manager", ""), ("archive", "")]) {
        fault(service, &mut events);
    }
    let step = |kind| What::StepBegan { step: 0, title: "rotate every certificate".into(), kind };
    events.push(Event { at: REPAIRED - SECOND, what: step(StepKind::Rotate) });
    events.push(Event { at: REPAIRED, what: What::StepEnded { step: 0, error: None } });
    let tried = EVENTS - 21_000;
    let mut at = 2 * CADENCE;
    while events.len() < tried {
        events.extend(OPERATIONS.map(|name| Event { at, what: What::Operation(operation(name, at)) }));
        events.extend(HOPS.map(|hop| Event { at, what: What::Probe(probe(hop, Question::Fresh, at)) }));
        if at.is_multiple_of(SECOND) {
            let intruder = probe(HOPS[0], Question::WithForeign, at);
            let open = probe(HOPS[1], Question::Open, at);
            events.extend([intruder, open].map(|probe| Event { at, what: What::Probe(probe) }));
        }
        at += CADENCE;
    }
    events.push(Event { at, what: What::Drained });
    for number in 0..20_000 {
        let sent = number * 9_000;
        let (acked, stored) = (Some(sent + 2_000), Some(sent + 4_000));
        let record = Record { number, sent, acked, stored, copies: 1, found: true };
        events.push(Event { at, what: What::Record(record) });
    }
    events.push(Event { at, what: What::PhaseEnded { phase: Phase::Drain, error: None } });
    events.push(Event { at, what: What::PhaseBegan { phase: Phase::Judge } });
    events.sort_by_key(|event| event.at);
    History { events }
}

fn info() -> RunInfo {
    RunInfo {
        id: "bench".into(),
        scenario: "bench/judging".into(),
        about: "A long run.".into(),
        runtime: "processes".into(),
        seed: 1,
        version: "0.1.0".into(),
        wall: WALL * SECOND,
        minute_us: 50_000,
        rerun: String::new(),
        expect: Expect::Pass,
        stability_us: 500_000,
        late_us: SECOND,
        incident: None,
    }
}

fn phases(events: &mut Vec<Event>) {
    let phases = [
        (Phase::Start, 0),
        (Phase::Steady, SECOND / 2),
        (Phase::Inject, 2 * SECOND),
        (Phase::Landed, 3 * SECOND),
        (Phase::Observe, 4 * SECOND),
        (Phase::Repair, 60 * SECOND),
        (Phase::Recover, REPAIRED),
        (Phase::Drain, REPAIRED + 5 * SECOND),
    ];
    for (index, (phase, at)) in phases.into_iter().enumerate() {
        events.push(Event { at, what: What::PhaseBegan { phase } });
        if let Some((_, next)) = phases.get(index + 1) {
            events.push(Event { at: *next, what: What::PhaseEnded { phase, error: None } });
        }
    }
}

fn fault(service: &str, events: &mut Vec<Event>) {
    let (service, mount, leaf) = (service.to_owned(), "mesh".to_owned(), leaf(service, 3 * SECOND));
    let health = Health { service: service.clone(), live: true, ready: true, waits_for: Vec::new() };
    events.push(Event { at: SECOND, what: What::Health(health) });
    events.push(Event {
        at: 2 * SECOND,
        what: What::Installed {
            service: service.clone(),
            mount: mount.clone(),
            leaf: leaf.clone(),
            why: Purpose::Fault,
        },
    });
    events.push(Event {
        at: 3 * SECOND,
        what: What::Landed(Landed {
            service: service.clone(),
            mount: mount.clone(),
            leaf: leaf.clone(),
            seen_by: Witness::Prober,
            first_new: 2 * SECOND + 20_000,
            last_old: None,
            stable_since: 2 * SECOND + 20_000,
        }),
    });
    events.push(Event {
        at: EXPIRY,
        what: What::Expired { service, mount, leaf, in_use: true, chain_ends: None },
    });
}

/// The certificate that a service has at an instant: the first, that of the fault, or the repaired one.
fn leaf(service: &str, at: Micros) -> Leaf {
    let generation = u64::from(at >= 2 * SECOND) + u64::from(at >= REPAIRED);
    let number: u64 = service.bytes().map(u64::from).sum();
    let year = WALL.cast_signed() + 31_536_000;
    let not_after = if generation == 1 { (WALL + EXPIRY / SECOND - 1).cast_signed() } else { year };
    let serial = format!("{:032x}", number * 0x9e37_79b9 + generation);
    Leaf { serial, not_after, not_before: WALL.cast_signed() - 60 }
}

fn operation(name: &str, at: Micros) -> Operation {
    let fails = (EXPIRY..REPAIRED).contains(&at);
    let error = fails.then(|| format!("{name}: 503 Service Unavailable: archive: certificate expired"));
    Operation { name: name.into(), user_facing: name != "retention", took: 1_200, error }
}

fn probe((client, server): (&str, &str), question: Question, at: Micros) -> Probe {
    let refused = (EXPIRY..REPAIRED).contains(&at) || question == Question::WithForeign;
    let outcome = if refused {
        Outcome::Refused { by: Side::Client, reason: Refusal::Expired }
    } else {
        Outcome::Served(200)
    };
    let (shown, presented) = (Some(leaf(client, at)), Some(leaf(server, at)));
    Probe { client: client.into(), server: server.into(), question, took: 900, shown, presented, outcome }
}

criterion_group!(benches, judging);
criterion_main!(benches);
