//! What orders of start tell: a grid, sentences, a graph, and the order to start in.

mod json;
mod page;

use std::{fmt::Write as _, time::Duration};

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

pub use json::SCHEMA;

use super::{
    Style,
    table::{headline, lines, table, wrap},
};
use crate::{
    check::Verdict,
    history::{ProcessChange, Way, What},
    order::{Course, Outcome, Plan, Tried},
    words,
};

/// What is reported: everything that was tried on a system, and the verdict of
/// [`check::starts_in_any_order`](crate::check::starts_in_any_order) on all of it.
#[derive(Clone, Copy)]
pub struct Orders<'a> {
    /// What came of the trials.
    pub outcome: &'a Outcome,
    /// The verdict.
    pub verdict: &'a Verdict,
    /// Name of the system.
    pub system: &'a str,
    /// Name of the runtime.
    pub runtime: &'a str,
    /// The seed, by which plans are called.
    pub seed: u64,
    /// Whether every authority and certificate was replaced before.
    pub rotated: bool,
    /// The command that does the same again.
    pub rerun: &'a str,
}

/// So many pairs of which nothing is known are told one by one.
const MANY: usize = 5;

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Graph {
    /// For Graphviz
    Dot,
    /// For Markdown that draws
    Mermaid,
}

impl Orders<'_> {
    /// For a terminal.
    pub fn render(&self, style: Style) -> String {
        let Self { system, runtime, seed, .. } = self;
        let mut text = format!(
            "{}: {system} on {runtime}, {}{}, seed {seed}\n",
            headline(style, self.verdict.summary()),
            words::counted(self.outcome.tried.len() as u64, "start"),
            if self.rotated { " after a full rotation" } else { "" },
        );
        text += &wrap(style, self.verdict.evidence(), 0);
        let sentences = self.sentences();
        if !sentences.is_empty() {
            text += "\nWhy\n";
            for sentence in sentences {
                text += &wrap(style, &sentence, 2);
            }
        }
        if let Some(order) = self.suggested() {
            text += "\nThe order to start in\n";
            text += &wrap(style, &order, 2);
        }
        let _ = write!(text, "\nTime to ready of each service, milliseconds\n{}", self.grid(style));
        text += &wrap(
            style,
            "`3:` is the third place in the order, `x2` that it ended twice by itself before, `-` that it never \
             became ready.",
            0,
        );
        if let Some(restarts) = self.restarts() {
            text += &wrap(style, &restarts, 0);
        }
        text
    }

    /// The sentences: what must not start before what, what nobody can tell, and what is no matter of
    /// order.
    pub fn sentences(&self) -> Vec<String> {
        let findings = &self.outcome.findings;
        let found = &findings.precedences;
        let proven = found.proven.iter().map(|one| {
            format!("{} [{}]", findings.sentence(one), self.id(u32::try_from(one.order).unwrap_or(0)))
        });
        let one_of = found.one_of.iter().map(|one| findings.alternative(one));
        let open = findings.not_identifiable();
        let many = (open.len() > MANY).then(|| {
            let pairs = open.len();
            format!("of {pairs} pairs it is not identifiable from these starts whether one must come first")
        });
        let open = open.into_iter().filter(|_| many.is_none()).map(|(first, then)| {
            let (first, then) = (findings.name(first), findings.name(then));
            format!("whether {then} must not start before {first} is not identifiable from these starts")
        });
        let deadlocks = findings.deadlocks.iter().map(|(a, b)| {
            let (a, b) = (findings.name(*a), findings.name(*b));
            format!("{a} and {b} wait for each other: no order brings them up")
        });
        let flaky = findings.flaky.iter().map(|one| {
            let (name, plan) = (findings.name(one.service), self.id(one.plan));
            format!("{name} is flaky, in {plan} it failed {} times of {}: {}", one.failed, one.of, one.why)
        });
        let said = proven.chain(one_of).chain(many.clone()).chain(open).chain(deadlocks).chain(flaky);
        let mut said: Vec<String> = said.collect();
        let mut known: Vec<usize> = findings.deadlocks.iter().flat_map(|(a, b)| [*a, *b]).collect();
        for one in &found.unexplained {
            if !known.contains(&one.service) {
                known.push(one.service);
                let name = findings.name(one.service);
                let what = if one.ever_up {
                    "fails where it has worked, and no order explains it"
                } else {
                    "never came up"
                };
                let plan = self.id(u32::try_from(one.order).unwrap_or(0));
                said.push(format!("{name} {what}: {} [{plan}]", one.why));
            }
        }
        said
    }

    /// The precedences as a graph: an arrow from who has to be up to who waits for it.
    pub fn graph(&self, graph: Graph) -> String {
        let findings = &self.outcome.findings;
        let arrows =
            findings.precedences.proven.iter().map(|one| (findings.name(one.first), findings.name(one.then)));
        let mut text = String::from(match graph {
            Graph::Dot => "digraph starts {\n",
            Graph::Mermaid => "graph LR\n",
        });
        for name in &findings.names {
            let _ = match graph {
                Graph::Dot => writeln!(text, "  \"{name}\";"),
                Graph::Mermaid => writeln!(text, "  {name}"),
            };
        }
        for (first, then) in arrows {
            let _ = match graph {
                Graph::Dot => writeln!(text, "  \"{first}\" -> \"{then}\";"),
                Graph::Mermaid => writeln!(text, "  {first} --> {then}"),
            };
        }
        if graph == Graph::Dot {
            text += "}\n";
        }
        text
    }

    /// As `JUnit` XML: a case a plan, which fails if it did not come up, or only after crashes.
    ///
    /// # Errors
    /// If the XML cannot be written.
    pub fn junit(&self) -> Result<String, SerializeError> {
        let mut suite = TestSuite::new(format!("orders of {} on {}", self.system, self.runtime));
        for tried in &self.outcome.tried {
            let status = match trouble(tried) {
                None => TestCaseStatus::success(),
                Some(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(why);
                    status
                }
            };
            let mut case = TestCase::new(format!("{} {}", self.id(tried.number), shown(tried)), status);
            case.set_classname(self.system).set_time(Duration::from_micros(tried.ended - tried.began));
            suite.add_test_case(case);
        }
        let mut report = Report::new("notafter");
        report.add_test_suite(suite);
        report.to_string()
    }

    fn suggested(&self) -> Option<String> {
        let findings = &self.outcome.findings;
        if findings.precedences.proven.is_empty() {
            return None;
        }
        let order: Vec<&str> = findings.order.as_ref()?.iter().map(|one| findings.name(*one)).collect();
        let works = match self.outcome.order_works {
            Some(true) => "; tried, and it works",
            Some(false) => "; tried, and it does NOT work",
            None => "; not tried",
        };
        Some(order.join(", ") + works)
    }

    fn grid(&self, style: Style) -> String {
        let names = &self.outcome.findings.names;
        let mut header = vec!["start".to_owned()];
        header.extend(names.iter().map(|name| format!(">{name}")));
        header.push(">all".into());
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let mut table = table(style, &header);
        for tried in &self.outcome.tried {
            let mut row =
                vec![format!("{} {}", self.id(tried.number), way(&tried.way)).trim_end().to_owned()];
            row.extend(names.iter().map(|name| cell(tried, name)));
            row.push(tried.took().map_or("-".into(), millis));
            table.add_row(row);
        }
        lines(&table)
    }

    /// How the supervisors start again what ended, as they said.
    /// What starting again what ended by itself costs; none if nothing did.
    fn restarts(&self) -> Option<String> {
        let crashed = self.outcome.tried.iter().any(|tried| tried.crashes() > 0);
        let told: Vec<String> = [self.restart_policy(), self.waits()].into_iter().flatten().collect();
        (crashed && !told.is_empty()).then(|| told.join(" "))
    }

    fn restart_policy(&self) -> Option<String> {
        let waits = self.outcome.histories.iter().flat_map(|history| &history.events);
        let waits = waits.filter_map(|event| match &event.what {
            What::Process { change: ProcessChange::BackingOff { for_ms }, .. } => Some(*for_ms),
            _ => None,
        });
        let (least, most) =
            waits.fold((u64::MAX, 0), |(least, most), wait| (least.min(wait), most.max(wait)));
        (most > 0).then(|| format!("The supervisor starts again what ends, after {least} to {most} ms here."))
    }

    /// How much of the slowest start was waiting, beside the fastest.
    fn waits(&self) -> Option<String> {
        let came = || self.outcome.tried.iter().filter_map(|tried| Some((tried.took()?, tried)));
        let (least, fastest) = came().min_by_key(|(took, _)| *took)?;
        let (most, slowest) = came().max_by_key(|(took, _)| *took)?;
        let percent = (slowest.waited * 100).checked_div(most)?;
        (slowest.waited > 0).then(|| {
            format!(
                "The fastest start, {}, took {}. Of the {} of the slowest, {}, somebody waited to be started again \
                 for {}, {percent} %.",
                self.id(fastest.number),
                words::span(least),
                words::span(most),
                self.id(slowest.number),
                words::span(slowest.waited),
            )
        })
    }

    fn id(&self, number: u32) -> String {
        format!("{:x}:{number}", self.seed)
    }
}

