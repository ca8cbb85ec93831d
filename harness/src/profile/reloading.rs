//! Experiments with the server's own files: at its start, and when they are replaced.

use std::time::{Duration, Instant};

use super::{
    Client, Denial, Finding, Way,
    instance::{Files, Instance, refused},
    lab::{LONG, Lab},
};
use crate::{
    error::Result,
    history::Leaf,
    pki::{Identity, Validity},
    words,
};

/// How long a server is watched that was told nothing.
const UNTOLD: Duration = Duration::from_millis(2_500);
/// How long one is watched that was told to reload.
pub(super) const TOLD: Duration = Duration::from_secs(6);
/// How long one is watched that was given a broken pair.
const BREAKS: Duration = Duration::from_millis(1_500);
/// From a change that shows no more of the old for so long, it is stable.
const STABLE: Duration = Duration::from_millis(300);
/// Between two handshakes.
const PACE: Duration = Duration::from_millis(10);

/// Its own certificate has expired before it starts.
pub(super) async fn starts_expired(lab: &Lab<'_>) -> Result<Finding> {
    let own = lab.own(Validity::ended(Duration::from_hours(1)))?;
    let mut instance = lab.start(Files::of(&own, &lab.ours.bundle()), None).await?;
    Ok(match instance.ready(&lab.friend).await {
        Ok(took) => Finding::new("yes, and serves it").seen(format!("served after {}", span(took))),
        Err(error) => Finding::new("no").seen(error.to_string()),
    })
}

/// Its certificate is replaced; then it is told so, or not.
pub(super) async fn serves_new(lab: &Lab<'_>, way: Option<&Way>) -> Result<Finding> {
    let (mut instance, _) = lab.ready().await?;
    let own = lab.own(Validity::lasting(LONG))?;
    instance.install(Files::of(&own, &lab.ours.bundle()))?;
    let (course, said) = told(&mut instance, way, &lab.friend, own.leaf()).await;
    let answer = match (course.stable, course.first_new) {
        (Some(_), _) => "yes",
        (None, Some(_)) => "not always",
        (None, None) => "no",
    };
    Ok(Finding::new(answer).seen_all(said).seen_all(course.words()))
}

/// The authority that it trusts is replaced by another one; then it is told so, or not.
pub(super) async fn honours_authority(lab: &Lab<'_>, way: Option<&Way>) -> Result<Finding> {
    let (mut instance, _) = lab.ready().await?;
    let newcomer = lab.other.issue(&Identity::client("newcomer"), Validity::lasting(LONG))?;
    let newcomer = Client::showing(Some(&newcomer))?;
    let own = lab.own(Validity::lasting(LONG))?;
    instance.install(Files::of(&own, &lab.other.bundle()))?;
    let began = Instant::now();
    let said = tell(&mut instance, way).await;
    let patience = if way.is_some() { TOLD } else { UNTOLD };
    Ok(match settles(&instance, &newcomer, began, patience).await {
        Err(denial) => {
            let waited = format!("not in {}: {}", span(patience), refused(&denial));
            Finding::new("no").seen_all(said).seen(waited)
        }
        Ok(since) => {
            let old = lab.friend.patiently(instance.address, instance.server.protocol).await.answer;
            let (answer, old) = match old {
                Ok(_) => ("yes, and the old one still", "the old one is accepted, too".into()),
                Err(denial) => ("yes", format!("the old one is {}", refused(&denial))),
            };
            Finding::new(answer).seen_all(said).seen(format!("stable since {}", span(since))).seen(old)
        }
    })
}

/// Waits until a client is served for good: a generation of before may refuse it for a moment, while
/// another one serves already. Gives since when.
///
/// # Errors
/// Why it was not served last.
pub(super) async fn settles(
    instance: &Instance<'_>,
    client: &Client,
    began: Instant,
    patience: Duration,
) -> Result<Duration, Denial> {
    let mut since = None;
    loop {
        let at = began.elapsed();
        match client.once(instance.address, instance.server.protocol).await.answer {
            Ok(_) => {
                let since = *since.get_or_insert(at);
                if at.saturating_sub(since) >= STABLE {
                    return Ok(since);
                }
            }
            Err(denial) if at > patience => return Err(denial),
            Err(_) => since = None,
        }
        tokio::time::sleep(PACE).await;
    }
}

/// A connection is open while the server reloads.
pub(super) async fn open_on_reload(lab: &Lab<'_>, way: &Way) -> Result<Finding> {
    let (mut instance, _) = lab.ready().await?;
    let (address, protocol) = (instance.address, instance.server.protocol);
    let mut open = match lab.friend.stay(address, protocol).await {
        Ok(open) => open,
        Err(denial) => return Ok(Finding::unknown(format!("it could not be opened: {denial}"))),
    };
    let own = lab.own(Validity::lasting(LONG))?;
    instance.install(Files::of(&own, &lab.ours.bundle()))?;
    let (course, said) = told(&mut instance, Some(way), &lab.friend, own.leaf()).await;
    let after = if course.stable.is_some() { "once the new certificate is served" } else { "afterwards" };
    Ok(match open.ask().await {
        Ok(_) => Finding::new("goes on").seen_all(said).seen(format!("asked again {after}: served")),
        Err(denial) => {
            Finding::new("is closed").seen_all(said).seen(format!("asked again {after}: {denial}"))
        }
    })
}

