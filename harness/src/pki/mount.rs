//! Folders that are replaced in one step, the way a kubelet writes a Secret volume.
//!
//! ```text
//! mount/..3f62c1d0a94be857/tls.crt tls.key ca.crt    one generation
//! mount/..data -> ..3f62c1d0a94be857                 which generation holds; replaced by a rename
//! mount/tls.crt -> ..data/tls.crt                    what people and programs open
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{PkiError, issuer, text};
use crate::service::{BUNDLE_FILE, CHAIN_FILE, CRL_FILE, KEY_FILE};

/// Points to the generation that holds.
const DATA: &str = "..data";
/// A link on its way to its place. The lock makes it one writer's.
const LINK: &str = "..link";
/// A reader is unlucky once in a while, not this often.
const ATTEMPTS: u32 = 64;
/// A writer is done within milliseconds, unless it was paused.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who may read a key.
const KEY_MODE: u32 = 0o600;

/// The files of a mount, byte for byte and sense or none; none where there is no such file. There is no
/// `Debug`: one of them is a key.
#[derive(Default)]
pub struct Files {
    /// What is in place of the chain.
    pub chain: Option<Vec<u8>>,
    /// What is in place of the key.
    pub key: Option<Vec<u8>>,
    /// What is in place of the bundle.
    pub bundle: Option<Vec<u8>>,
    /// What is in place of the revocation list.
    pub crl: Option<Vec<u8>>,
    /// The permissions of the key's file; 0600 if nothing is said.
    pub key_mode: Option<u32>,
}

/// How files take the place of others. A watcher that knows one of them misses the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// All at once: a new folder, and one link that is moved to it, as a kubelet does.
    #[default]
    Swap,
    /// One after another: each is written beside its place and moved there.
    Rename,
    /// One after another: each is written where it is, so that half of it can be read.
    InPlace,
}

/// What tells one content of a folder from another without reading it: which generation holds, and
/// which files are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the link of a mount leads; none in a plain folder.
    pub generation: Option<PathBuf>,
    files: [Option<(u64, u64, i64, i64)>; 4],
}

impl Mark {
    /// The mark of a folder as it is now.
    pub fn of(folder: &Path) -> Self {
        let file = |name| {
            let data = fs::metadata(folder.join(name)).ok()?;
            Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
        };
        Self {
            generation: fs::read_link(folder.join(DATA)).ok(),
            files: [CHAIN_FILE, KEY_FILE, BUNDLE_FILE, CRL_FILE].map(file),
        }
    }

    /// Whether there is a certificate at all.
    pub fn has_chain(&self) -> bool {
        self.files[0].is_some()
    }
}

/// Writes files into a folder, in any manner. What there is no file for stays as it is, but for
/// [`Manner::Swap`], which leaves nothing of what was there before.
///
/// # Errors
/// If the folder cannot be written, or another process has been writing to it for seconds.
pub fn write_files(folder: &Path, files: &Files, manner: Manner) -> Result<(), PkiError> {
    let held = Held::hold(folder)?;
    if manner == Manner::Swap {
        return held.replace(files);
    }
    // What people call the file is a link into the generation that holds.
    let place = generation(folder)?.map_or_else(|| folder.to_path_buf(), |name| folder.join(name));
    for (name, bytes, mode) in files.all() {
        let Some(bytes) = bytes else { continue };
        let path = place.join(name);
        let target = if manner == Manner::Rename { place.join(format!("{name}.new")) } else { path.clone() };
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&target);
        let written = opened.and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(bytes)
        });
        let moved = written.and_then(|()| if target == path { Ok(()) } else { fs::rename(&target, &path) });
        moved.map_err(PkiError::io(&folder.join(name), "write"))?;
    }
    Ok(())
}

impl Files {
    fn whole(&self) -> bool {
        self.chain.is_some() && self.key.is_some() && self.bundle.is_some()
    }

