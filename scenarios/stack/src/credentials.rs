//! The credentials of a service, each in its mount: loaded, put to use at once and as a whole, and
//! watched.

use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use notafter::{
    history::Leaf,
    pki::{Credential, Mark, PkiError},
    service::KEY_FILE,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::CertificateDer, sign::CertifiedKey};
use tokio::sync::{Notify, watch};

use crate::{clock, settings::Common, tls};

/// How often a service looks whether a credential was replaced. A look asks for the marks of four names
/// and sees every way of replacing on every file system; inotify would have to be set up again after
/// each swap of the directory, and says nothing on some network and overlay mounts.
pub const LOOK: Duration = Duration::from_millis(10);

/// How long a credential of before stays away where it comes back.
const GONE: Duration = Duration::from_millis(500);

/// The credentials of a service, by mount.
pub type Mounts = BTreeMap<String, Arc<Mount>>;

/// One credential of a service: the folder that it comes from, and what of it is in use.
#[derive(Debug)]
pub struct Mount {
    /// Its name: `node` or `workload`.
    pub name: String,
    folder: PathBuf,
    settings: Common,
    seen: Mutex<Option<Mark>>,
    /// How often something was taken into use.
    loads: AtomicU64,
    /// Why what lies in the folder is not used.
    rejected: Mutex<Option<String>>,
    /// Whether nobody looks at the folder any more.
    given_up: AtomicBool,
    /// Since when something lies in the folder that is not in use yet.
    waits_since: Mutex<Option<Instant>>,
    /// What was in use first, and when something was taken into use last.
    first: Mutex<Option<(Arc<InUse>, Instant)>>,
    in_use: watch::Sender<Option<Arc<InUse>>>,
    changes: Arc<Notify>,
}

