//! One question asked of one hop, what came of it, and which certificate was seen.

use serde::{Deserialize, Serialize};

use super::Micros;

/// One question asked of one hop, with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Who calls.
    pub client: String,
    /// Who is called.
    pub server: String,
    /// What was asked.
    pub question: Question,
    /// How long the answer took, microseconds.
    pub took: Micros,
    /// The leaf that the client showed; none if it showed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Leaf>,
    /// The leaf that the server presented, as seen on the wire, even if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presented: Option<Leaf>,
    /// The answer.
    pub outcome: Outcome,
}

/// The four questions of a connection, and the intruder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// A fresh, full handshake with the credential that the client has installed.
    Fresh,
    /// A handshake that resumes an earlier session.
    Resumed,
    /// One more request on a connection that stays open.
    Open,
    /// A fresh handshake just after the server was restarted.
    Restarted,
    /// A fresh handshake without a client certificate: must be refused.
    WithoutCertificate,
    /// A fresh handshake with a client certificate that has expired: must be refused.
    WithExpired,
    /// A fresh handshake with a client certificate of an authority that nobody here trusts: must be refused.
    WithForeign,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The round trip worked. HTTP status.
    Served(u16),
    /// One side refused the other's certificate.
    Refused {
        /// Whose refusal.
        by: Side,
        /// Why.
        reason: Refusal,
    },
    /// There was no TLS peer to speak of.
    Unreachable(Unreachable),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Side {
    Client,
    Server,
}

/// Why a certificate was refused: the alerts of RFC 8446, section 6.2, told apart where the
/// refusing side says more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Refusal {
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    WrongPurpose,
    BadSignature,
    Revoked,
    NoCertificate,
    /// The words of the side that refused.
    Other(String),
}

impl Refusal {
    /// Whether it is `internal_error`, which has nothing to do with the peer or with what it showed (RFC 8446,
    /// section 6.2).
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Other(words) if words == "alert InternalError")
    }
}

/// Why there was no TLS peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Unreachable {
    /// Nobody listens.
    ConnectionRefused,
    /// The connection ended without an alert.
    Closed,
    /// No answer within the probe's limit.
    Timeout,
    /// The client has no credential to show.
    NoCredential,
    /// The words of the operating system.
    Other(String),
}

/// Which certificate: enough to find it again, nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leaf {
    /// Serial number, lower-case hexadecimal without separators.
    pub serial: String,
    /// Last second in which it is valid (RFC 5280, 4.1.2.5: inclusive), Unix seconds.
    pub not_after: i64,
    /// First second in which it is valid, Unix seconds.
    pub not_before: i64,
}
