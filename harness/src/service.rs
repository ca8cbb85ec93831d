//! What a running service is told ([`Config`]) and what it tells ([`Status`]): the contract between
//! the harness and the programs of a system, the same in every runtime.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    history::Leaf,
    system::{Reload, Start},
};

/// The environment variable that holds the path of a service's [`Config`].
pub const CONFIG: &str = "NOTAFTER_CONFIG";
/// The environment variable that holds the run's id, in every process of a run.
pub const RUN: &str = "NOTAFTER_RUN";
/// The environment variable that names the program to be.
pub const PROGRAM: &str = "NOTAFTER_SERVICE";

/// Port on which a service listens with mutual TLS, in every runtime.
pub const TLS_PORT: u16 = 8443;
/// Port of a service's health endpoint (plain HTTP: it must answer when certificates fail).
pub const HEALTH_PORT: u16 = 8080;
/// Second port of a server that others wrote, where it wants one and is a service.
pub const PEER_PORT: u16 = 8444;

/// Beside `config.json`: how far the clock of a service is ahead of the machine's; see [`clock_ahead`].
pub const CLOCK_FILE: &str = "clock";

/// How long a service may hold back the answer to who knows it already.
pub const HOLD: Duration = Duration::from_millis(100);

/// Leaf and intermediates, PEM, leaf first (the names are those of a Kubernetes TLS Secret).
pub const CHAIN_FILE: &str = "tls.crt";
/// Private key, PEM, PKCS#8, mode 0600.
pub const KEY_FILE: &str = "tls.key";
/// The roots that are trusted, PEM.
pub const BUNDLE_FILE: &str = "ca.crt";
/// Who of those under the bundle is no longer to be trusted, PEM (RFC 5280, section 5); most mounts have none.
pub const CRL_FILE: &str = "ca.crl";

/// What a service is told at its start: `config.json` in its folder. Every path in it is relative to
/// that folder, so that the same file holds on the host and in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Its name, also the name in its certificates.
    pub service: String,
    /// Where it listens with mutual TLS.
    pub listen: SocketAddr,
    /// Where it answers `/live`, `/ready` and `/status` in plain HTTP.
    pub health: SocketAddr,
    /// `host:port` under which others reach it.
    pub advertise: String,
    /// What it does when a need does not answer.
    pub start: Start,
    /// How it comes to use a replaced credential.
    pub reload: Reload,
    /// Services it calls, each with the mount whose credential it shows there.
    pub needs: BTreeMap<String, String>,
    /// `host:port` of the services whose address everybody is told.
    pub known: BTreeMap<String, String>,
    /// The mount that it presents to those who call it.
    pub serves: String,
    /// Ports of the other mounts that it presents.
    #[serde(default)]
    pub doors: BTreeMap<String, u16>,
    /// Folder of each mount, holding [`CHAIN_FILE`], [`KEY_FILE`] and [`BUNDLE_FILE`].
    pub mounts: BTreeMap<String, PathBuf>,
    /// Folder of each authority that it issues for: `tls.crt`, `tls.key` of the issuing CA, `ca.crt`.
    pub issues: BTreeMap<String, PathBuf>,
    /// Folder that outlives a restart.
    pub data: PathBuf,
    /// The file that says how far its clock is off, in which it looks all the time: see [`clock_ahead`].
    #[serde(default)]
    pub clock: PathBuf,
    /// The program's own settings.
    pub settings: toml::Table,
}

impl Config {
    /// Reads the configuration and makes its paths absolute.
    ///
    /// # Errors
    /// If the file cannot be read or is none.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let mut config: Self = serde_json::from_slice(&std::fs::read(path)?)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let paths = config.mounts.values_mut().chain(config.issues.values_mut());
        for path in paths.chain([&mut config.data, &mut config.clock]) {
            *path = folder.join(&*path);
        }
        Ok(config)
    }
}

/// How many seconds the clock of a service is ahead of the machine's, by its file: a whole number, negative
/// where it is behind. None has moved it where there is no such file, or where it says something else.
pub fn clock_ahead(file: &Path) -> i64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What a service says at `GET /status` on its health port. `GET /live` gives 200 as long as it
/// runs; `GET /ready` gives 200 or 503.
///
/// `GET /status?unlike=MARK` may be answered as soon as what there is to say has another
/// [mark](Self::mark), and after [`HOLD`] at the latest: whoever watches learns of each change at once
/// and asks seldom. A service that does not know `unlike` answers at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether it can serve.
    pub ready: bool,
    /// What it waits for, each with the reason: `manager: certificate expired`.
    pub waits_for: Vec<String>,
    /// The leaf in use, by mount.
    pub credentials: BTreeMap<String, Leaf>,
    /// Why what lies in a mount is not used, where another credential is or one had to be there, by mount.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, String>,
    /// The leaf that each client showed in its latest handshake, refused or not, by the client's name
    /// and the authority that issued it (`archive@mesh`), and by the address that it called from:
    /// others may hold the same credential, a prober for one.
    pub clients: BTreeMap<String, BTreeMap<IpAddr, Leaf>>,
    /// What its clock says, microseconds since the Unix epoch; none of a service that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_us: Option<u64>,
}

impl Status {
    /// What tells this from what is said at another time, by the same executable. That time passes is no news.
    pub fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&Self { clock_us: None, ..self.clone() }).unwrap_or_default().hash(&mut hasher);
        hasher.finish()
    }
}
