//! What can go wrong with certificates, in words that name the place and never hold a key.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What can go wrong with certificates. No variant ever holds a private key, whole or in part.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate or key could not be made.
    #[error("cannot mint {what}: {source}")]
    Mint {
        /// Whose, and what for.
        what: String,
        /// The words of the library that mints.
        source: rcgen::Error,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes for {what} from the operating system")]
    Random {
        /// What they were for.
        what: &'static str,
    },
    /// Bytes that should be one X.509 certificate are not.
    #[error("expected one certificate in DER, found {found}")]
    NotACertificate {
        /// What they are instead.
        found: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The words of the operating system.
        source: io::Error,
    },
    /// A file is there, or should be, but holds something else.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it must hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A mount was replaced again and again while it was being read.
    #[error(
        "{}: replaced during each of {attempts} attempts to read it\n\
         hint: something rewrites this mount without a pause",
        folder.display()
    )]
    Unsettled {
        /// The mount.
        folder: PathBuf,
        /// How often it was tried.
        attempts: u32,
    },
    /// Another writer holds a mount, and does not let go.
    #[error(
        "{}: another process has been writing to it for {seconds} s\n\
         hint: a process that was paused while it wrote still holds the folder; resume or end it",
        folder.display()
    )]
    Held {
        /// The mount.
        folder: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl From<PkiError> for crate::error::Error {
    fn from(error: PkiError) -> Self {
        Self::new(error.to_string())
    }
}

impl PkiError {
    /// Adds to an error of the minting library what was to be minted.
    pub(super) fn minting(what: impl fmt::Display) -> impl FnOnce(rcgen::Error) -> Self {
        move |source| Self::Mint { what: what.to_string(), source }
    }

    /// Adds to an error of the operating system what was tried, and where.
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), action, source }
    }
}
