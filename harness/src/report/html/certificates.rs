//! The certificates of a run: what each service used before, during and after the fault, and which one was
//! the defect.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    history::{Leaf, Micros, Purpose, What},
    measure::{Credential, Measurements},
    words,
};

use super::{
    chart::{Block, Chart, Row, from_history, ticks},
    rows::View,
    scale::Scale,
};

/// More credentials than this are only counted.
const MOST: usize = 30;

/// One credential of a service, as a line of the table.
pub struct Line {
    /// `archive/mesh`.
    pub name: String,
    /// What it used before the fault.
    pub before: String,
    /// What the fault put there.
    pub during: String,
    /// What was wrong with it.
    pub defect: String,
    /// What it used last.
    pub after: String,
}

/// A leaf from the instant on which a service was seen to use it, or was given it.
struct Use<'h> {
    at: Micros,
    leaf: &'h Leaf,
    by: &'static str,
}

/// A chart of the credentials that a fault touched, and how many more there are.
pub fn chart(measured: &Measurements<'_>) -> (Chart, usize) {
    let until = measured.reading.until.max(1);
    let zero = measured.zero().map_or(0, |(at, _)| at);
    let view = View { measured, scale: Scale::new(0, until), zero };
    let shown = measured.credentials.iter().take(MOST);
    let rows = shown.map(|credential| lifeline(&view, credential, until)).collect();
    let label = "Which certificate each service used: good, installed by the fault, ended, good again".into();
    let chart = Chart::new(label, Vec::new(), ticks(view.scale, zero, |at| view.minutes(at)), rows);
    (chart, measured.credentials.len().saturating_sub(MOST))
}

/// The same in words.
pub fn lines(measured: &Measurements<'_>) -> Vec<Line> {
    let shown = measured.credentials.iter().take(MOST);
    shown
        .map(|credential| {
            let uses = uses(measured, credential);
            let before =
                uses.iter().rev().find(|one| one.at < credential.installed && one.leaf != credential.leaf);
            let after =
                uses.iter().rev().find(|one| one.at > credential.installed && one.leaf != credential.leaf);
            Line {
                name: credential.name(),
                before: before.map_or("not seen".into(), |one| certificate(one.leaf)),
                during: certificate(credential.leaf),
                defect: defect(measured, credential),
                after: after
                    .map_or("never replaced".into(), |one| format!("{}, {}", certificate(one.leaf), one.by)),
            }
        })
        .collect()
}

fn defect(measured: &Measurements<'_>, credential: &Credential<'_>) -> String {
    let zero = measured.zero().map_or(0, |(at, _)| at);
    match (credential.expired, credential.landed) {
        (Some((at, true)), _) => format!("expired in use at {}", words::offset(at, zero)),
        (Some((at, false)), _) => {
            format!("would have expired at {}, replaced in time", words::offset(at, zero))
        }
        (None, Some(landed)) => format!("on the wire since {}", words::offset(landed.stable_since, zero)),
        (None, None) => "never seen on the wire".into(),
    }
}

fn lifeline(view: &View<'_, '_>, credential: &Credential<'_>, until: Micros) -> Row {
    let uses = uses(view.measured, credential);
    let mut blocks = Vec::new();
    for (index, one) in uses.iter().enumerate() {
        let end = uses.get(index + 1).map_or(until, |next| next.at);
        let bad = one.leaf == credential.leaf;
        let title = |what: &str, begin: Micros, end: Micros| {
            from_history(
                format!(
                    "{what}, {} for {}: {}, {}",
                    view.when(begin),
                    words::span(end.saturating_sub(begin)),
                    certificate(one.leaf),
                    one.by
                ),
                one.at,
            )
        };
        let mut draw = |class, begin: Micros, end: Micros, what: &str| {
            blocks.push(Block::in_bar(class, view.scale.extent(begin, end), title(what, begin, end)));
        };
        match credential.bite(until).filter(|_| bad) {
            Some(bite) if bite < end => {
                draw("sleeping", one.at, bite.max(one.at), "the fault's certificate, still valid");
                draw("hurting", bite.max(one.at), end, "the defect: this certificate is no longer good");
            }
            _ if bad => draw("sleeping", one.at, end, "the fault's certificate"),
            _ => draw("good", one.at, end, "a good certificate"),
        }
    }
    let note = defect(view.measured, credential);
    Row::bar(credential.name(), note, blocks)
}

/// What was in one mount of a service, in the order of time.
fn uses<'h>(measured: &Measurements<'h>, credential: &Credential<'h>) -> Vec<Use<'h>> {
    let same = |service: &str, mount: &str| service == credential.service && mount == credential.mount;
    let mut uses: Vec<Use<'h>> = Vec::new();
    for event in measured.reading.rare.iter().filter(|event| event.at <= measured.reading.until) {
        let (leaf, by) = match &event.what {
            What::Installed { service, mount, leaf, why } if same(service, mount) => match why {
                Purpose::Setup => (leaf, "installed at the start"),
                Purpose::Fault => (leaf, "installed by the fault"),
                Purpose::Companion => (leaf, "installed beside the fault"),
                Purpose::Repair => (leaf, "installed by the repair"),
                Purpose::Heal => continue,
            },
            What::Using { service, mount, leaf } if same(service, mount) => {
                (leaf, "the service got it by itself")
            }
            _ => continue,
        };
        // A sighting of what is known to be there is no change.
        if !uses.iter().any(|one| one.leaf == leaf) {
            uses.push(Use { at: event.at, leaf, by });
        }
    }
    uses.sort_by_key(|one| one.at);
    uses
}

/// `serial 7bd7233b..., valid until 2022-01-26T20:55:00Z`.
fn certificate(leaf: &Leaf) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(leaf.not_after).ok();
    let until = instant.and_then(|instant| instant.format(&Rfc3339).ok());
    let until = until.unwrap_or_else(|| format!("Unix second {}", leaf.not_after));
    format!("serial {}, valid until {until}", words::brief(&leaf.serial, 12))
}
