//! Supervises one service as a kubelet would: starts it, starts it again with backoff, stops it.
//!
//! The same code runs in the harness (runtime `processes`) and as the first process of a container.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    history::ProcessChange,
    service::{CONFIG, PROGRAM, RUN},
    system::Backoff,
};

/// How long a service may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// Name of the service, as a process list shows it.
    pub service: String,
    /// Which program of this executable to be.
    pub program: String,
    /// The run that it belongs to.
    pub run: String,
    /// Its configuration.
    pub config: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// How long to wait before it is started again.
    pub backoff: Backoff,
}

/// What a supervisor can be asked. Each is answered when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Start it, if it does not run; a backoff is cut short and forgotten.
    Start,
    /// End it with SIGTERM, then SIGKILL; it stays down.
    Stop,
    /// End it with SIGKILL; it is started again, as after any crash.
    Kill,
    /// End it with SIGKILL; it stays down.
    End,
    /// Stop it and start it at once.
    Restart,
    /// SIGHUP: read your credentials again.
    Reload,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// An order and where its answer goes.
pub type Request = (Order, oneshot::Sender<Result<(), String>>);

/// Supervises until the requests end; then the service is killed.
pub async fn supervise(
    launch: Launch,
    mut requests: mpsc::Receiver<Request>,
    mut changed: impl FnMut(ProcessChange),
) {
    let mut supervisor = Supervisor { launch, state: State::Down, starts: 0, wait: Duration::ZERO };
    loop {
        let request = match &mut supervisor.state {
            State::Down => requests.recv().await,
            State::Waiting(until) => {
                let until = (*until).into();
                tokio::select! {
                    request = requests.recv() => request,
                    () = tokio::time::sleep_until(until) => {
                        supervisor.spawn(&mut changed);
                        continue;
                    }
                }
            }
            State::Up(running) => tokio::select! {
                request = requests.recv() => request,
                status = running.child.wait() => {
                    supervisor.crashed(status.ok(), &mut changed);
                    continue;
                }
            },
        };
        let Some((order, answer)) = request else { break };
        let done = supervisor.obey(order, &mut changed).await;
        // Whoever asked may have given up waiting.
        let _ = answer.send(done);
    }
    supervisor.stop(Duration::ZERO, &mut changed).await;
}

struct Supervisor {
    launch: Launch,
    state: State,
    starts: u32,
    /// The last backoff; zero if it is forgotten.
    wait: Duration,
}

enum State {
    Down,
    Waiting(Instant),
    Up(Box<Running>),
}

struct Running {
    child: Child,
    /// Held open as long as the service may run; waiting for a child would close it.
    _lifeline: Option<ChildStdin>,
    since: Instant,
}

impl Supervisor {
    async fn obey(&mut self, order: Order, changed: &mut impl FnMut(ProcessChange)) -> Result<(), String> {
        match order {
            Order::Start => {
                self.wait = Duration::ZERO;
                if !matches!(self.state, State::Up(_)) {
                    self.spawn(changed);
                }
                self.must_run()
            }
            Order::Stop => {
                self.stop(GRACE, changed).await;
                Ok(())
            }
            Order::End => {
                self.stop(Duration::ZERO, changed).await;
                Ok(())
            }
            Order::Restart => {
                self.stop(GRACE, changed).await;
                self.wait = Duration::ZERO;
                self.spawn(changed);
                self.must_run()
            }
            Order::Kill => self.signal(Signal::KILL),
            Order::Reload => self.signal(Signal::HUP),
            Order::Pause => self.signal(Signal::STOP),
            Order::Resume => self.signal(Signal::CONT),
        }
    }

    fn spawn(&mut self, changed: &mut impl FnMut(ProcessChange)) {
        match self.launch.spawn() {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                changed(ProcessChange::Spawned { pid, restarts: self.starts });
                self.starts += 1;
                self.state = State::Up(Box::new(Running {
                    _lifeline: child.stdin.take(),
                    child,
                    since: Instant::now(),
                }));
            }
            Err(error) => {
                changed(ProcessChange::NotSpawned { error: error.to_string() });
                self.back_off(changed);
            }
        }
    }

    fn crashed(&mut self, status: Option<ExitStatus>, changed: &mut impl FnMut(ProcessChange)) {
        if let State::Up(running) = &self.state
            && running.since.elapsed() >= self.launch.backoff.reset_after.0
        {
            self.wait = Duration::ZERO;
        }
        self.state = State::Down;
        changed(self.launch.exited(status, false));
        self.back_off(changed);
    }

    fn back_off(&mut self, changed: &mut impl FnMut(ProcessChange)) {
        let Backoff { first, cap, .. } = self.launch.backoff;
        self.wait = if self.wait.is_zero() { first.0 } else { (self.wait * 2).min(cap.0) };
        let for_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        changed(ProcessChange::BackingOff { for_ms });
        self.state = State::Waiting(Instant::now() + self.wait);
    }

    async fn stop(&mut self, grace: Duration, changed: &mut impl FnMut(ProcessChange)) {
        let State::Up(mut running) = std::mem::replace(&mut self.state, State::Down) else { return };
        let pid = running.child.id();
        if !grace.is_zero() {
            // A paused process takes SIGTERM only after it goes on.
            for signal in [Signal::TERM, Signal::CONT] {
                send(pid, signal);
            }
        }
        let status = if let Ok(status) = timeout(grace, running.child.wait()).await {
            status
        } else {
            send(pid, Signal::KILL);
            running.child.wait().await
        };
        changed(self.launch.exited(status.ok(), true));
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        match &self.state {
            State::Up(running) if send(running.child.id(), signal) => Ok(()),
            _ => Err(format!("{} does not run", self.launch.service)),
        }
    }

    fn must_run(&self) -> Result<(), String> {
        match &self.state {
            State::Up(_) => Ok(()),
            _ => Err(format!("{} could not be started", self.launch.service)),
        }
    }
}

impl Launch {
    fn spawn(&self) -> std::io::Result<Child> {
        if !crate::multicall::ready() {
            return Err(std::io::Error::other(
                "this executable did not begin with notafter::multicall::dispatch, so it cannot be a service",
            ));
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        // Not `current_exe`: that is the name of a file which a rebuild may have replaced.
        let mut command = std::process::Command::new("/proc/self/exe");
        command
            .arg0(format!("notafter-{}", self.service))
            .env(RUN, &self.run)
            .env(PROGRAM, &self.program)
            .env(CONFIG, &self.config)
            // A pipe whose end tells the service that its supervisor is gone.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal is for the harness, which ends its services in order.
            .process_group(0);
        let mut command = Command::from(command);
        command.kill_on_drop(true).spawn()
    }

    fn exited(&self, status: Option<ExitStatus>, asked: bool) -> ProcessChange {
        ProcessChange::Exited {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            asked,
            last_words: last_line(&self.log).unwrap_or_default(),
        }
    }
}

fn send(pid: Option<u32>, signal: Signal) -> bool {
    pid.and_then(|pid| Pid::from_raw(pid.cast_signed())).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// The last line of a log, at most its last 2 KiB.
pub fn last_line(log: &std::path::Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2048))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    Some(tail.trim_end().lines().next_back()?.to_owned())
}
