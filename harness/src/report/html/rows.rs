//! The rows of the charts: what failed, who was told, what was done, each traceable to its event.

use std::collections::BTreeMap;

use crate::{
    history::{AlertRule, Micros, Operation, Probe, ProcessChange, StepKind, What},
    measure::{Interval, Measurements, Stream, Try, failing, union},
    report::{prose, timeline},
    words,
};

use super::{
    chart::{BAR, Block, LABEL, Mark, Row, from_history},
    lanes::{Segment, failures, first_of},
    scale::{Extent, Scale},
};

/// More lanes of a kind are one, for those that are left.
const LANES: usize = 24;
/// Columns of what is drawn over time.
const COLUMNS: u64 = 150;
/// How high what is drawn over time is.
const TALL: u32 = 64;
/// Words of services are cut to so many characters.
const WORDS: usize = 120;

/// A run on the time axis of one chart.
pub struct View<'a, 'h> {
    /// The run.
    pub measured: &'a Measurements<'h>,
    /// Its time axis.
    pub scale: Scale,
    /// The instant that all others are told from.
    pub zero: Micros,
}

impl View<'_, '_> {
    /// An instant as people tell it.
    pub fn when(&self, at: Micros) -> String {
        words::offset(at, self.zero)
    }

    /// An instant in minutes of the incident; empty where there is none.
    pub fn minutes(&self, at: Micros) -> String {
        let sign = if at < self.zero { "-" } else { "+" };
        let span = prose::in_minutes(self.measured, at.abs_diff(self.zero));
        span.map(|span| format!("{sign}{span}")).unwrap_or_default()
    }

    /// The incident's own instants, numbered as in the table of milestones.
    pub fn incident(&self) -> Option<Row> {
        let (incident, minute) = timeline::incident(self.measured)?;
        let rows = timeline::rows(self.measured).into_iter().enumerate();
        let marks = rows.filter_map(|(index, row)| {
            let at = self.zero + u64::from(row.minute?) * minute;
            let title = format!("{}, {}: {}", row.then(), row.clock, row.what);
            self.mark("then", index + 1, at, title)
        });
        let note = format!("a minute takes {} here", words::span(minute));
        Some(Row::marks(incident.title.clone(), note, marks.collect()))
    }

    /// The milestones of the run, numbered as in their table.
    pub fn milestones(&self) -> Row {
        let rows = timeline::rows(self.measured).into_iter().enumerate();
        let marks = rows.filter_map(|(index, row)| {
            let at = row.at?;
            self.mark("now", index + 1, at, from_history(format!("{}: {}", row.run, row.what), at))
        });
        Row::marks("this run", "numbers as in the table", marks.collect())
    }

    fn mark(&self, class: &'static str, number: usize, at: Micros, title: String) -> Option<Mark> {
        let x = self.scale.place(at);
        self.scale.shows(at, at).then_some(Mark { class, number, x, y: 0, title })
    }

    /// The steps of the repair.
    pub fn steps(&self) -> Option<Row> {
        let course = &self.measured.course;
        let until = self.measured.reading.until;
        let blocks: Vec<_> = course
            .steps
            .iter()
            .map(|step| {
                let end = step.ended.unwrap_or(until);
                let took = step.ended.map_or("never ended".into(), |end| words::span(end - step.began));
                let error = step.error.map(|error| format!("; went wrong: {error}")).unwrap_or_default();
                let what = format!(
                    "step {}, {}, took {took}: {}{error}",
                    step.number + 1,
                    self.when(step.began),
                    step.title
                );
                let class = match step.kind {
                    StepKind::Diagnose => "diagnose",
                    StepKind::Pace => "pace",
                    StepKind::Rotate => "rotate",
                    StepKind::Restart => "restart",
                    StepKind::SetClock => "set clock",
                    StepKind::RecoveryRun => "rerun",
                };
                let extent = self.scale.extent(step.began, end);
                Block::in_bar(class, extent, from_history(what, step.began))
            })
            .collect();
        let waited = course.paused(Micros::MAX);
        let note =
            if waited < 1_000 { String::new() } else { format!("people waited {}", words::span(waited)) };
        let label = format!("repair, {}", words::counted(blocks.len() as u64, "step"));
        (!blocks.is_empty()).then(|| Row::bar(label, note, blocks))
    }

