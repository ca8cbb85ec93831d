//! Walks files and folders, side by side, and decodes what could hold a certificate or a key.
//!
//! Nothing stops it: a folder that cannot be listed and a file that cannot be read are
//! [`Source`]s with a problem.

use std::{
    collections::HashSet,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    Source,
    decode::{Decoded, Decoder, Object, promising},
};

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// What holds certificates, keys or problems, by path.
    pub sources: Vec<Source>,
    /// How many files were looked at.
    pub files: u64,
}

/// No certificate store is larger; the bundle of all of Mozilla's roots has a quarter of a megabyte.
const LARGEST: u64 = 16 << 20;
/// What was asked for by its name may be all Secrets of a large cluster.
const LARGEST_ASKED: u64 = 256 << 20;
/// A file of another name that is larger holds something else, unless it is a manifest.
const LARGEST_OF_OTHER_NAME: u64 = 1 << 20;
const MANIFESTS: [&str; 3] = ["yaml", "yml", "json"];
/// What stdin is called as a place.
const STDIN: &str = "stdin";
/// What an API server is called as a place of what is in no object.
const API: &str = "api";
/// Not on any disk.
const NO_DISK: [&str; 3] = ["/proc", "/sys", "/dev"];
/// A worker takes so many files at a time.
const BATCH: usize = 64;

/// Looks at every file below these paths. Links to files are followed, links to folders are not,
/// unless they were asked for. Folders and links that begin with two dots are the generations of
/// a Secret volume, which its other links lead into, and are left out.
pub fn scan(paths: &[PathBuf], passwords: &[String]) -> Scanned {
    let mut walk = Walk::default();
    for path in paths {
        walk.enter(path);
    }
    let Walk { mut files, mut looked } = walk;
    // Byte by byte is quicker than part by part.
    files.sort_unstable_by(|one, other| one.path.as_os_str().cmp(other.path.as_os_str()));
    files.dedup_by(|one, other| one.path.as_os_str() == other.path.as_os_str());
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(files.len().div_ceil(BATCH));
    looked.extend(thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            let (mut decoder, mut buffer) = (Decoder::new(passwords), Vec::new());
            loop {
                let begin = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(batch) = files.get(begin..files.len().min(begin + BATCH)) else { return mine };
                if batch.is_empty() {
                    return mine;
                }
                mine.extend(batch.iter().filter_map(|file| look(file, &mut decoder, &mut buffer)));
            }
        };
        let handles: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for handle in handles {
            // `decode` catches what parsers do; nothing else here panics.
            all.extend(handle.join().unwrap_or_default());
        }
        all
    }));
    looked.sort_unstable_by(|one, other| one.at.cmp(&other.at));
    let mut seen = HashSet::new();
    // What lies there itself goes before links to it, so that a file has one place.
    for link in [false, true] {
        looked.retain(|one| one.link != link || one.inode.is_none_or(|inode| seen.insert(inode)));
    }
    let sources = looked.into_iter().flat_map(|looked| looked.sources).collect();
    Scanned { sources, files: files.len() as u64 }
}

/// The files that there are, before any is opened.
#[derive(Default)]
struct Walk {
    files: Vec<Named>,
    /// What is none, and should be.
    looked: Vec<Looked>,
}

/// A file by one of its names.
struct Named {
    path: PathBuf,
    link: bool,
    /// By itself, and not as part of a folder.
    asked: bool,
}

