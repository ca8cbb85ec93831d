//! What certificates exist, where, whose, and until when.
//!
//! [`scan`] reads files and `endpoint` asks servers; both give [`Source`]s.

pub mod certificate;
pub mod decode;
pub mod scan;

pub use certificate::{Certificate, Fingerprint, Role};
pub use decode::{Decoded, Form};

/// Something that was looked at, and what was in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// A path, or the address of a server as it was asked for.
    pub at: String,
    /// What was in it.
    pub found: Decoded,
    /// The permissions of a file, `0o600`.
    pub mode: Option<u32>,
    /// The service that it belongs to, where that is known.
    pub service: Option<String>,
    /// The file that holds what a server should present, where that is known.
    pub presents: Option<String>,
}