/// A credential in use; never changed, only replaced as a whole.
#[derive(Debug)]
pub struct InUse {
    /// Its leaf.
    pub leaf: Leaf,
    /// Whom it trusts.
    pub roots: Vec<CertificateDer<'static>>,
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

/// Whether a leaf has ended by the clock of this process.
pub fn has_expired(leaf: &Leaf) -> bool {
    clock::unix_seconds() > leaf.not_after
}

impl Mount {
    /// A mount of which nothing is in use yet. `changes` is told when something is.
    pub fn new(name: &str, folder: &Path, settings: &Common, changes: Arc<Notify>) -> Self {
        let (in_use, _) = watch::channel(None);
        Self {
            name: name.into(),
            folder: folder.into(),
            settings: settings.clone(),
            seen: Mutex::default(),
            loads: AtomicU64::new(0),
            rejected: Mutex::default(),
            given_up: AtomicBool::new(false),
            waits_since: Mutex::default(),
            first: Mutex::default(),
            in_use,
            changes,
        }
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
    /// If it is unreadable or its parts do not fit; what was in use stays so, unless the service
    /// `drops_what_was_good`.
    pub fn load(&self) -> Result<Leaf, String> {
        *lock(&self.seen) = Some(Mark::of(&self.folder));
        let kept = self.in_use().filter(|_| self.settings.bundle_read_once);
        let first = lock(&self.first).as_ref().map(|(first, _)| first.clone());
        let kept = Kept {
            roots: kept.map(|in_use| in_use.roots.clone()),
            called: first.filter(|_| self.settings.client_bundle_read_once).map(|first| first.roots.clone()),
        };
        let read = InUse::read(&self.folder, kept, &self.settings);
        let was_good = self.in_use.borrow().is_some();
        *lock(&self.rejected) = read.as_ref().err().filter(|_| was_good).cloned();
        let loaded = match read {
            Ok(in_use) => {
                let (leaf, in_use) = (in_use.leaf.clone(), Arc::new(in_use));
                self.loads.fetch_add(1, Ordering::Relaxed);
                lock(&self.first).get_or_insert_with(|| (in_use.clone(), Instant::now())).1 = Instant::now();
                self.in_use.send_replace(Some(in_use));
                Ok(leaf)
            }
            Err(why) => {
                if self.settings.drops_what_was_good {
                    self.in_use.send_replace(None);
                }
                Err(why)
            }
        };
        self.changes.notify_waiters();
        loaded
    }

    /// Like [`Self::load`] if the folder has changed since; none if it has not.
    pub fn load_if_changed(&self) -> Option<Result<Leaf, String>> {
        let once = self.settings.reloads_once && self.loads.load(Ordering::Relaxed) > 1;
        let blind = once || self.given_up.load(Ordering::Relaxed);
        let mark = Mark::of(&self.folder);
        let same = match &*lock(&self.seen) {
            Some(seen) if self.settings.watches_links_only => seen.generation == mark.generation,
            seen => *seen == Some(mark),
        };
        if same || blind {
            return self.resurrect().map(Ok);
        }
        if self.lets_it_lie() { None } else { Some(self.load()) }
    }

    /// Notes that there is nothing to use at the start, where there should be.
    pub fn miss(&self, why: &str) {
        *lock(&self.rejected) = Some(why.to_owned());
        self.given_up.store(self.settings.gives_up_without_credential, Ordering::Relaxed);
        self.changes.notify_waiters();
    }

    /// Does as if nothing lay in the folder, until something else does.
    pub fn overlook(&self) {
        *lock(&self.seen) = Some(Mark::of(&self.folder));
    }

    /// Whether a change that was seen is not taken into use yet, which is a defect.
    fn lets_it_lie(&self) -> bool {
        let mut since = lock(&self.waits_since);
        if since.get_or_insert_with(Instant::now).elapsed() >= self.settings.reload_delay() {
            *since = None;
            return false;
        }
        if self.settings.drops_while_reloading {
            self.in_use.send_replace(None);
        }
        true
    }

    /// Takes the first credential into use again, some time after the third one, which is a defect.
    fn resurrect(&self) -> Option<Leaf> {
        if !self.settings.resurrects_an_old_one || self.loads.load(Ordering::Relaxed) < 3 {
            return None;
        }
        let (first, _) = lock(&self.first).clone().filter(|(_, at)| at.elapsed() >= GONE)?;
        if self.in_use().is_some_and(|in_use| Arc::ptr_eq(&in_use, &first)) {
            return None;
        }
        self.in_use.send_replace(Some(first.clone()));
        self.changes.notify_waiters();
        Some(first.leaf.clone())
    }

    /// Why what lies in the folder is not used.
    pub fn rejected(&self) -> Option<String> {
        lock(&self.rejected).clone()
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

/// Roots that are trusted whatever the bundle says.
struct Kept {
    /// By all.
    roots: Option<Vec<CertificateDer<'static>>>,
    /// Of those who are called.
    called: Option<Vec<CertificateDer<'static>>>,
}

impl InUse {
    /// Reads a folder, but for what is kept.
    fn read(folder: &Path, kept: Kept, settings: &Common) -> Result<Self, String> {
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", folder.display());
        private(&folder.join(KEY_FILE)).map_err(|error| failed(&error))?;
        let credential = Credential::read(folder).map_err(|error| error.to_string())?;
        let key = CertifiedKey::from_der(credential.chain_der(), credential.key_der(), tls::provider());
        let key = Arc::new(key.map_err(|error| failed(&error))?);
        let roots = credential.bundle_der().map_err(|error| failed(&error))?;
        let mut roots = kept.roots.unwrap_or(roots);
        if settings.trusts_newest_root_only {
            roots.truncate(1);
        }
        let store = |roots: &[CertificateDer<'static>]| {
            let mut store = RootCertStore::empty();
            let mut added = roots.iter().map(|root| store.add(root.clone()));
            added.try_for_each(|added| added).map(|()| Arc::new(store)).map_err(|error| failed(&error))
        };
        let trusted = store(&roots)?;
        let called = kept.called.map_or_else(|| Ok(trusted.clone()), |roots| store(&roots))?;
        let revoked = credential.revocations_der().map_err(|error| failed(&error))?;
        let server = tls::server(&key, &trusted, &roots, revoked, settings);
        let server = server.map_err(|error| failed(&error))?;
        let client = tls::client(&key, &called).map_err(|error| failed(&error))?;
        let leaf = credential.leaf().clone();
        Ok(Self { leaf, roots, server: Arc::new(server), client: Arc::new(client) })
    }
}

/// A key that others can read is not used, as with `PostgreSQL` and `OpenSSH`. One of root's a group may read, as with
/// `PostgreSQL`: so a kubelet delivers it to whoever is not root.
fn private(key: &Path) -> Result<(), String> {
    let others = |data: &fs::Metadata| if data.uid() == 0 { 0o037 } else { 0o077 };
    match fs::metadata(key) {
        Ok(data) if data.mode() & others(&data) != 0 => {
            Err(format!("{KEY_FILE} can be read by others (mode {:03o})", data.mode() & 0o777))
        }
        // What is missing is missed when it is read.
        _ => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