impl Walk {
    /// A path that was asked for, or found.
    fn enter(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.folder(path),
            Ok(meta) if meta.is_file() => {
                self.files.push(Named { path: path.to_owned(), link: path.is_symlink(), asked: true });
            }
            // A pipe, say, would wait for its other end.
            Ok(_) => self.looked.push(trouble(path, "neither a file nor a folder")),
            Err(error) => self.looked.push(trouble(path, &format!("cannot be looked at: {error}"))),
        }
    }

    fn folder(&mut self, path: &Path) {
        let mut waiting = vec![path.to_owned()];
        while let Some(folder) = waiting.pop() {
            if NO_DISK.iter().any(|other| folder.starts_with(other)) {
                continue;
            }
            let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => entries,
                Err(error) => {
                    self.looked.push(trouble(&folder, &format!("cannot be listed: {error}")));
                    continue;
                }
            };
            for entry in entries {
                if entry.file_name().as_encoded_bytes().starts_with(b"..") {
                    continue;
                }
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => waiting.push(path),
                    Ok(kind) if kind.is_file() => self.files.push(Named { path, link: false, asked: false }),
                    Ok(kind) if kind.is_symlink() => self.link(path),
                    _ => {}
                }
            }
        }
    }

    fn link(&mut self, path: PathBuf) {
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => self.files.push(Named { path, link: true, asked: false }),
            Err(error) if promising(&path.to_string_lossy()) => {
                self.looked.push(trouble(&path, &format!("a link that leads nowhere: {error}")));
            }
            _ => {}
        }
    }
}

/// A file that was looked at and holds something.
struct Looked {
    at: Arc<str>,
    sources: Vec<Source>,
    inode: Option<(u64, u64)>,
    link: bool,
}

fn look(file: &Named, decoder: &mut Decoder<'_>, buffer: &mut Vec<u8>) -> Option<Looked> {
    let at: Arc<str> = file.path.to_string_lossy().into();
    // Whoever asks for a file thinks that something is in it.
    let promised = file.asked || promising(&at);
    let meta = match read(file, promised, buffer) {
        Ok(meta) => meta?,
        Err(error) => return Some(trouble(&file.path, &format!("cannot be read: {error}"))),
    };
    let found = decoder.decode(buffer, promised);
    let mode = Some(meta.permissions().mode() & 0o7777);
    let sources = sources(&at, found, mode, |object| format!("{at}:{object}"));
    let inode = Some((meta.dev(), meta.ino()));
    (!sources.is_empty()).then_some(Looked { at, sources, inode, link: file.link })
}

/// A place and those inside of it, as far as there is something.
fn sources(
    at: &Arc<str>,
    mut found: Decoded,
    mode: Option<u32>,
    name: impl Fn(&Object) -> String,
) -> Vec<Source> {
    let inside = std::mem::take(&mut found.inside);
    let source = |at, found, object| Source { at, found, mode, object, ..Source::default() };
    // Most files have one place.
    let mut sources = Vec::with_capacity(inside.len() + 1);
    if found != Decoded::default() {
        sources.push(source(at.clone(), found, None));
    }
    sources
        .extend(inside.into_iter().map(|(object, found)| source(name(&object).into(), found, Some(object))));
    sources
}

/// Decodes what comes on stdin, from `kubectl get -o json`, say. Objects of Kubernetes go by their own names.
///
/// # Errors
/// If it cannot be read, or is larger than what is read of a file.
pub fn read_stdin(passwords: &[String]) -> io::Result<Scanned> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(LARGEST_ASKED + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_ASKED {
        return Err(io::Error::other(format!("more than {} MiB", LARGEST_ASKED >> 20)));
    }
    let found = Decoder::new(passwords).decode(&bytes, true);
    Ok(Scanned { sources: sources(&STDIN.into(), found, None, Object::to_string), files: 1 })
}

/// Decodes lists of objects of Kubernetes, each counted as a file. They go by their own names.
pub(super) fn objects(lists: &[String], passwords: &[String]) -> Scanned {
    let mut decoder = Decoder::new(passwords);
    let found = lists.iter().map(|list| decoder.decode(list.as_bytes(), false));
    let sources = found.flat_map(|found| sources(&API.into(), found, None, Object::to_string)).collect();
    Scanned { sources, files: lists.len() as u64 }
}