/// What is wrong with a pair of files.
#[derive(Clone, Copy)]
pub(super) enum Broken {
    /// The key is that of another certificate.
    Mismatched,
    /// The certificate ends half-way.
    Torn,
}

/// A broken pair is installed, and the server told; then a good one.
///
/// Gives what it does, and whether it opens again.
pub(super) async fn broken(lab: &Lab<'_>, broken: Broken, way: Option<&Way>) -> Result<[Finding; 2]> {
    let (mut instance, before) = lab.ready().await?;
    let own = lab.own(Validity::lasting(LONG))?;
    let mut files = Files::of(&own, &lab.ours.bundle());
    match broken {
        Broken::Mismatched => files.key = lab.own(Validity::lasting(LONG))?.key_pem().into(),
        Broken::Torn => files.chain.truncate(files.chain.len() / 4),
    }
    let mark = instance.mark();
    instance.install(files)?;
    let began = Instant::now();
    let said = tell(&mut instance, way).await;
    // It has as long to break as it would have to change.
    let course = watch(&mut instance, &lab.friend, own.leaf(), began, BREAKS).await;
    let log = instance.said_since(mark).await.map(|line| format!("log: {line}"));
    let last = lab.friend.once(instance.address, instance.server.protocol).await;
    let answer = match (instance.ended(), last.answer, last.leaf) {
        (Some(_), ..) => "exits".into(),
        (None, Ok(_), Some(leaf)) if leaf == before => "keeps the old one".into(),
        (None, Ok(_), _) => "serves something else".into(),
        (None, Err(denial), _) => format!("fails every handshake: {denial}"),
    };
    let reaction = Finding::new(answer).seen_all(said).seen_all(course.trouble()).seen_all(log);
    let good = lab.own(Validity::lasting(LONG))?;
    instance.install(Files::of(&good, &lab.ours.bundle()))?;
    let mut tried = Vec::new();
    for way in [way, Some(&Way::Restart)] {
        let (course, said) = told(&mut instance, way, &lab.friend, good.leaf()).await;
        let words = way.map_or_else(|| "by itself".into(), Way::words);
        if course.stable.is_some() {
            let back = Finding::new(words).seen_all(tried).seen_all(said).seen_all(course.words());
            return Ok([reaction, back]);
        }
        tried.push(format!("not {words}"));
        tried.extend(said);
    }
    Ok([reaction, Finding::new("no").seen_all(tried)])
}

/// Tells it to reload. Gives what came of it, in words.
async fn tell(instance: &mut Instance<'_>, way: Option<&Way>) -> Option<String> {
    match instance.reload(way?).await {
        Ok(said) if said.is_empty() => None,
        Ok(said) => Some(format!("it answers `{said}`")),
        Err(error) => Some(error.to_string()),
    }
}

async fn told(
    instance: &mut Instance<'_>,
    way: Option<&Way>,
    client: &Client,
    new: &Leaf,
) -> (Course, Option<String>) {
    let began = Instant::now();
    let said = tell(instance, way).await;
    let patience = if way.is_some() { TOLD } else { UNTOLD };
    (watch(instance, client, new, began, patience).await, said)
}

/// How a change showed on the wire. A change is no edge: old and new may be served side by side.
#[derive(Default)]
struct Course {
    first_new: Option<Duration>,
    last_old: Option<Duration>,
    stable: Option<Duration>,
    failed: usize,
    last_failure: Option<String>,
}

impl Course {
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let instants =
            [("first new", self.first_new), ("last old", self.last_old), ("stable since", self.stable)];
        let instants: Vec<String> =
            instants.iter().filter_map(|(name, at)| at.map(|at| format!("{name} {}", span(at)))).collect();
        if self.first_new.is_some() {
            words.push(instants.join(", "));
        } else if let Some(last) = self.last_old {
            words.push(format!("the old one for {}", span(last)));
        }
        words.extend(self.trouble());
        words
    }

    fn trouble(&self) -> Option<String> {
        let last = self.last_failure.as_ref()?;
        let counted = words::counted(self.failed as u64, "handshake");
        Some(format!("{counted} failed in between, the last: {last}"))
    }
}

/// Makes handshakes until the new certificate is stable, or patience ends.
async fn watch(
    instance: &mut Instance<'_>,
    client: &Client,
    new: &Leaf,
    began: Instant,
    patience: Duration,
) -> Course {
    let mut course = Course::default();
    let mut since = None;
    loop {
        let at = began.elapsed();
        let seen = client.once(instance.address, instance.server.protocol).await;
        match (&seen.answer, seen.leaf) {
            (Ok(_), Some(leaf)) if leaf == *new => {
                course.first_new.get_or_insert(at);
                let since = *since.get_or_insert(at);
                if at.saturating_sub(since) >= STABLE {
                    course.stable = Some(since);
                    return course;
                }
            }
            (Ok(_), _) => {
                since = None;
                course.last_old = Some(at);
            }
            (Err(denial), _) => {
                since = None;
                course.failed += 1;
                course.last_failure = Some(denial.to_string());
            }
        }
        // One that has ended does not come back by itself.
        if at > patience || instance.ended().is_some() {
            return course;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// A duration as people read it.
pub(super) fn span(duration: Duration) -> String {
    words::span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