/// Why a plan is no success; none if it is.
pub fn trouble(tried: &Tried) -> Option<String> {
    if let Some(stuck) = &tried.stuck {
        return Some(format!("{} did not come up: {}", stuck.service, stuck.why));
    }
    let crashed = |(name, course): (&String, &Course)| {
        let times = words::crashes(course.crashes.len());
        (!course.crashes.is_empty()).then(|| format!("{times} of {name}"))
    };
    let crashed: Vec<String> = tried.services.iter().filter_map(crashed).collect();
    (!crashed.is_empty()).then(|| format!("converged only after {}", words::list(&crashed, 4)))
}

/// A plan that was tried, in words.
pub fn shown(tried: &Tried) -> String {
    Plan { number: tried.number, steps: tried.steps.clone(), way: tried.way.clone() }.to_string()
}

fn way(way: &Way) -> String {
    match way {
        // The places say so.
        Way::InTurn => String::new(),
        Way::AtOnce => "at once".into(),
        Way::HeldBack { service, .. } => format!("{service} later"),
        Way::Restarted { services, renewed: false } => format!("restart {}", services.join("+")),
        Way::Restarted { services, renewed: true } => format!("renew {}", services.join("+")),
        Way::Returning { service, .. } => format!("{service} returns"),
    }
}