/// Reads a regular file into the buffer; none where it is something else, or holds something else.
fn read(file: &Named, promised: bool, buffer: &mut Vec<u8>) -> io::Result<Option<Metadata>> {
    let mut open = File::open(&file.path)?;
    let meta = open.metadata()?;
    let manifest = || file.path.extension().is_some_and(|is| MANIFESTS.iter().any(|known| is == *known));
    if !meta.is_file() || (!promised && meta.len() > LARGEST_OF_OTHER_NAME && !manifest()) {
        return Ok(None);
    }
    let largest = if file.asked { LARGEST_ASKED } else { LARGEST };
    if meta.len() > largest {
        return Err(io::Error::other(format!("{} MiB are more than any key store has", meta.len() >> 20)));
    }
    buffer.clear();
    // It may grow while it is read.
    Read::take(&mut open, largest).read_to_end(buffer)?;
    Ok(Some(meta))
}

fn trouble(path: &Path, words: &str) -> Looked {
    let at: Arc<str> = path.to_string_lossy().into();
    let found = Decoded { problems: vec![words.to_owned()], ..Decoded::default() };
    let source = Source { at: at.clone(), found, ..Source::default() };
    Looked { at, sources: vec![source], inode: None, link: false }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, time::Duration};

    use super::*;
    use crate::pki::{Authority, Identity, Validity};

    fn places(scanned: &Scanned, folder: &Path) -> Vec<String> {
        let under = |at: &str| at.strip_prefix(&*folder.to_string_lossy()).unwrap_or(at).to_owned();
        scanned.sources.iter().map(|source| under(&source.at)).collect()
    }

    fn mount(folder: &Path) {
        let authority = Authority::new("mesh").expect("an authority");
        let credential = authority.issue(&Identity::service("archive"), Validity::lasting(Duration::ZERO));
        credential.and_then(|credential| credential.write(folder)).expect("a mount");
    }

    #[test]
    fn a_mount_is_read_once_by_the_names_that_people_open() {
        let folder = tempfile::tempdir().expect("a folder");
        mount(&folder.path().join("archive"));
        let scanned = scan(&[folder.path().into()], &[]);
        let expected = ["/archive/ca.crt", "/archive/tls.crt", "/archive/tls.key"];
        assert_eq!(places(&scanned, folder.path()), expected);
        assert_eq!(scanned.files, 3);
        let [bundle, chain, key] = &scanned.sources[..] else { panic!("three files") };
        assert_eq!((bundle.found.certificates.len(), chain.found.certificates.len()), (1, 2));
        assert_eq!(key.found.keys, [Some(chain.found.certificates[0].key)]);
        assert_eq!((key.mode, chain.mode), (Some(0o600), Some(0o644)));
    }

    #[test]
    fn a_file_with_many_links_has_one_place() {
        let folder = tempfile::tempdir().expect("a folder");
        mount(folder.path());
        let file = folder.path().join("zz.pem");
        fs::copy(folder.path().join("ca.crt"), &file).expect("a copy");
        for link in ["a.0", "b.pem"] {
            symlink(&file, folder.path().join(link)).expect("a link");
        }
        let scanned = scan(&[folder.path().into(), file.clone()], &[]);
        assert_eq!(places(&scanned, folder.path()), ["/ca.crt", "/tls.crt", "/tls.key", "/zz.pem"]);
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_stops_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        mount(&folder.join("good"));
        fs::write(folder.join("broken.crt"), "-----BEGIN CERTIFICATE-----\nMIIB").expect("a file");
        fs::write(folder.join("empty.pem"), "").expect("a file");
        fs::write(folder.join("notes.txt"), "nothing of ours").expect("a file");
        fs::write(folder.join("photo"), [0x30, 0x82, 0xff, 0xff, 7]).expect("a file");
        symlink("nowhere", folder.join("gone.pem")).expect("a link");
        let scanned = scan(&[folder.into(), folder.join("never")], &[]);
        let problems: Vec<_> = scanned
            .sources
            .iter()
            .flat_map(|source| source.found.problems.iter().map(|words| format!("{}: {words}", source.at)))
            .map(|line| line.replace(&*folder.to_string_lossy(), ""))
            .collect();
        insta::assert_snapshot!(problems.join("\n"));
        assert_eq!(scanned.sources.iter().map(|source| source.found.certificates.len()).sum::<usize>(), 3);
    }
}