    /// Who was told, and when.
    pub fn alerts(&self) -> Row {
        let alerts = self.measured.reading.rare.iter().filter_map(|event| match &event.what {
            What::Alert(alert) => Some((event.at, alert)),
            _ => None,
        });
        let mut blocks: Vec<(Block, u64)> = Vec::new();
        for (at, alert) in alerts.filter(|(at, _)| self.scale.shows(*at, *at)) {
            let extent = self.scale.extent(at, at);
            match blocks.last_mut() {
                Some((last, more)) if extent.begin <= last.extent.end => {
                    last.extent.end = last.extent.end.max(extent.end);
                    *more += 1;
                }
                _ => {
                    let kind = match alert.rule {
                        AlertRule::Expiry => "a certificate nears its end",
                        AlertRule::Symptom => "a symptom",
                    };
                    let what = format!("{}: {kind}: {}", self.when(at), words::brief(&alert.text, WORDS));
                    blocks.push((Block::in_bar("alert", extent, from_history(what, at)), 0));
                }
            }
        }
        let count: u64 = blocks.iter().map(|(_, more)| more + 1).sum();
        let note = if count == 0 { "nobody was told".into() } else { words::counted(count, "alert") };
        let told = blocks.into_iter().map(|(mut block, more)| {
            if more > 0 {
                block.title = format!("{} alerts, the first: {}", more + 1, block.title);
            }
            block
        });
        Row::bar("alerts", note, told.collect())
    }

    /// A lane for each operation, those that users notice first.
    pub fn operations(&self) -> Vec<Row> {
        let reading = &self.measured.reading;
        let is_users = |stream: &&Stream<'_, Operation>| stream.tries.iter().any(|one| one.of.user_facing);
        let (users, background): (Vec<_>, Vec<_>) = reading.operations.iter().partition(is_users);
        let label = |stream: &Stream<'_, Operation>, unseen: &str| format!("{}{unseen}", stream.name);
        let mut named: Vec<_> = users.into_iter().map(|stream| (label(stream, ""), stream)).collect();
        named.extend(background.into_iter().map(|stream| (label(stream, " (background)"), stream)));
        self.lanes(
            named,
            |operation| operation.error.clone().unwrap_or_default(),
            |stream| {
                let measured = self.measured.operations.iter().find(|outage| outage.name == stream.name);
                measured.map_or(String::new(), |outage| match outage.intervals.len() {
                    0 => "never failed".into(),
                    _ => format!("failed {}", outage.total),
                })
            },
        )
    }

    /// A lane for each hop, by its fresh handshakes.
    pub fn hops(&self) -> Vec<Row> {
        let hops = self.measured.reading.hops.iter();
        let named = hops.map(|stream| (format!("{} \u{2192} {}", stream.name, stream.server), stream));
        self.lanes(
            named.collect(),
            |probe: &Probe| probe.outcome.to_string(),
            |stream| {
                let failed = stream.tries.iter().filter(|attempt| !attempt.ok).count();
                counted(failed, stream.tries.len())
            },
        )
    }