fn cell(tried: &Tried, name: &str) -> String {
    let Some(course) = tried.services.get(name) else { return String::new() };
    let place = match tried.way {
        Way::InTurn => tried.steps.iter().position(|step| step.iter().any(|one| one == name)),
        _ => None,
    };
    let place = place.map_or(String::new(), |place| format!("{}:", place + 1));
    let crashes = match course.crashes.len() {
        0 => String::new(),
        count => format!("x{count} "),
    };
    let ready = course.ready.map_or("-".into(), |at| millis(at.saturating_sub(course.spawned)));
    format!("{place}{crashes}{ready}")
}

fn millis(micros: u64) -> String {
    words::count((micros + 500) / 1000)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{check::judge_starts, history::Stuck, order::Findings, system::System};

    const SYSTEM: &str = r#"
name = "pair"
authorities = ["mesh"]
services = [
    { name = "archive", program = "p", serves = "w", mounts = { w = { authority = "mesh" } } },
    { name = "search", program = "p", serves = "w", mounts = { w = { authority = "mesh" } }, needs = { archive = "w" } },
]
"#;

    fn course(up: &[&str], ready: Option<u64>, crashes: &[&str]) -> Course {
        Course {
            spawned: 1_000,
            up: up.iter().map(|one| (*one).to_owned()).collect::<BTreeSet<_>>(),
            ready,
            crashes: crashes.iter().map(|one| (*one).to_owned()).collect(),
            first_crash: crashes.first().map(|_| 2_000),
            waits_for: Vec::new(),
        }
    }

    fn tried(number: u32, order: [&str; 2], archive: Course, search: Course) -> Tried {
        let stuck = search.ready.is_none();
        let waited = 60_000 * u64::try_from(search.crashes.len()).expect("few");
        Tried {
            number,
            steps: order.iter().map(|one| vec![(*one).to_owned()]).collect(),
            way: Way::InTurn,
            began: 0,
            ended: 900_000,
            stuck: stuck.then(|| Stuck { service: "search".into(), why: "it waits for archive".into() }),
            waited,
            services: BTreeMap::from([("archive".to_owned(), archive), ("search".to_owned(), search)]),
        }
    }

    fn reported(tried: Vec<Tried>, report: impl FnOnce(&Orders<'_>) -> String) -> String {
        let system = System::from_toml(SYSTEM, "test").expect("a system");
        let findings = Findings::of(&system, &tried, &[]);
        let outcome = Outcome {
            tried,
            findings,
            order_works: Some(true),
            folders: Vec::new(),
            histories: Vec::new(),
            error: None,
        };
        let verdict = judge_starts(&outcome.tried, Duration::from_secs(1));
        let (runtime, seed, rerun) = ("processes", 0x7f3a, "notafter orders pair");
        let rotated = false;
        report(&Orders {
            outcome: &outcome,
            verdict: &verdict,
            system: "pair",
            runtime,
            seed,
            rotated,
            rerun,
        })
    }

    fn every_form(orders: &Orders<'_>) -> String {
        let text = orders.render(Style::default());
        let junit = orders.junit().expect("XML");
        let graphs = [Graph::Dot, Graph::Mermaid].map(|graph| orders.graph(graph)).concat();
        format!("{text}\n{}\n\n{graphs}\n{junit}", orders.json())
    }

    /// The page without its style sheet, an element a line.
    fn page(orders: &Orders<'_>) -> String {
        let page = orders.page();
        let (_, body) = page.split_once("</head>").expect("a head");
        assert!(!body.contains("<script") && !body.contains("http"), "{body}");
        body.replace("><", ">\n<")
    }

    /// One start that goes well, one after crashes, one that never does.
    fn three() -> Vec<Tried> {
        let words = "it exits with code 1, 'archive <unreachable>'";
        let first = course(&["archive"], Some(24_000), &[]);
        vec![
            tried(1, ["archive", "search"], course(&[], Some(12_000), &[]), first),
            tried(
                2,
                ["search", "archive"],
                course(&[], Some(9_000), &[]),
                course(&[], Some(250_000), &[words, words]),
            ),
            tried(3, ["search", "archive"], course(&[], Some(9_000), &[]), course(&[], None, &[words])),
        ]
    }

    #[test]
    fn the_page_marks_crashes_with_more_than_colour_and_numbers_its_arrows_like_its_sentences() {
        insta::assert_snapshot!(reported(three(), page));
    }

    #[test]
    fn the_page_of_a_system_that_starts_in_any_order_draws_no_graph() {
        let first = three().into_iter().take(1).collect();
        let page = reported(first, page);
        assert!(page.contains("No start showed that") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn an_order_that_fails_is_explained_in_every_form() {
        let words = "it exits with code 1, 'archive unreachable'";
        insta::assert_snapshot!(reported(
            vec![
                tried(
                    1,
                    ["archive", "search"],
                    course(&[], Some(12_000), &[]),
                    course(&["archive"], Some(24_000), &[])
                ),
                tried(
                    2,
                    ["search", "archive"],
                    course(&[], Some(9_000), &[]),
                    course(&[], Some(250_000), &[words, words])
                ),
                tried(3, ["search", "archive"], course(&[], Some(9_000), &[]), course(&[], None, &[words])),
            ],
            every_form
        ));
    }

    #[test]
    fn a_system_that_starts_in_any_order_has_nothing_to_explain() {
        insta::assert_snapshot!(reported(
            vec![
                tried(
                    1,
                    ["archive", "search"],
                    course(&[], Some(12_000), &[]),
                    course(&["archive"], Some(24_000), &[])
                ),
                tried(
                    2,
                    ["search", "archive"],
                    course(&[], Some(9_000), &[]),
                    course(&[], Some(90_000), &[])
                ),
            ],
            every_form
        ));
    }
}
