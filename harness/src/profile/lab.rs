//! What the experiments about one server share: authorities, addresses, folders.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{
    Client, Server,
    instance::{Files, Instance, Place},
    program::Program,
};
use crate::{
    error::{Context, Error, Result},
    guardian::Guard,
    history::Leaf,
    pki::{Authority, Credential, Identity, Validity},
    run::{RunFolder, shared_folder},
    runtime::{
        containers,
        processes::{nth, reserve},
    },
    service::TLS_PORT,
};

/// How many instances an experimenter can start.
const INSTANCES: usize = 60;
/// How long a certificate lasts that is not the matter.
pub(super) const LONG: Duration = Duration::from_hours(24);

/// What the experiments about one server share.
pub(super) struct Lab<'s> {
    pub server: &'s Server,
    pub program: Program,
    /// Signs the server and its clients.
    pub ours: Authority,
    /// Whom the server does not trust, until it is told to.
    pub other: Authority,
    /// Shows a valid certificate of ours.
    pub friend: Client,
    folder: RunFolder,
    /// Taken when everything has been given back.
    guard: Option<Guard>,
    block: Ipv4Addr,
    _mark: TcpListener,
    started: AtomicUsize,
}

impl<'s> Lab<'s> {
    /// Finds the program and lays everything out.
    ///
    /// # Errors
    /// If the server is not installed, or there is no place for it.
    pub async fn open(server: &'s Server) -> Result<Self> {
        let program = Program::find(server).await?;
        let folder = RunFolder::create(&runs()?, &format!("profile-{}", server.name), 0)?;
        // Whoever serves without privileges must get through to a folder of its own.
        for path in [folder.path().to_owned(), folder.service("")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o711))
                .context(|| format!("cannot open {}", path.display()))?;
        }
        let guard = Guard::post(&folder)?;
        let (block, mark) = reserve(folder.id(), INSTANCES)?;
        let ours = Authority::new("ours")?;
        let other = Authority::new("other")?;
        let friend =
            Client::showing(Some(&ours.issue(&Identity::client("friend"), Validity::lasting(LONG))?))?;
        Ok(Self {
            server,
            program,
            ours,
            other,
            friend,
            folder,
            guard: Some(guard),
            block,
            _mark: mark,
            started: AtomicUsize::new(0),
        })
    }

    /// Gives everything back.
    ///
    /// # Errors
    /// If the folder cannot be removed.
    pub async fn close(mut self) -> Result<()> {
        let removed = self.remove();
        if let Some(guard) = self.guard.take() {
            guard.release().await;
        }
        removed.context(|| format!("cannot remove {}", self.folder.path().display()))
    }

    fn remove(&self) -> std::io::Result<()> {
        crate::procfs::kill_in(self.folder.path());
        if self.program.image.is_some() {
            containers::remove_run(self.folder.id()).map_err(std::io::Error::other)?;
        }
        match fs::remove_dir_all(self.folder.path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A certificate for the server.
    pub fn own(&self, validity: Validity) -> Result<Credential> {
        Ok(self.ours.issue(&Identity::service("server"), validity)?)
    }

    /// A server with a valid certificate, ready.
    pub async fn ready(&self) -> Result<(Instance<'_>, Leaf)> {
        let own = self.own(Validity::lasting(LONG))?;
        let mut instance = self.start(Files::of(&own, &self.ours.bundle()), None).await?;
        instance.ready(&self.friend).await?;
        Ok((instance, own.leaf().clone()))
    }

    /// A server with these files, which may not be ready yet, or never.
    pub async fn start(&self, files: Files, lists: Option<String>) -> Result<Instance<'_>> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        if number >= INSTANCES {
            return Err(Error::bug(format!("more than {INSTANCES} instances of one server")));
        }
        let address = SocketAddr::new(nth(self.block, number).into(), TLS_PORT);
        let home = self.folder.service(&format!("{}-{number}", self.server.name));
        let place = Place { home, address, run: self.folder.id(), lists, service: None };
        Instance::start(self.server, &self.program, place, files).await
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell; guardians look after what this could not remove.
        let _ = self.remove();
    }
}

/// Where the folder of a profile is: below the temporary folder, because a server without privileges
/// could not get through to one in the home of root.
fn runs() -> Result<PathBuf> {
    let shared = shared_folder();
    let runs = shared.join("runs");
    fs::create_dir_all(&runs)
        .and_then(|()| {
            let meta = fs::symlink_metadata(&shared)?;
            if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
                return Err(std::io::Error::other("it belongs to somebody else"));
            }
            [&shared, &runs]
                .into_iter()
                .try_for_each(|path| fs::set_permissions(path, fs::Permissions::from_mode(0o711)))
        })
        .map_err(|error| {
            Error::usage(format!("cannot use {}", shared.display()))
                .because(error)
                .hint("set TMPDIR to a folder that everybody may enter")
        })?;
    Ok(runs)
}