    /// Name, contents and permissions of each.
    fn all(&self) -> [(&'static str, Option<&[u8]>, u32); 4] {
        [
            (CHAIN_FILE, self.chain.as_deref(), 0o644),
            (KEY_FILE, self.key.as_deref(), self.key_mode.unwrap_or(KEY_MODE)),
            (BUNDLE_FILE, self.bundle.as_deref(), 0o644),
            (CRL_FILE, self.crl.as_deref(), 0o644),
        ]
    }
}

/// Reads all files of one generation, or of a plain folder.
pub(crate) fn read(folder: &Path) -> Result<Files, PkiError> {
    for _ in 0..ATTEMPTS {
        let before = generation(folder)?;
        let source = before.as_ref().map_or_else(|| folder.to_path_buf(), |name| folder.join(name));
        let files = Files {
            chain: read_file(&source.join(CHAIN_FILE))?,
            key: read_file(&source.join(KEY_FILE))?,
            bundle: read_file(&source.join(BUNDLE_FILE))?,
            crl: read_file(&source.join(CRL_FILE))?,
            key_mode: None,
        };
        // A whole generation is one, even if another has followed. If files are missing it may
        // have been removed meanwhile, and a plain folder may have become a mount.
        if (before.is_some() && files.whole()) || generation(folder)? == before {
            return Ok(files);
        }
    }
    Err(PkiError::Unsettled { folder: folder.into(), attempts: ATTEMPTS })
}

/// A folder that nobody else writes to as long as this lives.
///
/// The lock is the operating system's, on the folder itself, and ends with the process at the
/// latest. Readers need none.
pub(super) struct Held<'a> {
    folder: &'a Path,
    _lock: File,
}

impl<'a> Held<'a> {
    /// Makes the folder if need be, and waits for another writer to finish, for two seconds at most.
    pub fn hold(folder: &'a Path) -> Result<Self, PkiError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(PkiError::io(folder, "make the folder"))?;
        let lock = File::open(folder).map_err(PkiError::io(folder, "open the folder"))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { folder, _lock: lock }),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(PkiError::Held { folder: folder.into(), seconds: PATIENCE.as_secs() });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(PkiError::io(folder, "lock the folder")(error));
                }
            }
        }
    }

    /// Replaces all files in one step, and removes the generation that held before.
    pub fn replace(&self, files: &Files) -> Result<(), PkiError> {
        let before = generation(self.folder)?;
        self.sweep(before.as_deref())?;
        let fresh = PathBuf::from(format!("..{}", text::hex(issuer::serial()?.as_ref())));
        let path = self.folder.join(&fresh);
        if let Err(error) = self.lay_out(&path, files).and_then(|()| self.link(DATA, &fresh)) {
            // A full disk, say: leave nothing behind but what was there.
            let _ = fs::remove_dir_all(&path);
            return Err(error);
        }
        self.show(CHAIN_FILE, files.chain.is_some())?;
        self.show(KEY_FILE, files.key.is_some())?;
        self.show(BUNDLE_FILE, files.bundle.is_some())?;
        self.show(CRL_FILE, files.crl.is_some())?;
        self.sweep(Some(&fresh))
    }

    /// Removes what writers that were interrupted have left behind. Names that begin with two dots
    /// are the mount's own.
    fn sweep(&self, keep: Option<&Path>) -> Result<(), PkiError> {
        let listed = fs::read_dir(self.folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in listed.map_err(PkiError::io(self.folder, "list the folder"))? {
            let name = entry.file_name();
            let ours = name.as_encoded_bytes().starts_with(b"..");
            if !ours || name == DATA || keep.is_some_and(|keep| keep == name) {
                continue;
            }
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(PkiError::io(&path, "remove an old generation"))?;
        }
        Ok(())
    }

    /// Writes a generation that nobody looks at yet.
    fn lay_out(&self, path: &Path, files: &Files) -> Result<(), PkiError> {
        let made = DirBuilder::new().mode(0o700).create(path);
        made.map_err(PkiError::io(path, "make a generation"))?;
        for (name, bytes, mode) in files.all() {
            let Some(bytes) = bytes else { continue };
            let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path.join(name));
            let written = opened.and_then(|mut file| file.write_all(bytes));
            written.map_err(PkiError::io(&self.folder.join(name), "write"))?;
        }
        Ok(())
    }

    /// Lets a name at the top lead into the generation that holds, or removes it.
    fn show(&self, name: &str, exists: bool) -> Result<(), PkiError> {
        let path = self.folder.join(name);
        let target = Path::new(DATA).join(name);
        if exists {
            let right = fs::read_link(&path).is_ok_and(|current| current == target);
            return if right { Ok(()) } else { self.link(name, &target) };
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(PkiError::io(&path, "remove")(error)),
            _ => Ok(()),
        }
    }

    /// Makes a link, or replaces what has its name, in one step.
    fn link(&self, name: &str, target: &Path) -> Result<(), PkiError> {
        let path = self.folder.join(name);
        let waiting = self.folder.join(LINK);
        let linked = symlink(target, &waiting).and_then(|()| fs::rename(&waiting, &path));
        linked.map_err(PkiError::io(&path, "replace the link"))
    }
}

