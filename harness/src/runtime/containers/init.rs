//! The first process of a container: this executable once more. It supervises the service as the
//! harness itself does on processes, takes the harness's orders, and buries orphans.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use super::control;
use crate::{
    history::ProcessChange,
    service::PROGRAM,
    supervise::{Launch, Order, supervise},
};

/// The environment variable that makes this executable the first process of a container: the folder
/// that holds [`LAUNCH`] and the socket.
pub(in crate::runtime) const POD: &str = "NOTAFTER_POD";
/// The environment variable that makes such a process end with its service, with the same exit code: somebody
/// else starts it again.
pub(in crate::runtime) const ONCE: &str = "NOTAFTER_POD_ONCE";
/// The environment variable that says which address this process has, where that is another one at each start;
/// and the file beside the socket that says so outside.
pub(in crate::runtime) const ADDRESS: &str = "NOTAFTER_POD_ADDRESS";
/// What to supervise, as JSON.
pub(in crate::runtime) const LAUNCH: &str = "launch.json";

/// In the first process of a container this never returns.
pub(super) fn dispatch() {
    // Its service inherits the environment.
    let Some(pod) = std::env::var_os(POD).filter(|_| std::env::var_os(PROGRAM).is_none()) else { return };
    let once = std::env::var_os(ONCE).is_some();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(init(Path::new(&pod), once)));
    let code = match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&pod).display());
            70
        }
    };
    // Whatever still runs in the container ends with its first process.
    std::process::exit(code);
}

/// Gives the exit code of the service, where that is the end.
async fn init(pod: &Path, once: bool) -> io::Result<i32> {
    let launch: Launch = serde_json::from_slice(&fs::read(pod.join(LAUNCH))?)?;
    // The kernel ignores for a first process whatever it does not handle itself.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let children = signal(SignalKind::child())?;
    if let Ok(address) = std::env::var(ADDRESS) {
        fs::write(pod.join(ADDRESS), address)?;
    }
    let line = control::connect(pod).await?;
    {
        use io::Write;
        writeln!(io::stdout(), "the pod of `{}` is up", launch.service)?;
    }

    let (supervisor, requests) = mpsc::channel(4);
    let (say, changes) = mpsc::unbounded_channel();
    let (service, code) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicI32::new(0)));
    tokio::spawn(bury(children, service.clone()));
    let (mut say, last) = (Some(say), code.clone());
    let supervised = tokio::spawn(supervise(launch, requests, move |change| {
        match change {
            ProcessChange::Spawned { pid, .. } => service.store(pid, Ordering::Relaxed),
            _ => service.store(0, Ordering::Relaxed),
        }
        let ended = code_of(&change);
        // Nobody listens when the harness is gone.
        let _ = say.as_ref().map(|say| say.send(change));
        if let Some(ended) = ended.filter(|_| once) {
            last.store(ended, Ordering::Relaxed);
            // Its last change. Whoever says it ends then.
            say = None;
        }
    }));
    if once {
        let (answer, _) = oneshot::channel();
        let _ = supervisor.send((Order::Start, answer)).await;
    }
    let told = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let (answer, done) = oneshot::channel();
        let _ = supervisor.send((Order::Stop, answer)).await;
        let _ = done.await;
    };
    let ended = tokio::select! {
        // First of the two, so that the last change is said.
        biased;
        ended = line.obey(&supervisor, changes) => ended,
        () = told => Ok(()),
    };
    drop(supervisor);
    supervised.await.map_err(io::Error::other)?;
    ended.map(|()| code.load(Ordering::Relaxed))
}

/// The code with which a shell would end, if this is an end: above 128 for a signal (POSIX, `sh`).
fn code_of(change: &ProcessChange) -> Option<i32> {
    match change {
        ProcessChange::Exited { code, signal, .. } => {
            Some(code.or(signal.map(|signal| 128 + signal)).unwrap_or_default())
        }
        ProcessChange::NotSpawned { .. } => Some(127),
        ProcessChange::Spawned { .. } | ProcessChange::BackingOff { .. } => None,
    }
}

/// Takes the status of every orphan that ends; that of the service is its supervisor's.
async fn bury(mut children: Signal, service: Arc<AtomicU32>) {
    while children.recv().await.is_some() {
        for pid in crate::procfs::zombies_of(std::process::id()) {
            if pid != service.load(Ordering::Relaxed) {
                let _ = waitpid(Pid::from_raw(pid.cast_signed()), WaitOptions::NOHANG);
            }
        }
    }
}
