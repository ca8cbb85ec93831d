//! One service of a system: what it is, what it needs and shows, how it starts and reloads.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::Span;
use crate::{profile::Protocol, service::TLS_PORT};

/// One program that runs, listens with mutual TLS, and calls others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// A DNS label, unique in the system; also the name in its certificates.
    pub name: String,
    /// The name by which it is called, where that is not its own: what it presents has to have it (RFC 9525).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// Which program of the executable serves it (see [`crate::multicall`]).
    pub program: String,
    /// What it does when a need does not answer at its start.
    #[serde(default)]
    pub start: Start,
    /// The services that it calls, each with the mount whose credential it shows there.
    #[serde(default)]
    pub needs: BTreeMap<String, String>,
    /// The mount whose credential it presents to those who call it.
    pub serves: String,
    /// The ports at which it presents its mounts, where that is not the usual one. Others than the one that it
    /// serves are doors of their own, as the members of a quorum have among themselves: a hop that shows a
    /// credential of the same authority leads there; where several have that one, to the door of the mount that has
    /// the same name on both sides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub doors: BTreeMap<String, u16>,
    /// What it is asked, to know that it serves.
    #[serde(default, skip_serializing_if = "Speaks::is_ours")]
    pub speaks: Speaks,
    /// Its credentials, by mount: a folder with `tls.crt`, `tls.key` and `ca.crt`.
    pub mounts: BTreeMap<String, Mount>,
    /// Authorities whose issuing key it holds, because it issues certificates itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<String>,
    /// Whether everybody is told its address at the start, as DNS would do; others are found
    /// through the system's own registry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub well_known: bool,
    /// Whether it belongs to somebody else: no fault, restart or repair of a whole system touches it. Where an
    /// authority is replaced it gets what everybody gets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// How it comes to use a credential that was replaced on disk.
    #[serde(default)]
    pub reload: Reload,
    /// How long its supervisor waits before it starts it again.
    #[serde(default)]
    pub restart: Backoff,
    /// The program's own settings; switched-on defects live here.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub settings: toml::Table,
}

impl Service {
    /// A service that needs nobody and has no mount yet; all else as where a file says nothing. `serves` is the
    /// mount that it will present.
    pub fn new(name: &str, program: &str, serves: &str) -> Self {
        Self {
            name: name.into(),
            called: None,
            program: program.into(),
            start: Start::default(),
            needs: BTreeMap::new(),
            serves: serves.into(),
            doors: BTreeMap::new(),
            speaks: Speaks::default(),
            mounts: BTreeMap::new(),
            issues: Vec::new(),
            well_known: false,
            external: false,
            reload: Reload::default(),
            restart: Backoff::default(),
            settings: toml::Table::new(),
        }
    }

    /// The name that a client wants to find in what it presents.
    pub fn reference_name(&self) -> &str {
        self.called.as_deref().unwrap_or(&self.name)
    }

    /// Where it listens with mutual TLS.
    pub fn port(&self) -> u16 {
        self.doors.get(&self.serves).copied().unwrap_or(TLS_PORT)
    }
}

/// What a service is asked over TLS, to know that it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaks {
    /// HTTP/1.1: `GET /live`, as every service of ours answers it.
    #[default]
    Http,
    /// HTTP/1.1: `GET /version`, which a member of etcd answers at both of its ports, quorum or none.
    Etcd,
    /// `PostgreSQL`: TLS after an `SSLRequest`, then `SELECT 1`.
    Postgres,
    /// NATS: TLS after its `INFO`, then `CONNECT` and `PING`.
    Nats,
    /// Redis: `PING`.
    Redis,
    /// MQTT 3.1.1: `CONNECT`, then `PINGREQ`.
    Mqtt,
    /// AMQP 0-9-1: a connection as `guest`, and a channel in it.
    Amqp,
    /// HTTP/1.1: `GET /api`, which an API server of Kubernetes answers to whom it knows and to nobody else.
    ApiServer,
    /// HTTP/1.1: `GET /healthz`, which a kubelet answers to whom the API server vouches for.
    Kubelet,
}

impl Speaks {
    /// What is said, before TLS begins and after it.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Http => Protocol::Http("/live"),
            Self::Etcd => Protocol::Http("/version"),
            Self::Postgres => Protocol::Postgres,
            Self::Nats => Protocol::Nats,
            Self::Redis => Protocol::Redis,
            Self::Mqtt => Protocol::Mqtt,
            Self::Amqp => Protocol::Amqp,
            Self::ApiServer => Protocol::Http("/api"),
            Self::Kubelet => Protocol::Http("/healthz"),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_ours(&self) -> bool {
        *self == Self::Http
    }
}

/// A credential as one service uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The authority that issues its certificates and that it trusts.
    pub authority: String,
    /// Who puts the first certificate there.
    #[serde(default)]
    pub filled: Filled,
    /// Whether it is a TLS Secret which a kubelet delivers, where the system runs as pods of Kubernetes; elsewhere
    /// its files are like any others. It is filled [`Filled::Beforehand`]: nobody in a pod can write there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

impl Mount {
    /// One that is filled before its service starts.
    pub fn of(authority: &str) -> Self {
        Self { authority: authority.into(), filled: Filled::default(), secret: false }
    }
}

/// Who puts the first certificate into a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filled {
    /// The harness, before the service starts.
    #[default]
    Beforehand,
    /// The service itself, which asks another one at its start. The harness lays out the bundle only.
    ByItself,
}

/// What a service does when a need does not answer at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// It exits, as in 2022, and its supervisor starts it again.
    NeedsFirst,
    /// It retries with capped, jittered backoff and says what it waits for.
    #[default]
    InAnyOrder,
}

/// How a service comes to use a credential that was replaced on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reload {
    /// It watches the folder.
    #[default]
    OnChange,
    /// It is sent SIGHUP.
    OnSignal,
    /// It reads its credential once and must be restarted.
    Never,
}

/// How long a supervisor waits before it starts a service again: `first`, doubled each time, up to
/// `cap`; forgotten once the service has run for `reset_after`. A kubelet's are 10 s, 300 s, 600 s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// Wait before the first restart.
    pub first: Span,
    /// Longest wait.
    pub cap: Span,
    /// A service that ran this long starts from `first` again.
    pub reset_after: Span,
}

impl Default for Backoff {
    /// Quick enough for a test: 50 ms, 2 s, 10 s.
    fn default() -> Self {
        Self {
            first: Span(Duration::from_millis(50)),
            cap: Span(Duration::from_secs(2)),
            reset_after: Span(Duration::from_secs(10)),
        }
    }
}
