//! The blast radius of certificates as a matrix: which operations fail when which one has expired.

mod page;

use std::collections::HashSet;

use comfy_table::{Cell, Color};
use serde::Serialize;

use super::{
    Style,
    table::{lines, table},
};
use crate::{
    blast::Of,
    check::Overall,
    history::{History, Leaf, Micros, Phase, What},
    measure::{Credential, Measurements, failing, total},
    words,
};

pub use page::blast_page;

/// Names the shape of the JSON object; it changes when a field goes or means something else.
pub const SCHEMA: &str = "notafter/blast/1";

/// What the end of one certificate did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Radius {
    /// Which.
    #[serde(flatten)]
    pub of: Of,
    /// What became of each user-facing operation, in the order of their names.
    pub operations: Vec<(String, Effect)>,
    /// How it ended.
    pub heals: Heals,
    /// Whether somebody was served who should not have been.
    pub fails_open: bool,
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "effect", content = "us")]
pub enum Effect {
    /// It did not fail.
    Works,
    /// It failed for so many microseconds and then worked again by itself.
    Fails(Micros),
    /// It worked while everything ran, and is down since the restart: a sleeper.
    Sleeps,
    /// It was down until people repaired it.
    Down,
    /// Nobody can say.
    Unknown,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "heals", content = "why")]
pub enum Heals {
    /// The system replaced the certificate by itself.
    ByItself,
    /// People did, and it recovered.
    Repaired,
    /// It did not recover, though people repaired it.
    Not,
    /// Nobody can say, for this reason.
    Unknown(String),
}

/// The two runs of one certificate.
#[derive(Clone, Copy, Debug)]
pub struct Blast<'h> {
    /// Which.
    pub of: &'h Of,
    /// While everything runs.
    pub running: &'h History,
    /// After a restart of its holder.
    pub restarted: &'h History,
}

