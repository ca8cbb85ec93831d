//! What goes wrong, said so that a person can act: the thing, the place, what was expected and
//! found, and a way out.

use std::{error::Error as StdError, fmt};

/// An error of the harness or of what it runs. Its text fits after "failed to run: ".
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something in the run did not go as it should: its verdict is unknown.
    Run,
    /// The person asked for something that is not there: a usage error.
    Usage,
    /// A runtime is not there or cannot do what is asked.
    Missing,
    /// The run was interrupted.
    Interrupted,
    /// Something of ours panicked.
    Bug,
}

/// What functions of the harness give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Something in the run did not go as it should.
    pub fn new(what: impl Into<String>) -> Self {
        Self { kind: Kind::Run, what: what.into(), hint: None, source: None }
    }

    /// The person asked for something that is not there.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(what) }
    }

    /// A runtime is not there.
    pub fn missing(what: impl Into<String>) -> Self {
        Self { kind: Kind::Missing, ..Self::new(what) }
    }

    /// The run was interrupted.
    pub fn interrupted() -> Self {
        Self { kind: Kind::Interrupted, ..Self::new("interrupted") }
    }

    /// Something of ours panicked, with these words.
    pub fn bug(words: impl fmt::Display) -> Self {
        Self { kind: Kind::Bug, ..Self::new(format!("this is a bug of notafter: {words}")) }
    }

    /// The same with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, with the phase of the run in which it happened.
    #[must_use]
    pub fn during(mut self, phase: crate::history::Phase) -> Self {
        self.what = format!("phase {phase}: {}", self.what);
        self
    }

    /// Whose move it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Already part of the text.
        None
    }
}

/// Says what was being done when something of another kind went wrong.
pub trait Context<T> {
    /// Names the thing and the place.
    ///
    /// # Errors
    /// The error, with this in front of it.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(what()).because(error))
    }
}

/// The words of a panic.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".into())
}
