//! How long an operation may fail at once.

use std::time::Duration;

use notafter::{
    check::{Check, Verdict},
    history::{History, Micros, Phase},
};

use super::tries;

/// See [`these_pause_within`].
struct ThesePauseWithin {
    names: Vec<&'static str>,
    budget: Duration,
}

/// From the fault to the end none of these operations fails for longer than this at once, whatever becomes of the
/// others: one API server that is restarted is away for a moment, and a cluster that is lost is not.
pub fn these_pause_within(names: &[&'static str], budget: Duration) -> Box<dyn Check> {
    Box::new(ThesePauseWithin { names: names.to_vec(), budget })
}

impl Check for ThesePauseWithin {
    fn name(&self) -> &'static str {
        "these-pause-within"
    }

    fn judge(&self, history: &History) -> Verdict {
        self.look(history).unwrap_or_else(|early| early)
    }
}

impl ThesePauseWithin {
    fn look(&self, history: &History) -> Result<Verdict, Verdict> {
        let from =
            history.began(Phase::Inject).ok_or_else(|| Verdict::Unknown("nothing was injected".into()))?;
        let until = history.began(Phase::Judge).unwrap_or(Micros::MAX);
        let pauses = self.names.iter().map(|name| longest_pause(history, name, from, until));
        let pauses: Vec<Pause<'_>> = pauses.collect::<Result<_, _>>()?;
        let allowed = format!("{} s allowed", self.budget.as_secs());
        let late = pauses.iter().find(|pause| u128::from(pause.span) > self.budget.as_micros());
        let words: Vec<_> = pauses.iter().map(Pause::words).collect();
        Ok(match late {
            Some(late) => {
                Verdict::Failed(format!("{} at once, {allowed}; at last: {}", late.words(), late.why))
            }
            None => Verdict::Passed(format!("{} at once at most, {allowed}", words.join(", "))),
        })
    }
}

/// How long an operation failed at once.
#[derive(Default)]
struct Pause<'h> {
    name: &'h str,
    span: Micros,
    /// What it said last in that time.
    why: &'h str,
}

impl Pause<'_> {
    fn words(&self) -> String {
        format!("{} failed for {:.1} s", self.name, Duration::from_micros(self.span).as_secs_f64())
    }
}

/// The longest time from a try that failed to the next one that did not, or to the end of the last.
fn longest_pause<'h>(
    history: &'h History,
    name: &'h str,
    from: Micros,
    until: Micros,
) -> Result<Pause<'h>, Verdict> {
    let (mut longest, mut since, mut tried) = (Pause { name, ..Pause::default() }, None, false);
    for (at, operation) in tries(history, from, until).filter(|(_, one)| one.name == name) {
        tried = true;
        let ended = if operation.error.is_some() { at + operation.took } else { at };
        if operation.error.is_some() {
            since = since.or(Some(at));
        }
        if let Some(span) = since.map(|since| ended - since).filter(|span| *span > longest.span) {
            longest.span = span;
            longest.why = operation.error.as_deref().unwrap_or(longest.why);
        }
        since = since.filter(|_| operation.error.is_some());
    }
    tried.then_some(longest).ok_or_else(|| Verdict::Unknown(format!("nobody tried {name} after the fault")))
}

#[cfg(test)]
mod tests {
    use notafter::{
        check::Summary,
        history::{Event, What},
    };

    use super::{
        super::tests::{fails, works},
        *,
    };

    #[test]
    fn a_pause_lasts_from_the_first_failure_to_the_next_success() {
        let judged = |budget: u64, events: Vec<Event>| {
            let injected = Event { at: 50, what: What::PhaseBegan { phase: Phase::Inject } };
            let history = History { events: [injected].into_iter().chain(events).collect() };
            these_pause_within(&["api"], Duration::from_micros(budget)).judge(&history).summary()
        };
        let paused =
            vec![fails(10, "api"), fails(60, "api"), fails(70, "api"), works(80, "api"), fails(85, "api")];
        assert_eq!(judged(20, paused.clone()), Summary::Passed);
        assert_eq!(judged(19, paused), Summary::Failed);
        assert_eq!(judged(4, vec![works(60, "api"), fails(70, "api")]), Summary::Failed);
        assert_eq!(judged(0, vec![works(60, "api"), works(70, "api")]), Summary::Passed);
        assert_eq!(judged(0, vec![works(60, "nodes")]), Summary::Unknown);
    }
}