/// What each did, the worst first.
pub fn radii(blasts: &[Blast<'_>]) -> Vec<Radius> {
    let mut radii: Vec<Radius> = blasts.iter().map(Radius::of).collect();
    radii.sort_by_key(|radius| std::cmp::Reverse(radius.weight()));
    radii
}

/// The matrix for a terminal, with what its marks mean.
pub fn blast(radii: &[Radius], style: Style) -> String {
    let header: Vec<&str> =
        ["certificate of"].into_iter().chain(operations(radii)).chain(["heals", "fails"]).collect();
    let mut matrix = table(style, &header);
    // A system of nine services with six operations fits into a line then.
    for column in matrix.column_iter_mut() {
        column.set_padding((0, 1));
    }
    for radius in radii {
        let name = Cell::new(radius.of.to_string());
        let effects = radius.operations.iter().map(|(_, effect)| effect.cell());
        let open = if radius.fails_open { Cell::new("OPEN").fg(Color::Red) } else { Cell::new("closed") };
        matrix.add_row([name].into_iter().chain(effects).chain([Cell::new(radius.heals.word()), open]));
    }
    let why: Vec<String> = radii
        .iter()
        .filter_map(|radius| match &radius.heals {
            Heals::Unknown(why) => Some(format!("  {}: {why}\n", radius.of)),
            _ => None,
        })
        .collect();
    format!(
        "{}\n  DOWN until people repair it; SLEEPS: it works while everything runs, and is down after the next \
         restart;\n  a time: it failed so long and worked again by itself; \u{b7} it did not fail; ? cannot tell\n\n\
         {}\n{}",
        lines(&matrix),
        sentence(radii),
        why.concat(),
    )
}

/// The names of the operations, in the order of the columns.
fn operations(radii: &[Radius]) -> Vec<&str> {
    let Some(first) = radii.first() else { return Vec::new() };
    first.operations.iter().map(|(name, _)| name.as_str()).collect()
}

/// What matters most, in a sentence without a full stop.
fn sentence(radii: &[Radius]) -> String {
    let count = |wanted| radii.iter().filter(|radius| radius.worst() == wanted).count() as u64;
    let certificates = |count| words::counted(count, "certificate");
    match (count(Effect::Down), count(Effect::Sleeps)) {
        (0, 0) => "no certificate brings anything down by its end".into(),
        (0, sleeps) => format!(
            "no certificate brings anything down at once by its end; the end of {} does after a restart",
            certificates(sleeps)
        ),
        (down, 0) => format!("the end of {} brings something down at once", certificates(down)),
        (down, sleeps) => format!(
            "the end of {} brings something down at once, of {} more only after a restart",
            certificates(down),
            words::count(sleeps)
        ),
    }
}

/// The same as one JSON object in one line: `schema`, `system`, `runtime`, and, the worst first, `credentials`,
/// each with `service` and `mount`, and `authorities`, each with `authority` and `certificate`, `root` or
/// `issuing`; of both `operations` as pairs of a name and an `effect`, `heals`, `fails_open`.
///
/// # Panics
/// Never: the object has a JSON form.
pub fn blast_json(system: &str, runtime: &str, radii: &[Radius]) -> String {
    let (credentials, authorities): (Vec<_>, Vec<_>) =
        radii.iter().partition(|radius| matches!(radius.of, Of::Credential { .. }));
    let object = serde_json::json!({
        "schema": SCHEMA, "system": system, "runtime": runtime,
        "credentials": credentials, "authorities": authorities,
    });
    object.to_string()
}

impl Radius {
    fn of(blast: &Blast<'_>) -> Self {
        let [running, restarted] = [blast.running, blast.restarted].map(Measurements::of);
        let of = blast.of.clone();
        let heals = Heals::of(&running);
        let names = running.operations.iter().chain(&restarted.operations);
        let mut names: Vec<&str> = names.filter(|one| one.user_facing).map(|one| one.name).collect();
        names.sort_unstable();
        names.dedup();
        let effect = |name: &str| {
            let [before, after] = [&running, &restarted].map(|run| effect_in(run, name));
            match (before, after) {
                // What a restart does by itself is over when the service is back.
                (Effect::Works | Effect::Fails(_), Effect::Down) => Effect::Sleeps,
                (before, _) => before,
            }
        };
        let operations = names.into_iter().map(|name| (name.to_owned(), effect(name))).collect();
        let fails_open = [&running, &restarted].iter().any(|run| run.intrusions.accepted > 0);
        Self { of, operations, heals, fails_open }
    }

    fn worst(&self) -> Effect {
        self.operations.iter().map(|(_, effect)| *effect).max().unwrap_or(Effect::Unknown)
    }

    /// The more operations are hurt, and the worse, the more.
    fn weight(&self) -> (bool, usize, usize, Micros) {
        let count = |wanted: Effect| self.operations.iter().filter(|(_, effect)| *effect == wanted).count();
        let failed = self.operations.iter().map(|(_, effect)| match effect {
            Effect::Fails(for_us) => *for_us,
            _ => 0,
        });
        (self.fails_open, count(Effect::Down), count(Effect::Sleeps), failed.sum())
    }
}

impl Effect {
    fn word(self) -> String {
        match self {
            Self::Works => "\u{b7}".into(),
            Self::Fails(for_us) => words::span(for_us),
            Self::Sleeps => "SLEEPS".into(),
            Self::Down => "DOWN".into(),
            Self::Unknown => "?".into(),
        }
    }

    fn cell(self) -> Cell {
        let cell = Cell::new(self.word());
        match self {
            Self::Sleeps => cell.fg(Color::Yellow),
            Self::Down => cell.fg(Color::Red),
            Self::Works | Self::Fails(_) | Self::Unknown => cell,
        }
    }
}

impl Heals {
    fn of(run: &Measurements<'_>) -> Self {
        let overall = Overall::of(run);
        let broken =
            |otherwise: &str| Self::Unknown(overall.broken.clone().unwrap_or_else(|| otherwise.into()));
        if run.reading.since.is_none() {
            return broken("the steady phase never ended");
        }
        let Some(credential) = run.credentials.first() else {
            return broken("nothing was injected");
        };
        let repaired = run.course.phase(Phase::Repair).map(|phase| phase.began);
        let recovered = run.recovery.recovered;
        let by_itself = recovered.is_some_and(|at| repaired.is_none_or(|repaired| at <= repaired));
        match repaired {
            _ if by_itself || replaced(run, credential) => Self::ByItself,
            None => broken("it was not repaired"),
            Some(_) if recovered.is_none() && !run.recovery.failures.is_empty() => Self::Not,
            Some(_) => Self::Repaired,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::ByItself => "by itself",
            Self::Repaired => "by people",
            Self::Not => "NOT",
            Self::Unknown(_) => "?",
        }
    }
}

/// Whether a certificate that is neither the injected one nor one of before was seen in use before people
/// installed one: the system has replaced it by itself.
fn replaced(run: &Measurements<'_>, credential: &Credential<'_>) -> bool {
    let repaired = run.course.phase(Phase::Repair).map_or(run.reading.until, |phase| phase.began);
    let hops = run.reading.hops.iter().filter(|hop| hop.server == credential.service);
    let presented = hops.flat_map(|hop| &hop.tries);
    // Seen by then: one that began before the repair may have met what people have installed meanwhile.
    let presented = presented.filter_map(|attempt| Some((attempt.answered, attempt.of.presented.as_ref()?)));
    let shown = run.reading.rare.iter().filter_map(|event| match &event.what {
        What::Using { service, mount, leaf }
            if (service.as_str(), mount.as_str()) == (credential.service, credential.mount) =>
        {
            Some((event.at, leaf))
        }
        _ => None,
    });
    let (before, after): (Vec<_>, Vec<_>) =
        presented.chain(shown).partition(|(at, _)| *at < credential.installed);
    let known: HashSet<&Leaf> = before.into_iter().map(|(_, leaf)| leaf).chain([credential.leaf]).collect();
    after.into_iter().any(|(at, leaf)| at < repaired && !known.contains(leaf))
}

/// What became of an operation in one run, from the fault to the repair, which breaks things itself.
fn effect_in(run: &Measurements<'_>, name: &str) -> Effect {
    let stream = run.reading.operations.iter().find(|stream| stream.name == name);
    let (Some(stream), Some(since)) = (stream, run.reading.since) else { return Effect::Unknown };
    let repaired = run.course.phase(Phase::Repair).map_or(run.reading.until, |phase| phase.began);
    let failures = failing(stream.outcomes(repaired), since, repaired);
    match failures.last() {
        None => Effect::Works,
        Some(last) if last.open => Effect::Down,
        Some(_) => Effect::Fails(total(&failures).value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{
        Outcome, Probe, Question, Refusal,
        script::{EXPIRY, JUDGED, Script, leaf},
    };

    fn credential(service: &str) -> Of {
        Of::Credential { service: service.into(), mount: "mesh".into() }
    }

    fn radius(running: Script, restarted: Script) -> Radius {
        let (running, restarted) = (running.history(), restarted.history());
        let of = credential("archive");
        Radius::of(&Blast { of: &of, running: &running, restarted: &restarted })
    }

    /// What has ended is refused, as it must be, until it is rotated.
    fn sound() -> Script {
        Script::expiry()
            .refuses("search", "archive", EXPIRY..4_210, Refusal::Expired)
            .rotated("archive", 4_150..4_210)
    }

    fn fails(until: u64) -> Script {
        sound().fails("search", EXPIRY..until, "archive: certificate expired")
    }

    #[test]
    fn what_fails_until_the_repair_is_down_and_what_ends_before_it_has_failed() {
        assert_eq!(radius(fails(4_210), fails(4_210)).operations, [("search".into(), Effect::Down)]);
        assert_eq!(
            radius(fails(2_100), fails(2_100)).operations,
            [("search".into(), Effect::Fails(100_000))]
        );
        assert_eq!(radius(sound(), sound()).operations, [("search".into(), Effect::Works)]);
    }

    #[test]
    fn what_is_down_after_a_restart_only_sleeps() {
        let sleeper = radius(sound(), fails(4_210));
        assert_eq!(sleeper.operations, [("search".into(), Effect::Sleeps)]);
        // A restart alone makes failures that end.
        assert_eq!(radius(sound(), fails(2_100)).operations, [("search".into(), Effect::Works)]);
    }

    #[test]
    fn what_the_system_replaces_before_people_do_heals_by_itself() {
        let replaced = |ms| Script::expiry().rotated("archive", 2_000..ms);
        assert_eq!(radius(replaced(2_100), sound()).heals, Heals::ByItself);
        assert_eq!(radius(replaced(4_100), sound()).heals, Heals::Repaired);
        let slow = Probe {
            client: "search".into(),
            server: "archive".into(),
            question: Question::Fresh,
            took: 1_200_000,
            shown: None,
            presented: Some(leaf("archive", 1)),
            outcome: Outcome::Served(200),
        };
        let across = sound().at(2_990, What::Probe(slow));
        assert_eq!(
            radius(across, sound()).heals,
            Heals::Repaired,
            "a look that takes longer than the repair"
        );
        let lost = fails(JUDGED + 1);
        assert_eq!(radius(lost, sound()).heals, Heals::Not);
        let steady = |what: &What| matches!(what, What::PhaseEnded { phase: Phase::Steady, .. });
        let unsteady = Script::expiry().without(steady);
        assert!(matches!(radius(unsteady, sound()).heals, Heals::Unknown(_)));
    }

    #[test]
    fn whoever_serves_what_has_ended_fails_open() {
        assert!(!radius(sound(), sound()).fails_open);
        assert!(radius(sound(), Script::expiry()).fails_open);
    }

    #[test]
    fn the_worst_comes_first_and_the_matrix_says_so() {
        let issuing = Of::Authority { authority: "mesh".into(), certificate: crate::fault::Tier::Issuing };
        let runs = [
            (credential("search"), sound().history(), sound().history()),
            (credential("auth"), sound().history(), fails(4_210).history()),
            (issuing, fails(4_210).history(), fails(4_210).history()),
            (credential("ingest"), fails(2_100).history(), fails(2_100).history()),
        ];
        let blasts: Vec<_> =
            runs.iter().map(|(of, running, restarted)| Blast { of, running, restarted }).collect();
        let radii = radii(&blasts);
        insta::assert_snapshot!(blast(&radii, Style::default()));
        let page = blast_page("stack", "processes", &radii, "notafter blast stack");
        let cells = |class: &str| page.matches(&format!("<td class=\"{class}\">")).count();
        assert_eq!((cells("never"), cells("crashed")), (1, 1), "{page}");
        assert!(page.contains("the end of 1 certificate brings something down at once"), "{page}");
    }
}
