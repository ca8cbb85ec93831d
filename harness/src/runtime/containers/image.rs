//! The image of our containers: the running executable and the libraries that it has loaded, and
//! nothing else. Nothing is pulled, and nothing is built that is there.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use futures_util::TryStreamExt;
use rustls::crypto::ring;
use testcontainers::bollard::{
    Docker, body_full, errors::Error as DockerError, query_parameters::CreateImageOptionsBuilder,
};
use tokio::{sync::Mutex, task::spawn_blocking};

use super::{elf, engine::IMAGE};
use crate::error::{Context, Error, Result};

/// The name of every image of ours; the tag is a hash of the content.
pub(super) const NAME: &str = "notafter/self";
/// Where this executable is in a container.
pub(super) const ENTRYPOINT: &str = "/notafter";
/// Bytes of the hash that make the tag.
const TAG_LENGTH: usize = 12;
/// Loaded by name, so never listed; part of libc itself since glibc 2.34.
const NAME_SERVICE: [&str; 3] = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];

/// A file as it is in the image.
pub(super) struct Packed {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Makes sure that the image of this executable is there. Gives its tag.
pub(super) async fn ready(docker: &Docker) -> Result<String> {
    // Two imports of the same at a time would leave one image without a name.
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;
    let (tag, files) = tag().await?;
    match docker.inspect_image(&format!("{NAME}:{tag}")).await {
        Ok(_) => return Ok(tag),
        Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(Error::new("cannot ask Docker for our image").because(error)),
    }
    let archive = blocking(move || archive(&files.map_or_else(contents, Ok)?)).await?;
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(NAME)
        .tag(&tag)
        .changes(vec![format!(r#"ENTRYPOINT ["{ENTRYPOINT}"]"#), format!("LABEL {IMAGE}=1")])
        .build();
    let import = docker.create_image(Some(options), Some(body_full(archive.into())), None);
    let imported: Result<Vec<_>, _> = import.try_collect().await;
    imported.context(|| format!("cannot import the image {NAME}:{tag} into Docker"))?;
    Ok(tag)
}

/// The tag of this executable, with the files if they had to be read for it.
pub(super) async fn tag() -> Result<(String, Option<Vec<Packed>>)> {
    // The executable that runs does not change, whatever lies at its path by now.
    static TAG: OnceLock<String> = OnceLock::new();
    if let Some(tag) = TAG.get() {
        return Ok((tag.clone(), None));
    }
    let (tag, files) = blocking(|| {
        let files = contents()?;
        Ok((digest(&files), files))
    })
    .await?;
    Ok((TAG.get_or_init(|| tag).clone(), Some(files)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|done| done).context(|| "cannot read the running executable for the image".into())
}

/// The executable, then its libraries.
fn contents() -> io::Result<Vec<Packed>> {
    let (bytes, interpreter) = elf::loaded(File::open("/proc/self/exe")?)?;
    let mut files = vec![Packed { path: ENTRYPOINT.into(), bytes }];
    let maps = fs::read_to_string("/proc/self/maps")?;
    for library in libraries(&maps) {
        let bytes = fs::read(&library)?;
        // The loader is asked for by the path that is written in the executable.
        let is_loader = interpreter
            .as_ref()
            .is_some_and(|interpreter| interpreter.canonicalize().is_ok_and(|path| path == library));
        let path = if is_loader { interpreter.clone().unwrap_or(library) } else { library };
        files.push(Packed { path, bytes });
    }
    let folder =
        files.iter().find(|file| is_named(&file.path, "libc.so")).and_then(|libc| libc.path.parent());
    for path in NAME_SERVICE.map(|name| folder.map(|folder| folder.join(name))).into_iter().flatten() {
        if let Ok(bytes) = fs::read(&path) {
            files.push(Packed { path, bytes });
        }
    }
    Ok(files)
}

/// The shared libraries in a `/proc/PID/maps`, each once.
fn libraries(maps: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn is_named(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

fn digest(files: &[Packed]) -> String {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3");
    let mut sha256 = suite.common.hash_provider.start();
    for file in files {
        sha256.update(file.path.as_os_str().as_encoded_bytes());
        sha256.update(&file.bytes.len().to_le_bytes());
        sha256.update(&file.bytes);
    }
    sha256.finish().as_ref()[..TAG_LENGTH].iter().fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"))
}

fn archive(files: &[Packed]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::with_capacity(64 << 20));
    let mut tmp = header(0o1777);
    tmp.set_entry_type(tar::EntryType::Directory);
    archive.append_data(&mut tmp, "tmp", io::empty())?;
    for Packed { path, bytes } in files {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let mut file = header(0o755);
        file.set_size(bytes.len() as u64);
        archive.append_data(&mut file, inside, bytes.as_slice())?;
        for link in links_to(path) {
            let mut link_header = header(0o777);
            link_header.set_entry_type(tar::EntryType::Symlink);
            let link = link.strip_prefix("/").unwrap_or(&link).to_owned();
            archive.append_link(&mut link_header, link, path)?;
        }
    }
    archive.into_inner()
}

fn header(mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(0);
    header
}

/// Links beside a library that lead to it: one of them may be the name by which it is asked for.
fn links_to(library: &Path) -> Vec<PathBuf> {
    let Some(folder) = library.parent().filter(|folder| *folder != Path::new("/")) else { return Vec::new() };
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .map(|entry| entry.path())
        .filter(|link| link.canonicalize().is_ok_and(|path| path == library))
        .collect()
}
