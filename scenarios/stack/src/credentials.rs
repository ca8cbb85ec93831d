//! The credentials of a service, each in its mount: loaded, put to use at once and as a whole, and
//! watched.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use notafter::{
    history::Leaf,
    pki::{Credential, PkiError},
    service::{BUNDLE_FILE, CHAIN_FILE, KEY_FILE},
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, sign::CertifiedKey};
use tokio::sync::{Notify, watch};

use crate::{tls, wait};

/// How often a service looks whether a credential was replaced. A look is one `readlink` and sees
/// every way of replacing on every file system; inotify would have to be set up again after each
/// swap of the directory, and says nothing on some network and overlay mounts.
pub const LOOK: Duration = Duration::from_millis(10);

/// The credentials of a service, by mount.
pub type Mounts = BTreeMap<String, Arc<Mount>>;

/// One credential of a service: the folder that it comes from, and what of it is in use.
#[derive(Debug)]
pub struct Mount {
    /// Its name: `node` or `workload`.
    pub name: String,
    folder: PathBuf,
    fails_open: bool,
    seen: Mutex<Option<Fingerprint>>,
    in_use: watch::Sender<Option<Arc<InUse>>>,
    changes: Arc<Notify>,
}

/// A credential in use; never changed, only replaced as a whole.
#[derive(Debug)]
pub struct InUse {
    /// Its leaf.
    pub leaf: Leaf,
    /// For those who call this service.
    pub server: Arc<ServerConfig>,
    /// For those that this service calls.
    pub client: Arc<ClientConfig>,
}

impl InUse {
    /// Whether its leaf has ended (RFC 5280, 4.1.2.5: the last second counts as valid).
    pub fn has_expired(&self) -> bool {
        has_expired(&self.leaf)
    }
}

/// Whether a leaf has ended by the wall clock.
pub fn has_expired(leaf: &Leaf) -> bool {
    wait::unix_seconds() > leaf.not_after
}

impl Mount {
    /// A mount of which nothing is in use yet. `changes` is told when something is.
    pub fn new(name: &str, folder: &Path, fails_open: bool, changes: Arc<Notify>) -> Self {
        let (in_use, _) = watch::channel(None);
        Self { name: name.into(), folder: folder.into(), fails_open, seen: Mutex::default(), in_use, changes }
    }

    /// What is in use.
    pub fn in_use(&self) -> Option<Arc<InUse>> {
        self.in_use.borrow().clone()
    }

    /// Waits until something is in use.
    ///
    /// # Panics
    /// Never: the mount holds the sender.
    pub async fn available(&self) -> Arc<InUse> {
        let mut in_use = self.in_use.subscribe();
        let there = in_use.wait_for(Option::is_some).await.expect("the mount holds the sender");
        there.clone().expect("waited for")
    }

    /// Takes what is in the folder into use.
    ///
    /// # Errors
    /// If it is unreadable or its parts do not fit; what was in use stays so.
    pub fn load(&self) -> Result<Leaf, String> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fingerprint::of(&self.folder));
        let in_use = InUse::read(&self.folder, self.fails_open)?;
        let leaf = in_use.leaf.clone();
        self.in_use.send_replace(Some(Arc::new(in_use)));
        self.changes.notify_waiters();
        Ok(leaf)
    }

    /// Like [`Self::load`] if the folder has changed since; none if it has not.
    pub fn load_if_changed(&self) -> Option<Result<Leaf, String>> {
        let seen = Some(Fingerprint::of(&self.folder));
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == seen {
            return None;
        }
        Some(self.load())
    }

    /// The leaf in the folder, in use or not.
    ///
    /// # Errors
    /// If there is none.
    pub fn leaf_on_disk(&self) -> Result<Leaf, PkiError> {
        Credential::read(&self.folder).map(|credential| credential.leaf().clone())
    }

    /// Puts a credential into the folder, as a whole.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, credential: &Credential) -> Result<(), PkiError> {
        credential.write(&self.folder)
    }
}

impl InUse {
    fn read(folder: &Path, fails_open: bool) -> Result<Self, String> {
        let credential = Credential::read(folder).map_err(|error| error.to_string())?;
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", folder.display());
        let key = CertifiedKey::from_der(credential.chain_der(), credential.key_der(), tls::provider());
        let key = Arc::new(key.map_err(|error| failed(&error))?);
        let mut roots = RootCertStore::empty();
        for root in credential.bundle_der().map_err(|error| failed(&error))? {
            roots.add(root).map_err(|error| failed(&error))?;
        }
        let roots = Arc::new(roots);
        let server = tls::server(&key, &roots, fails_open).map_err(|error| failed(&error))?;
        let client = tls::client(&key, &roots).map_err(|error| failed(&error))?;
        Ok(Self { leaf: credential.leaf().clone(), server: Arc::new(server), client: Arc::new(client) })
    }
}

/// What tells one content of a folder from another without reading it.
#[derive(Debug, PartialEq)]
enum Fingerprint {
    /// Where `..data` points.
    Version(PathBuf),
    /// Inode-independent marks of plain files.
    Files([Option<(u64, SystemTime)>; 3]),
}

impl Fingerprint {
    fn of(folder: &Path) -> Self {
        if let Ok(version) = fs::read_link(folder.join("..data")) {
            return Self::Version(version);
        }
        Self::Files([CHAIN_FILE, KEY_FILE, BUNDLE_FILE].map(|name| {
            let data = fs::metadata(folder.join(name)).ok()?;
            Some((data.len(), data.modified().ok()?))
        }))
    }
}
