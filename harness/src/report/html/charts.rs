//! The charts of a run: the whole of it in a few bars, and what failed in detail.

use crate::{
    history::{Micros, Phase},
    measure::{Interval, Measurements, Step, failing, union},
    words,
};

use super::{
    chart::{Band, Block, Chart, Row, from_history, ticks},
    rows::{View, stretch},
    scale::Scale,
};

/// The whole run: the fault, the phases, and whether users missed anything.
pub fn overview(measured: &Measurements<'_>) -> Chart {
    let until = measured.reading.until.max(1);
    let zero = measured.zero().map_or(0, |(at, _)| at);
    let view = View { measured, scale: Scale::new(0, until), zero };
    let phases = measured.course.phases.iter().filter(|phase| phase.phase < Phase::Judge);
    let blocks = phases.map(|phase| {
        let class = if (phase.phase as u32).is_multiple_of(2) { "phase" } else { "phase odd" };
        let wrong = phase.error.map(|error| format!(", went wrong: {error}")).unwrap_or_default();
        let title = format!("phase {}{wrong}", phase.phase);
        stretch(&view, class, (phase.began, phase.ended.unwrap_or(until)), phase.phase.name(), &title)
    });
    let phases = Row::bar("phases of the run", "", blocks.collect());
    let failed = measured.operations.iter().filter(|outage| outage.user_facing);
    let failed = union(failed.flat_map(|outage| outage.intervals.iter().copied()).collect(), 0);
    let mut users = vec![Block::in_bar("well", view.scale.extent(0, until), "users".into())];
    users.extend(failed.iter().map(|interval| {
        stretch(&view, "failed", (interval.begin, interval.end), "", "a user-facing operation failed")
    }));
    let note = measured.outage.map_or("unknown".into(), |outage| format!("outage {outage}"));
    let rows = vec![fault(&view), phases, Row::bar("what users could do", note, users)];
    let label = format!(
        "The whole run, {}: the fault, the phases, and when users could not work",
        words::span(until)
    );
    Chart::new(label, Vec::new(), ticks(view.scale, zero, |at| view.minutes(at)), rows)
}

/// What became of the certificates of the fault.
fn fault(view: &View<'_, '_>) -> Row {
    let measured = view.measured;
    let until = measured.reading.until;
    let credentials = &measured.credentials;
    let mut blocks = Vec::new();
    let installed = credentials.iter().map(|credential| credential.installed).min();
    let landed = credentials.iter().filter_map(|one| Some(one.landed?.stable_since)).max();
    let bite = measured.bite().filter(|_| !measured.averted());
    let clean = measured.milestones.propagated.unwrap_or(until);
    if let Some(installed) = installed {
        let seen = landed.unwrap_or(until);
        blocks.push(stretch(
            view,
            "landing",
            (installed, seen),
            "",
            "the fault is put in and lands on the wire",
        ));
        if let Some(landed) = landed {
            let hurts = bite.unwrap_or(clean).max(landed);
            blocks.push(stretch(
                view,
                "sleeping",
                (landed, hurts),
                "installed, does not hurt yet",
                "the fault's certificates are in use and still valid",
            ));
        }
        if let Some(bite) = bite {
            blocks.push(stretch(
                view,
                "hurting",
                (bite, clean.max(bite)),
                "bad certificates in use",
                "a certificate of the fault is in use and no longer good",
            ));
        }
    }
    let note = words::counted(credentials.len() as u64, "certificate");
    Row::bar("the fault", note, blocks)
}

/// What failed, from shortly before the first trouble to shortly after the last.
pub fn detail(measured: &Measurements<'_>) -> Chart {
    let view = view(measured);
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(view.incident());
    rows.push(view.milestones());
    rows.push(view.alerts());
    rows.extend(view.steps());
    rows.extend(view.operations());
    rows.push(view.errors());
    rows.push(view.latency());
    let label = "What failed and what was done: the incident's instants, the run's milestones, alerts, repair \
                 steps, every operation, errors and latency over time. The tables hold the same.";
    Chart::new(label.into(), bands(&view), ticks(view.scale, view.zero, |at| view.minutes(at)), rows)
}

/// Services and hops, on the same axis.
pub fn services(measured: &Measurements<'_>) -> Chart {
    let view = view(measured);
    let mut rows = view.services();
    rows.extend(view.hops());
    let label = "When each service was not ready, and when handshakes of each hop failed";
    Chart::new(label.into(), bands(&view), ticks(view.scale, view.zero, |at| view.minutes(at)), rows)
}

/// The stretch of time that holds every failure, every milestone and every step.
fn view<'a, 'h>(measured: &'a Measurements<'h>) -> View<'a, 'h> {
    let reading = &measured.reading;
    let until = reading.until.max(1);
    let milestones = crate::incident::Milestone::ALL.iter().filter_map(|one| measured.milestones.at(*one));
    let steps = measured.course.steps.iter().flat_map(|step| [step.began, step.ended.unwrap_or(until)]);
    let failures = every_failure(measured);
    let failures = failures.iter().flat_map(|interval| [interval.begin, interval.end]);
    let zero = measured.zero().map(|(at, _)| at);
    let instants: Vec<Micros> = milestones.chain(steps).chain(failures).chain(zero).collect();
    let (from, to) = match (instants.iter().min(), instants.iter().max()) {
        (Some(from), Some(to)) if from < to => (*from, *to),
        _ => (0, until),
    };
    let margin = (to - from) / 30;
    let scale = Scale::new(from.saturating_sub(margin), (to + margin).min(until));
    View { measured, scale, zero: zero.unwrap_or(0) }
}

/// Failures before anybody counted them, too: a drawing leaves none out.
fn every_failure(measured: &Measurements<'_>) -> Vec<Interval> {
    let reading = &measured.reading;
    let operations =
        reading.operations.iter().flat_map(|one| failing(one.outcomes(reading.until), 0, reading.until));
    let hops = reading.hops.iter().flat_map(|one| failing(one.outcomes(reading.until), 0, reading.until));
    operations.chain(hops).collect()
}

/// When anything failed, and when somebody repaired.
fn bands(view: &View<'_, '_>) -> Vec<Band> {
    let measured = view.measured;
    let band = |class, begin: Micros, end: Micros, what: &str| Band {
        class,
        extent: view.scale.extent(begin, end),
        title: from_history(format!("{what}, {} for {}", view.when(begin), words::span(end - begin)), begin),
    };
    // Too many to tell apart are one.
    let bridge = (view.scale.until - view.scale.from) / 40;
    let mut bands: Vec<Band> = union(measured.recovery.failures.clone(), bridge)
        .iter()
        .map(|failure| band("trouble", failure.begin, failure.end, "something failed"))
        .collect();
    let repairs: Vec<&Step<'_>> = measured.course.steps.iter().filter(|step| step.repairs()).collect();
    let began = repairs.iter().map(|step| step.began).min();
    let ended = repairs.iter().filter_map(|step| step.ended).max();
    bands.extend(
        began.zip(ended).map(|(began, ended)| band("repair", began, ended, "people rotate and restart")),
    );
    bands
}