    /// Lanes by name; those that do not fit are one, so that none of their failures is hidden.
    fn lanes<T>(
        &self,
        mut streams: Vec<(String, &Stream<'_, T>)>,
        words: impl Fn(&T) -> String,
        note: impl Fn(&Stream<'_, T>) -> String,
    ) -> Vec<Row> {
        let until = self.measured.reading.until;
        let failing = |stream: &Stream<'_, T>| failing(stream.outcomes(until), 0, until);
        let rest = streams.split_off(streams.len().min(LANES));
        let mut rows: Vec<Row> = streams
            .into_iter()
            .map(|(label, stream)| self.lane(label, note(stream), failing(stream), &stream.tries, &words))
            .collect();
        if !rest.is_empty() {
            let failures = union(rest.iter().flat_map(|(_, stream)| failing(stream)).collect(), 0);
            let tries = rest.iter().flat_map(|(_, stream)| &stream.tries);
            let mut tries: Vec<_> = tries.map(|one| Try { leaves: [0; 2], ..*one }).collect();
            tries.sort_by_key(|attempt| (attempt.at, attempt.ok));
            let failed = tries.iter().filter(|attempt| !attempt.ok).count();
            let label = format!("{} more together", rest.len());
            rows.push(self.lane(label, counted(failed, tries.len()), failures, &tries, &words));
        }
        rows
    }

    fn lane<T>(
        &self,
        label: String,
        note: String,
        failing: Vec<Interval>,
        tries: &[Try<'_, T>],
        words: &impl Fn(&T) -> String,
    ) -> Row {
        let ends = tries.first().zip(tries.last());
        let ends = ends.filter(|(one, last)| self.scale.shows(one.at, last.answered));
        let well = ends.map(|(one, last)| {
            let title = format!("{label}: {} tries, from {}", tries.len(), self.when(one.at));
            Block::in_bar("well", self.scale.extent(one.at, last.answered), title)
        });
        let segments = failures(failing, tries, self.scale).into_iter();
        let failed = segments.filter(|segment| self.scale.shows(segment.first, segment.end)).map(|segment| {
            let first = first_of(tries, &segment).map(|attempt| words(attempt.of)).unwrap_or_default();
            let title = self.told(&label, &segment, &first);
            Block::in_bar("failed", segment.extent, from_history(title, segment.first))
        });
        let blocks = well.into_iter().chain(failed).collect();
        Row::bar(label, note, blocks)
    }

    fn told(&self, label: &str, segment: &Segment, first: &str) -> String {
        let times = match segment.intervals {
            1 => String::new(),
            times => format!(", {times} times"),
        };
        format!(
            "{label} failed from {} for {}{times}, {} of {} tries; first: {}",
            self.when(segment.first),
            words::span(segment.end - segment.first),
            segment.failed,
            segment.tried,
            words::brief(first, WORDS),
        )
    }

    /// A lane for each service: when it did not say that it can serve, and how often it ended by itself.
    pub fn services(&self) -> Vec<Row> {
        let until = self.measured.reading.until;
        let mut services: BTreeMap<&str, Service<'_>> = BTreeMap::new();
        for event in self.measured.reading.rare.iter().filter(|event| event.at <= until) {
            match &event.what {
                What::Health(health) => {
                    let service = services.entry(&health.service).or_default();
                    let why = health.waits_for.first().map(String::as_str);
                    service.is(event.at, health.ready, why.unwrap_or("its health endpoint does not answer"));
                }
                What::Process { service, change: ProcessChange::Exited { asked: false, last_words, .. } } => {
                    services.entry(service).or_default().crashes.push((event.at, last_words));
                }
                _ => {}
            }
        }
        services.into_iter().take(LANES).map(|(name, service)| self.service(name, service, until)).collect()
    }

    fn service(&self, name: &str, mut service: Service<'_>, until: Micros) -> Row {
        service.is(until, true, "");
        let mut blocks = vec![Block::in_bar("well", self.scale.extent(0, until), format!("{name}: ready"))];
        let mut last: Option<Extent> = None;
        for (begin, end, why) in service.unready {
            if !self.scale.shows(begin, end) {
                continue;
            }
            let extent = self.scale.extent(begin, end);
            let crashes: Vec<_> =
                service.crashes.iter().filter(|(at, _)| (begin..=end).contains(at)).collect();
            let crashed = crashes.last().map_or(String::new(), |(_, words)| {
                let times = words::crashes(crashes.len());
                format!("; {times}, last words: {}", words::brief(words, WORDS))
            });
            let what = format!(
                "{name} not ready from {} for {}: {}{crashed}",
                self.when(begin),
                words::span(end - begin),
                words::brief(why, WORDS)
            );
            match (last, blocks.last_mut()) {
                (Some(before), Some(block)) if extent.begin.0 <= before.end.0 + 20 => {
                    block.extent.end = block.extent.end.max(extent.end);
                }
                _ => blocks.push(Block::in_bar("unready", extent, from_history(what, begin))),
            }
            last = Some(extent);
        }
        let shown = service.crashes.iter().filter(|(at, _)| self.scale.shows(*at, *at)).count();
        let note = if shown == 0 { String::new() } else { words::crashes(shown) };
        Row::bar(name, note, blocks)
    }

    /// How long what worked for users took: the slower half of each column, on a logarithmic axis.
    pub fn latency(&self) -> Row {
        let blocks = self.columns().into_iter().filter_map(|column| {
            let slowest = *column.took.last()?;
            let half = column.took[column.took.len() / 2];
            let (top, bottom) = (height(slowest), height(half));
            let title = format!(
                "{}: {} that succeeded, half of them within {}, the slowest in {}",
                self.when(column.begin),
                tries(column.took.len()),
                words::span(half),
                words::span(slowest)
            );
            let (y, height) = (LABEL + TALL - top, (top - bottom).max(2));
            Some(Block { class: "slow", extent: column.extent, y, height, text: "", title })
        });
        let grid = [(1_000, "1 ms"), (100_000, "100 ms"), (10_000_000, "10 s")];
        Row {
            height: LABEL + TALL,
            label: "how long users waited".into(),
            note: "slower half of what succeeded".into(),
            blocks: blocks.collect(),
            grid: grid.map(|(micros, words)| (LABEL + TALL - height(micros), words)).into(),
            ..Row::default()
        }
    }

    /// Which share of what users tried failed.
    pub fn errors(&self) -> Row {
        let tall = TALL / 2;
        let blocks = self.columns().into_iter().filter(|column| column.failed > 0).map(|column| {
            let tried = column.failed + column.took.len();
            let share = u32::try_from(column.failed * tall as usize / tried).unwrap_or(tall).max(3);
            let title = format!("{}: {} of {tried} tries failed", self.when(column.begin), column.failed);
            let title = column.first.map_or(title.clone(), |at| from_history(&title, at));
            let y = LABEL + tall - share;
            Block { class: "failed", extent: column.extent, y, height: share, text: "", title }
        });
        Row {
            height: LABEL + tall,
            label: "what failed for users".into(),
            note: "share of tries".into(),
            blocks: blocks.collect(),
            grid: vec![(LABEL + tall, "")],
            ..Row::default()
        }
    }

    fn columns(&self) -> Vec<Column> {
        let length = self.scale.until - self.scale.from;
        let edge = |column: u64| self.scale.from + length * column / COLUMNS;
        let mut columns: Vec<Column> = (0..COLUMNS)
            .map(|column| {
                let (begin, end) = (edge(column), edge(column + 1));
                let extent = Extent { begin: self.scale.place(begin), end: self.scale.place(end) };
                Column { begin, extent, took: Vec::new(), failed: 0, first: None }
            })
            .collect();
        for attempt in self.measured.reading.user_facing().flat_map(|stream| &stream.tries) {
            let Some(past) = attempt.at.checked_sub(self.scale.from) else { continue };
            let place = usize::try_from(past * COLUMNS / length).unwrap_or(usize::MAX);
            let Some(column) = columns.get_mut(place) else { continue };
            if attempt.ok {
                column.took.push(attempt.of.took);
            } else {
                column.failed += 1;
                column.first = Some(column.first.map_or(attempt.at, |at| at.min(attempt.at)));
            }
        }
        for column in &mut columns {
            column.took.sort_unstable();
        }
        columns
    }
}

/// What users tried in a stretch of time.
struct Column {
    begin: Micros,
    extent: Extent,
    /// What succeeded: how long each took, ascending.
    took: Vec<Micros>,
    failed: usize,
    /// When the first that failed was begun.
    first: Option<Micros>,
}

/// What a service said about itself.
#[derive(Default)]
struct Service<'h> {
    /// When it was not ready: begin, end, and what it said first.
    unready: Vec<(Micros, Micros, &'h str)>,
    since: Option<(Micros, &'h str)>,
    crashes: Vec<(Micros, &'h str)>,
}

impl<'h> Service<'h> {
    fn is(&mut self, at: Micros, ready: bool, why: &'h str) {
        match (ready, self.since) {
            (false, None) => self.since = Some((at, why)),
            (true, Some((begin, why))) => {
                self.unready.push((begin, at, why));
                self.since = None;
            }
            _ => {}
        }
    }
}

/// From 100 us to 10 s, each tenfold as high as the other.
fn height(micros: Micros) -> u32 {
    #[expect(clippy::cast_precision_loss, reason = "a pixel is coarser")]
    let decades = (micros.clamp(100, 10_000_000) as f64 / 100.0).log10();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to TALL")]
    let height = (decades / 5.0 * f64::from(TALL)).round() as u32;
    height
}

fn tries(number: usize) -> String {
    if number == 1 { "1 try".into() } else { format!("{} tries", words::count(number as u64)) }
}

fn counted(failed: usize, tried: usize) -> String {
    match failed {
        0 => format!("{}, none failed", tries(tried)),
        failed => format!("{} of {} failed", words::count(failed as u64), words::count(tried as u64)),
    }
}

/// A bar's worth of whatever lies between some instants.
pub fn stretch(
    view: &View<'_, '_>,
    class: &'static str,
    (begin, end): (Micros, Micros),
    text: &'static str,
    title: &str,
) -> Block {
    let extent = view.scale.extent(begin, end);
    let text =
        if extent.width().0 > 1_100 + 150 * u32::try_from(text.len()).unwrap_or(0) { text } else { "" };
    let title =
        from_history(format!("{}, for {}: {title}", view.when(begin), words::span(end - begin)), begin);
    Block { class, extent, y: LABEL, height: BAR, text, title }
}
