//! Records: what the source emits, what is spooled, what the archive stores.

use serde::{Deserialize, Serialize};

/// A message of the collaboration platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; the first is 1, and there are no holes.
    pub number: u64,
    /// When the source emitted it, microseconds since the Unix epoch.
    pub sent_us: u64,
    /// Who wrote it.
    pub author: String,
    /// What they wrote.
    pub text: String,
}

/// A record with what the processor found out about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enriched {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// How many words it has.
    pub words: u32,
    /// Its different words in lower case, sorted: what it is found by.
    pub terms: Vec<String>,
}

/// Several records at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch<T> {
    /// In the order of their numbers, where they come from the source.
    pub records: Vec<T>,
}

/// Those who write.
pub const AUTHORS: [&str; 5] = ["ada", "barbara", "edsger", "grace", "tony"];

impl Record {
    /// The record of this number: the same text each time.
    pub fn numbered(number: u64, sent_us: u64) -> Self {
        const SUBJECTS: [&str; 4] = ["invoice", "shipment", "contract", "review"];
        const STATES: [&str; 3] = ["is ready", "was sent", "needs an answer"];
        let pick = |of: usize, every: u64| usize::try_from(number / every % of as u64).unwrap_or(0);
        let author = AUTHORS[pick(AUTHORS.len(), 1)];
        let (subject, state) = (SUBJECTS[pick(SUBJECTS.len(), 5)], STATES[pick(STATES.len(), 20)]);
        Self { number, sent_us, author: author.into(), text: format!("{subject} {number} {state}") }
    }
}

impl Enriched {
    /// Counts and collects the words of a record.
    pub fn from(record: Record) -> Self {
        let mut terms: Vec<String> = terms(&record.text).collect();
        let words = u32::try_from(terms.len()).unwrap_or(u32::MAX);
        terms.sort_unstable();
        terms.dedup();
        Self { record, words, terms }
    }
}

/// The words of a text in lower case.
pub fn terms(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_always_gives_the_same_record() {
        assert_eq!(Record::numbered(42, 7), Record::numbered(42, 7));
        assert_ne!(Record::numbered(42, 7).text, Record::numbered(43, 7).text);
    }

    #[test]
    fn a_record_is_found_by_each_of_its_words_once() {
        let record =
            Record { number: 1, sent_us: 0, author: "ada".into(), text: "To be, or not TO be".into() };
        let enriched = Enriched::from(record);
        assert_eq!(
            (enriched.words, enriched.terms),
            (6, ["be", "not", "or", "to"].map(String::from).to_vec())
        );
    }
}
