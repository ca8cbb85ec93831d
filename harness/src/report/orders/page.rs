//! Orders of start as one HTML file: a grid of times to ready, and what must not start before what as a
//! layered graph. No network, no script, readable on a telephone.

use askama::Template;

use super::{Orders, millis, shown, way};
use crate::{
    history::Way,
    order::{Findings, Tried},
    words,
};

/// Height of a node, pixels.
const NODE: u32 = 26;
/// Distance of two nodes of a layer, pixels.
const APART: u32 = 52;
/// Width of a letter of a node, pixels, with some to spare.
const LETTER: usize = 7;

impl Orders<'_> {
    /// As a page.
    ///
    /// # Panics
    /// Never: the template is checked when this is built, and a text takes everything.
    pub fn page(&self) -> String {
        let findings = &self.outcome.findings;
        let page = Page {
            verdict: self.verdict.summary().word(),
            title: format!("Orders of {}", self.system),
            what: format!(
                "on {}, {}{}, seed {}",
                self.runtime,
                words::counted(self.outcome.tried.len() as u64, "start"),
                if self.rotated { " after a full rotation" } else { "" },
                self.seed
            ),
            evidence: self.verdict.evidence(),
            sentences: self.sentences(),
            order: self.suggested(),
            graph: Graph::of(findings),
            names: &findings.names,
            rows: self.outcome.tried.iter().map(|tried| self.row(tried)).collect(),
            restart: self.restarts(),
            rerun: self.rerun,
        };
        page.render().expect("a text takes everything")
    }

    fn row(&self, tried: &Tried) -> Row {
        let names = &self.outcome.findings.names;
        Row {
            id: self.id(tried.number),
            way: way(&tried.way),
            title: shown(tried),
            cells: names.iter().map(|name| Cell::of(tried, name)).collect(),
            all: tried.took().map_or("never".into(), millis),
        }
    }
}

#[derive(Template)]
#[template(path = "orders.html", whitespace = "minimize")]
struct Page<'a> {
    verdict: &'static str,
    title: String,
    what: String,
    evidence: &'a str,
    /// Those of the graph's arrows first, in their order.
    sentences: Vec<String>,
    order: Option<String>,
    graph: Option<Graph>,
    names: &'a [String],
    rows: Vec<Row>,
    restart: Option<String>,
    rerun: &'a str,
}

/// One start of the whole system.
struct Row {
    id: String,
    way: String,
    title: String,
    cells: Vec<Cell>,
    all: String,
}

/// How a start went for one service.
struct Cell {
    /// For the style: `well`, `crashed` or `never`; empty if it was not started.
    class: &'static str,
    /// Its place in the order, from 1; empty where there is none.
    place: String,
    /// Milliseconds until it was ready, or `never`.
    ready: String,
    /// How often it ended by itself.
    crashes: usize,
    /// The words of its first end.
    why: String,
}

impl Cell {
    fn of(tried: &Tried, name: &str) -> Self {
        let Some(course) = tried.services.get(name) else {
            return Self {
                class: "",
                place: String::new(),
                ready: String::new(),
                crashes: 0,
                why: "not started".into(),
            };
        };
        let step = || tried.steps.iter().position(|step| step.iter().any(|one| one == name));
        let place = if tried.way == Way::InTurn { step() } else { None };
        let crashes = course.crashes.len();
        let class = match (course.ready, crashes) {
            (None, _) => "never",
            (Some(_), 0) => "well",
            (Some(_), _) => "crashed",
        };
        let waits = || match course.waits_for.as_slice() {
            some if course.ready.is_none() && !some.is_empty() => format!("it waits for {}", some.join(", ")),
            _ => String::new(),
        };
        Self {
            class,
            place: place.map_or_else(String::new, |place| format!("{}.", place + 1)),
            ready: course.ready.map_or("never".into(), |at| millis(at.saturating_sub(course.spawned))),
            crashes,
            why: course.crashes.first().cloned().unwrap_or_else(waits),
        }
    }
}

