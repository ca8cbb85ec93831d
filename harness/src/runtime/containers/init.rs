//! The first process of a container: this executable once more. It supervises the service as the
//! harness itself does on processes, takes the harness's orders, and buries orphans.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
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
pub(super) const POD: &str = "NOTAFTER_POD";
/// What to supervise, as JSON.
pub(super) const LAUNCH: &str = "launch.json";

/// In the first process of a container this never returns.
pub(super) fn dispatch() {
    // Its service inherits the environment.
    let Some(pod) = std::env::var_os(POD).filter(|_| std::env::var_os(PROGRAM).is_none()) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(init(Path::new(&pod))));
    let code = match ended {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&pod).display());
            70
        }
    };
    // Whatever still runs in the container ends with its first process.
    std::process::exit(code);
}

async fn init(pod: &Path) -> io::Result<()> {
    let launch: Launch = serde_json::from_slice(&fs::read(pod.join(LAUNCH))?)?;
    // The kernel ignores for a first process whatever it does not handle itself.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let children = signal(SignalKind::child())?;
    let line = control::connect(pod).await?;
    {
        use io::Write;
        writeln!(io::stdout(), "the pod of `{}` is up", launch.service)?;
    }

    let (supervisor, requests) = mpsc::channel(4);
    let (say, changes) = mpsc::unbounded_channel();
    let service = Arc::new(AtomicU32::new(0));
    tokio::spawn(bury(children, service.clone()));
    let supervised = tokio::spawn(supervise(launch, requests, move |change| {
        match change {
            ProcessChange::Spawned { pid, .. } => service.store(pid, Ordering::Relaxed),
            _ => service.store(0, Ordering::Relaxed),
        }
        // Nobody listens when the harness is gone.
        let _ = say.send(change);
    }));
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
    ended
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
