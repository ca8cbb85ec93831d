//! Where the program of a server is, which version it has, and as whom it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::Server;
use crate::{
    error::{Error, Result},
    runtime::containers::foreign::{Image, Task},
};

/// Where systems keep daemons, whatever `PATH` says.
const DAEMONS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// How long a program may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);
/// The version of a program that cannot say it.
const UNKNOWN: &str = "of unknown version";

/// Finds a program in the `PATH` of an image, says where, and becomes it.
const FIND: &str = r#"path=$(command -v "$0") && echo "$path" && exec "$path" "$@" 2>&1"#;

/// The program of a server, on this machine or in an image.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file, or a link to it: some are told by their name what to be.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
    /// User and group as whom it must run; none if as we do.
    pub(super) user: Option<(u32, u32)>,
    /// The image that it is in; none if it is on this machine.
    pub(super) image: Option<Image>,
}

impl Program {
    /// Finds the program of a server.
    ///
    /// # Errors
    /// If it is not installed, does not say its version, or there is nobody to run it as.
    pub async fn find(server: &Server) -> Result<Self> {
        if let Some(image) = server.image {
            return Self::find_in(Image::find(image).await?, server).await;
        }
        let path = Self::file(server)?;
        let user = other_user(server)?;
        if server.version.is_empty() {
            return Ok(Self { path, version: UNKNOWN.into(), user, image: None });
        }
        let asked = tokio::process::Command::new(&path)
            .args(server.version)
            // Without those that are about an instance.
            .envs(server.environment.iter().filter(|(_, value)| !value.contains('{')).copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let said = tokio::time::timeout(LIMIT, asked)
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| Error::missing(format!("{} does not say its version", path.display())))?;
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let version = said.lines().next().unwrap_or_default().trim().to_owned();
        Ok(Self { path, version, user, image: None })
    }

    /// Finds the program of a server in an image, where a shell looks for it. Some images have nothing but the
    /// server: there its version is asked for, and nobody knows where it is.
    async fn find_in(image: Image, server: &Server) -> Result<Self> {
        let user = other_user(server)?;
        let fixed = server.environment.iter().filter(|(_, value)| !value.contains('{'));
        let environment: Vec<_> =
            fixed.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let asked = |by: &[&str]| Task {
            run: "version",
            home: None,
            user: user.unwrap_or_else(ours),
            command: [by, &[server.program], server.version].concat().into_iter().map(Into::into).collect(),
            environment: environment.clone(),
        };
        let absent = || {
            Error::missing(format!("there is no `{}` in the image {}", server.program, image.name()))
                .hint("`program` is a name in the PATH of the image, or an absolute path")
        };
        let (path, version) = if server.version.is_empty() {
            (server.program.into(), UNKNOWN.into())
        } else if let Ok((_, said)) = image.run(&asked(&["sh", "-c", FIND]), LIMIT).await {
            let mut lines = said.lines().map(str::trim);
            let path = lines.next().filter(|line| line.starts_with('/')).ok_or_else(absent)?;
            (path.into(), lines.next().unwrap_or_default().to_owned())
        } else {
            let said = image.run(&asked(&[]), LIMIT).await.map_err(|error| absent().because(error))?.1;
            (server.program.into(), said.lines().next().unwrap_or_default().trim().to_owned())
        };
        Ok(Self { path, version, user, image: Some(image) })
    }

    /// The file of the program of a server, by looking for it alone.
    ///
    /// # Errors
    /// If it is not installed, with what to install.
    pub fn file(server: &Server) -> Result<PathBuf> {
        let path = folders(server).map(|folder| folder.join(server.program)).find(|path| path.is_file());
        path.ok_or_else(|| {
            let hint = match server.package {
                Some(package) => format!("on Debian: apt-get install {package}"),
                None => "`program` is a name in PATH, or an absolute path".into(),
            };
            Error::missing(format!("`{}` is not installed: no `{}` in PATH", server.name, server.program))
                .hint(hint)
        })
    }

    /// Whether it cannot run as whoever we are.
    pub(crate) fn needs_other_user(&self) -> bool {
        self.user.is_some()
    }

    /// As whom it runs, be it as we do.
    pub(super) fn user_or_ours(&self) -> (u32, u32) {
        self.user.unwrap_or_else(ours)
    }

    /// The folder that it is in, with its helpers.
    pub(super) fn folder(&self) -> PathBuf {
        let here = self.image.is_none();
        let file = here.then(|| self.path.canonicalize().ok()).flatten().unwrap_or_else(|| self.path.clone());
        file.parent().unwrap_or(Path::new("/")).to_owned()
    }
}

/// As whom a server must run, if not as we do.
fn other_user(server: &Server) -> Result<Option<(u32, u32)>> {
    if !server.unprivileged || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let nobody =
        || Error::missing(format!("{} refuses to run as root, and there is no other user", server.name));
    user().ok_or_else(nobody).map(Some)
}

fn ours() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// Where it may be: the newest of several versions first, then a folder of its own, then `PATH`.
fn folders(server: &Server) -> impl Iterator<Item = PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = server
        .apart
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let apart = server.apart.map(|folder| Path::new(folder).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = versions.into_iter().map(|(_, folder)| folder);
    versions.chain(apart).chain(path).chain(DAEMONS.map(PathBuf::from))
}

/// User and group of somebody without privileges: `passwd(5)`.
fn user() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("nobody")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Kind, profile::Protocol};

    #[tokio::test]
    async fn a_server_that_is_not_installed_is_missing_and_says_what_to_install() {
        let server = Server {
            name: "nothing",
            image: None,
            program: "notafter-no-such-program",
            apart: Some("/nowhere"),
            package: Some("nothing-server"),
            version: &[],
            environment: &[],
            files: &[],
            prepare: &[],
            command: &[],
            chain_file: "tls.crt",
            key_file: "tls.key",
            revocation: None,
            unprivileged: false,
            at_once: 1,
            protocol: Protocol::Redis,
            ways: &[],
        };
        let error = Program::find(&server).await.expect_err("it is not there");
        assert_eq!(error.kind(), Kind::Missing);
        let said = error.to_string();
        assert!(said.contains("hint: on Debian: apt-get install nothing-server"), "{said}");
    }
}