/// The name of the generation that holds; none in a plain folder.
fn generation(folder: &Path) -> Result<Option<PathBuf>, PkiError> {
    let path = folder.join(DATA);
    match fs::read_link(&path) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PkiError::io(&path, "follow the link")(error)),
    }
}

fn read_file(path: &Path) -> Result<Option<Vec<u8>>, PkiError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PkiError::io(path, "read")(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn files(text: &str) -> Files {
        let bytes = Some(text.as_bytes().to_vec());
        Files { chain: bytes.clone(), key: bytes.clone(), bundle: bytes, ..Files::default() }
    }

    fn replace(folder: &Path, text: &str) {
        Held::hold(folder).and_then(|held| held.replace(&files(text))).expect("a new generation");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_mount_looks_like_a_secret_volume_and_keeps_its_key_private() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("services/archive/mesh");
        replace(&folder, "one");
        replace(&folder, "two");
        let data = fs::read_link(folder.join(DATA)).expect("a link");
        let mut expected = vec![DATA, data.to_str().expect("text"), BUNDLE_FILE, CHAIN_FILE, KEY_FILE];
        expected.sort_unstable();
        assert_eq!(names(&folder), expected, "one generation, the links, nothing else");
        assert_eq!(names(&folder.join(&data)), [BUNDLE_FILE, CHAIN_FILE, KEY_FILE]);
        for name in [CHAIN_FILE, KEY_FILE, BUNDLE_FILE] {
            assert_eq!(fs::read_link(folder.join(name)).expect("a link"), Path::new(DATA).join(name));
            assert_eq!(fs::read_to_string(folder.join(name)).expect("a file"), "two");
        }
        assert_eq!(mode(&folder.join(&data).join(KEY_FILE)), 0o600);
        assert_eq!(mode(&folder.join(&data)), 0o700);
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn every_manner_of_writing_is_read_and_leaves_another_mark() {
        let parent = tempfile::tempdir().expect("a folder");
        for (place, begins_as) in [("mount", Manner::Swap), ("plain", Manner::Rename)] {
            let folder = &parent.path().join(place);
            write_files(folder, &files("zero"), begins_as).expect("written");
            for manner in [Manner::InPlace, Manner::Rename, Manner::InPlace, Manner::Swap] {
                let before = Mark::of(folder);
                let text = format!("{manner:?}");
                write_files(folder, &files(&text), manner).expect("written");
                assert_ne!(Mark::of(folder), before, "{place} {manner:?}");
                let same_link = Mark::of(folder).generation == before.generation;
                assert_eq!(same_link, manner != Manner::Swap, "{place} {manner:?}");
                let read = read(folder).expect("files");
                assert!(read.whole() && read.key.as_deref() == Some(text.as_bytes()), "{place} {manner:?}");
                assert_eq!(mode(&fs::canonicalize(folder.join(KEY_FILE)).expect("a key")), 0o600);
            }
        }
    }

    #[test]
    fn a_file_that_is_not_given_stays_unless_everything_is_swapped() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        replace(folder, "one");
        let half = || Files { chain: Some(b"two".to_vec()), ..Files::default() };
        write_files(folder, &half(), Manner::InPlace).expect("written");
        let torn = read(folder).expect("files");
        assert_eq!((torn.chain.as_deref(), torn.key.as_deref()), (Some(&b"two"[..]), Some(&b"one"[..])));
        write_files(folder, &half(), Manner::Swap).expect("written");
        assert!(!read(folder).expect("files").whole());
    }

    #[test]
    fn what_an_interrupted_write_left_is_gone_after_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        replace(folder, "one");
        fs::create_dir(folder.join("..0123456789abcdef")).expect("a generation");
        fs::write(folder.join("..0123456789abcdef").join(KEY_FILE), "half").expect("half of a key");
        symlink("..0123456789abcdef", folder.join(LINK)).expect("a link");
        replace(folder, "two");
        let data = fs::read_link(folder.join(DATA)).expect("a link");
        let left: Vec<_> = names(folder).into_iter().filter(|name| name.starts_with("..")).collect();
        let mut expected = [DATA, data.to_str().expect("text")];
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_plain_folder_becomes_a_mount() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(CHAIN_FILE), "plain").expect("a file");
        replace(folder.path(), "one");
        let read = read(folder.path()).expect("files");
        assert_eq!(read.chain.as_deref(), Some(&b"one"[..]));
        assert!(read.whole());
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_installed() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        replace(folder, "one");
        // Something in the way of the last step.
        fs::create_dir_all(folder.join(LINK).join("full")).expect("a folder");
        let held = Held::hold(folder).expect("a held folder");
        let path = folder.join("..fresh");
        let linked = held.lay_out(&path, &files("two")).and_then(|()| held.link(DATA, Path::new("..fresh")));
        assert!(matches!(linked, Err(PkiError::Io { action: "replace the link", .. })));
        assert_eq!(read(folder).expect("files").key.as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn a_second_writer_waits_its_turn_and_says_whom_it_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = Held::hold(folder.path()).expect("a held folder");
        let error = Held::hold(folder.path()).err().expect("it is held").to_string();
        assert!(error.contains("another process has been writing to it for 2 s"), "{error}");
        drop(held);
        Held::hold(folder.path()).expect("it is free");
    }

    /// Two writers replace without a pause while readers read: in two ways, through one resolved
    /// generation by hand, and by [`read`].
    #[test]
    fn readers_see_all_of_the_old_or_all_of_the_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        replace(folder, "first");
        let done = AtomicBool::new(false);
        let whole = |files: &Files| {
            assert!(files.whole(), "a file is missing");
            assert!(files.chain == files.key && files.key == files.bundle, "two generations in one");
        };
        thread::scope(|scope| {
            let writers = ["a", "b"].map(|letter| {
                scope.spawn(move || {
                    for round in 0..300 {
                        // Long enough that a torn write would show.
                        replace(folder, &format!("{letter} {round} ").repeat(2000));
                    }
                })
            });
            let by_hand = scope.spawn(|| {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    let source = folder.join(fs::read_link(folder.join(DATA)).expect("always a generation"));
                    let one = |name: &str| read_file(&source.join(name)).expect("readable");
                    let files = Files {
                        chain: one(CHAIN_FILE),
                        key: one(KEY_FILE),
                        bundle: one(BUNDLE_FILE),
                        ..Files::default()
                    };
                    // A generation that vanished half-way is the reader's to notice, not to mix.
                    if files.whole() {
                        whole(&files);
                        seen += 1;
                    }
                }
                seen
            });
            let by_read = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    whole(&read(folder).expect("a settled generation"));
                }
            });
            for writer in writers {
                writer.join().expect("a writer");
            }
            done.store(true, Ordering::Relaxed);
            by_read.join().expect("a reader");
            assert!(by_hand.join().expect("a reader") > 0, "the reader saw whole generations");
        });
    }
}
