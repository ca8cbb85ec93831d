//! What happened and when: append-only, the only input of checks and reports.

mod event;
mod parse;
mod probe;
mod recorder;
#[cfg(test)]
pub(crate) mod script;
mod tail;
mod words;

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

pub use event::*;
pub use probe::{Leaf, Outcome, Probe, Question, Refusal, Side, Unreachable};
pub use recorder::Recorder;
pub use tail::Tail;

/// A finished history, or as much of one as there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In the order in which they were recorded; `at` is nearly, not strictly, ascending.
    pub events: Vec<Event>,
}

impl History {
    /// Reads a history from JSON lines. A last line that was cut off by a crash is left out.
    ///
    /// # Errors
    /// If the file cannot be read, or a line in its middle is none of ours.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut events = Vec::new();
        let mut torn: Option<(usize, serde_json::Error)> = None;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Some((number, error)) = torn.take() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}:{number}: not an event: {error}", path.display()),
                ));
            }
            match serde_json::from_slice(&line) {
                Ok(event) => events.push(event),
                Err(error) => torn = Some((number, error)),
            }
        }
        Ok(Self { events })
    }

    /// What this run is; none if the run died before its first event.
    pub fn info(&self) -> Option<&RunInfo> {
        self.events.iter().find_map(|event| match &event.what {
            What::Run(info) => Some(info),
            _ => None,
        })
    }

    /// When the phase began.
    pub fn began(&self, wanted: Phase) -> Option<Micros> {
        self.events.iter().find_map(|event| match event.what {
            What::PhaseBegan { phase } if phase == wanted => Some(event.at),
            _ => None,
        })
    }

    /// When the phase ended, in order or not.
    pub fn ended(&self, wanted: Phase) -> Option<Micros> {
        self.events.iter().find_map(|event| match event.what {
            What::PhaseEnded { phase, .. } if phase == wanted => Some(event.at),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[u8]) -> io::Result<History> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), lines)?;
        History::read(file.path())
    }

    fn written(history: &History) -> Vec<u8> {
        let lines = history.events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n");
        lines.collect::<String>().into_bytes()
    }

    /// A history with every kind of event.
    fn every_kind() -> History {
        use script::Script;
        Script::outage()
            .alert(1_500, AlertRule::Expiry, "archive")
            .health(90, "archive", &["manager: \"no\" answer\n"])
            .process(50, "archive", ProcessChange::Spawned { pid: 1, restarts: 0 })
            .process(60, "archive", ProcessChange::BackingOff { for_ms: 10 })
            .order(1, 4_300..4_500, &["archive"], Some(("archive", "manager")))
            .breaks(Phase::Drain, "torn")
            .record(100, None)
            .at(6_000, What::Drained)
            .at(6_001, What::ClockJumped { by_ms: -5 })
            .at(
                6_002,
                What::Judged { check: "landed".into(), verdict: crate::check::Verdict::Passed("yes".into()) },
            )
            .history()
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let history = every_kind();
        assert_eq!(read(&written(&history)).unwrap(), history);
    }

    #[test]
    fn the_order_of_the_fields_does_not_matter() {
        for event in every_kind().events {
            // A map of serde_json has its keys in alphabetical order: `error` is before `event`.
            let sorted = serde_json::to_value(&event).unwrap().to_string();
            assert_eq!(serde_json::from_str::<Event>(&sorted).unwrap(), event, "{sorted}");
            let reversed = sorted.replacen('{', "{\"unknown\":[1],", 1);
            assert_eq!(serde_json::from_str::<Event>(&reversed).unwrap(), event, "{reversed}");
        }
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_left_out() {
        let history = every_kind();
        let mut lines = written(&history);
        lines.extend_from_slice("{\"at\":7,\"event\":\"drained\",\"x\":\"\u{fc}".as_bytes());
        lines.pop();
        assert_eq!(read(&lines).unwrap(), history);
    }

    #[test]
    fn a_line_in_the_middle_that_is_no_event_is_named() {
        for (line, why) in [
            ("{\"at\":1,\"event\":\"dreamed\"}", "unknown variant `dreamed`"),
            ("{\"at\":1}", "missing field `event`"),
            ("{\"event\":\"drained\"}", "missing field `at`"),
            ("{}", "missing field `at`"),
            ("[]", "expected an object with `at` and `event`"),
        ] {
            let error =
                read(format!("{{\"at\":1,\"event\":\"drained\"}}\n{line}\n{{}}\n").as_bytes()).unwrap_err();
            let words = error.to_string();
            assert!(words.contains(":2: not an event: ") && words.contains(why), "{words}");
        }
    }
}
