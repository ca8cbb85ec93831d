//! Removes what is left of a run whose harness died, however it died.
//!
//! A guardian is this executable once more. It waits at a pipe: one byte means that the run ended by
//! itself; the end of the pipe means that the harness is gone. There are two, and the harness
//! replaces one that dies, so that killing a guardian first changes nothing.

use std::{
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    error::{Context, Result},
    run::RunFolder,
    runtime::existing,
};

/// The environment variable that makes this executable a guardian: the folder of its run.
const GUARDIAN: &str = "NOTAFTER_GUARDIAN";
/// How many guardians a run has.
const GUARDIANS: usize = 2;

/// Guards a run for as long as it is kept. Dropped without [`Guard::release`], as in a panic, the
/// guardians remove what the run made.
#[derive(Debug)]
pub struct Guard {
    posts: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Guard {
    /// Posts the guardians of a run.
    ///
    /// # Errors
    /// If none can be started.
    pub fn post(folder: &RunFolder) -> Result<Self> {
        let mut posts = Vec::new();
        for _ in 0..GUARDIANS {
            let first = Post::start(folder.path()).map_err(|error| {
                crate::error::Error::new("cannot start a guardian process").because(error)
            })?;
            let (release, released) = oneshot::channel();
            posts.push((release, tokio::spawn(keep(first, folder.path().to_owned(), released))));
        }
        Ok(Self { posts })
    }

    /// Ends the guardians without any removal: the run has given everything back itself.
    pub async fn release(self) {
        for (release, kept) in self.posts {
            let _ = release.send(());
            let _ = kept.await;
        }
    }
}

/// In a guardian's process this never returns.
pub(crate) fn dispatch() {
    let Some(folder) = std::env::var_os(GUARDIAN).map(PathBuf::from) else { return };
    let ended_by_itself = matches!(std::io::stdin().read(&mut [0]), Ok(1));
    if !ended_by_itself {
        let folder = RunFolder::open(&folder);
        clean_up(&folder);
        put_back(&folder);
    }
    std::process::exit(0);
}

/// The folders of runs that guardians watch over now.
pub(crate) fn watched() -> Vec<PathBuf> {
    crate::procfs::with_variable(GUARDIAN).into_iter().map(|(_, folder)| folder.into()).collect()
}

/// Removes every process, container, network and key of a run, and what it has in the cluster of another one. Idempotent.
///
/// Gives what could not be removed, in words.
pub fn clean_up(folder: &RunFolder) -> Vec<String> {
    crate::procfs::kill_run(folder.id());
    crate::procfs::kill_in(&folder.service(""));
    let mut left = Vec::new();
    if let Err(error) = crate::runtime::kubernetes::leave(folder) {
        left.push(error.to_string());
    }
    if let Err(error) = crate::runtime::containers::remove_run(folder.id()) {
        left.push(error.to_string());
    }
    if let Err(error) = folder.remove_secrets() {
        left.push(error.to_string());
    }
    left
}

/// Puts back what a run has changed in somebody's cluster. Where that does not work, its log says why, and
/// `heal` tries again.
fn put_back(folder: &RunFolder) {
    if !existing::is_left(folder) {
        return;
    }
    let put_back = tokio::runtime::Runtime::new()
        .context(|| "cannot start".into())
        .and_then(|runtime| runtime.block_on(existing::put_back(folder)));
    if let Err(error) = put_back {
        let _ = std::fs::write(folder.log("guardian"), format!("{error}\n"));
    }
}

struct Post {
    child: tokio::process::Child,
    pipe: Option<tokio::process::ChildStdin>,
}

impl Post {
    fn start(folder: &Path) -> std::io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("notafter-guardian")
            .env(GUARDIAN, folder)
            .stdin(Stdio::piped())
            // An open pipe to a reader would keep that reader waiting.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the terminal's whole job must not take the guardian with it.
            .process_group(0);
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }
}

/// Keeps one post manned until it is released.
async fn keep(mut post: Post, folder: PathBuf, mut released: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            release = &mut released => {
                let pipe = post.pipe.take().and_then(|pipe| pipe.into_owned_fd().ok());
                if let (Ok(()), Some(pipe)) = (release, pipe) {
                    let _ = std::fs::File::from(pipe).write_all(&[1]);
                }
                // The pipe is closed now: one that was not released cleans up, then ends.
                let _ = tokio::time::timeout(Duration::from_secs(10), post.child.wait()).await;
                return;
            }
            _ = post.child.wait() => {
                let Ok(next) = Post::start(&folder) else { return };
                post = next;
            }
        }
    }
}