/// The precedences, drawn: who has to be up is left of who waits for it.
struct Graph {
    /// Least width at which no two nodes touch, pixels.
    width: usize,
    height: u32,
    /// Width of a node, pixels.
    node: usize,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

struct Node {
    name: String,
    x: Percent,
    y: u32,
}

/// An arrow, in two halves that meet where its number stands.
struct Edge {
    from: (Percent, u32),
    middle: (Percent, u32),
    to: (Percent, u32),
    /// The number of its sentence, from 1.
    number: usize,
    sentence: String,
}

/// Hundredths of a percent of the width.
#[derive(Clone, Copy)]
struct Percent(u32);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

impl Graph {
    /// None if there is nothing to draw.
    fn of(findings: &Findings) -> Option<Self> {
        let proven = &findings.precedences.proven;
        if proven.is_empty() {
            return None;
        }
        let edges: Vec<(usize, usize)> = proven.iter().map(|one| (one.first, one.then)).collect();
        let layers = layers(findings.names.len(), &edges);
        let fullest = layers.iter().map(Vec::len).max().unwrap_or(0);
        let longest = findings.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let node = longest * LETTER + 14;
        let mut places = vec![(Percent(0), 0); findings.names.len()];
        for (index, layer) in layers.iter().enumerate() {
            let x = Percent(small((2 * index + 1) * 10_000 / (2 * layers.len())));
            let top = NODE + small(fullest - layer.len()) * APART / 2;
            for (row, service) in layer.iter().enumerate() {
                places[*service] = (x, top + small(row) * APART);
            }
        }
        let edge = |(index, (first, then)): (usize, &(usize, usize))| {
            let (from, to) = (places[*first], places[*then]);
            // Near to one end or the other by turns, so that numbers of arrows that cross stand apart.
            let (near, far) = if index % 2 == 0 { (2, 3) } else { (3, 2) };
            let middle = (Percent((near * from.0.0 + far * to.0.0) / 5), (near * from.1 + far * to.1) / 5);
            Edge { from, middle, to, number: index + 1, sentence: findings.sentence(&proven[index]) }
        };
        let nodes = findings.names.iter().zip(&places);
        Some(Self {
            width: layers.len() * (node + 48),
            height: small(fullest) * APART + NODE / 2,
            node,
            nodes: nodes.map(|(name, (x, y))| Node { name: name.clone(), x: *x, y: *y }).collect(),
            edges: edges.iter().enumerate().map(edge).collect(),
        })
    }
}

/// Each service in the layer behind the last that it waits for; within a layer those together that wait for
/// the same. In a cycle somebody is left of whom it waits for.
fn layers(services: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut depth = vec![0_usize; services];
    for _ in 1..services {
        for (first, then) in edges {
            depth[*then] = depth[*then].max((depth[*first] + 1).min(services - 1));
        }
    }
    // Who waits for nobody stands just before the first who waits for it: an arrow past others looks like theirs.
    for one in (0..services).filter(|one| edges.iter().all(|(_, then)| then != one)) {
        let waiting = edges.iter().filter(|(first, _)| *first == one).map(|(_, then)| depth[*then]);
        depth[one] = waiting.min().unwrap_or(1).saturating_sub(1);
    }
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for wanted in 0..services {
        let mut layer: Vec<usize> = (0..services).filter(|one| depth[*one] == wanted).collect();
        let row = |one: usize| layers.last().and_then(|last| last.iter().position(|other| *other == one));
        layer.sort_by_cached_key(|one| {
            let waits = edges.iter().filter(|(_, then)| then == one);
            (waits.filter_map(|(first, _)| row(*first)).min(), *one)
        });
        if !layer.is_empty() {
            layers.push(layer);
        }
    }
    layers
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_right_of_all_that_it_waits_for() {
        let edges = [(0, 2), (2, 3), (0, 3), (1, 3)];
        // The first that waits for 1 is 3; nobody waits for 4.
        assert_eq!(layers(5, &edges), [vec![0, 4], vec![1, 2], vec![3]]);
    }

    #[test]
    fn a_cycle_is_drawn_all_the_same() {
        let all: usize = layers(3, &[(0, 1), (1, 0), (1, 2)]).iter().map(Vec::len).sum();
        assert_eq!(all, 3);
    }
}
