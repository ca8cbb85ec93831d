//! Events in words, as reports and errors say them.

use std::fmt;

use super::{Outcome, Phase, Refusal, Side, Unreachable};

impl Outcome {
    /// Whether the round trip worked.
    pub fn is_served(&self) -> bool {
        matches!(self, Self::Served(200..=299))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(status) => write!(f, "answered with status {status}"),
            Self::Refused { by: Side::Client, reason } => write!(f, "the client refuses: {reason}"),
            Self::Refused { by: Side::Server, reason } => write!(f, "the server refuses: {reason}"),
            Self::Unreachable(how) => how.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "certificate expired",
            Self::NotYetValid => "certificate not yet valid",
            Self::UnknownIssuer => "unknown issuer",
            Self::WrongName => "wrong name",
            Self::WrongPurpose => "wrong purpose",
            Self::BadSignature => "bad signature",
            Self::Revoked => "certificate revoked",
            Self::NoCertificate => "no certificate",
            Self::Other(words) => words,
        })
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionRefused => "connection refused",
            Self::Closed => "the connection was closed",
            Self::Timeout => "no answer in time",
            Self::NoCredential => "the client has no credential to show",
            Self::Other(words) => words,
        })
    }
}

impl Phase {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Steady => "steady",
            Self::Inject => "inject",
            Self::Landed => "landed",
            Self::Observe => "observe",
            Self::Repair => "repair",
            Self::Recover => "recover",
            Self::Drain => "drain",
            Self::Judge => "judge",
            Self::Heal => "heal",
            Self::TearDown => "tear-down",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
