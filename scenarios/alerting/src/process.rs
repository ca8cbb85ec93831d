//! Child processes that listen somewhere and die with the test, however it ends.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ExitCode, Stdio},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use notafter::{cli, suite::Suite};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::wait::until;

/// The environment variable that leashes this executable: its parent, and the program to become.
const LEASH: &str = "NOTAFTER_ALERTING_LEASH";
/// The program that this executable is itself.
pub const NOTAFTER: &str = "notafter";
/// Nothing of these takes longer to listen, on a starved machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that listens.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: PathBuf,
}

/// First line of a `main` whose processes these are. In one of them it gives the exit code, or never
/// returns; elsewhere it gives nothing.
pub fn dispatch() -> Option<ExitCode> {
    let leash = std::env::var(LEASH).ok()?;
    let (parent, program) = leash.split_once(' ')?;
    // The kernel kills it when its parent dies, also after it has become another program (prctl(2)).
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("cannot die with its parent: {error}");
        return Some(ExitCode::FAILURE);
    }
    if getppid().map(Pid::as_raw_nonzero).is_none_or(|pid| pid.to_string() != parent) {
        // It has died already.
        return Some(ExitCode::FAILURE);
    }
    if program == NOTAFTER {
        return Some(cli::main(Suite::default()));
    }
    let error = process::Command::new(program).args(std::env::args_os().skip(1)).env_remove(LEASH).exec();
    eprintln!("{program}: {error}");
    Some(ExitCode::FAILURE)
}

impl Process {
    /// Starts a program, and waits until it says where it listens: `mark` is what stands before the
    /// address in its log, `{name}.log` in the folder.
    ///
    /// # Errors
    /// If it cannot be started or ends, with its last words.
    pub async fn start(folder: &Path, program: &str, args: &[String], mark: &str) -> Result<Self, String> {
        let log = folder.join(format!("{program}.log"));
        let output = || File::create(&log).and_then(|file| Ok([file.try_clone()?, file]));
        let [out, err] = output().map_err(|error| format!("{}: {error}", log.display()))?;
        let mut child = Command::new("/proc/self/exe")
            .env(LEASH, format!("{} {program}", process::id()))
            .args(args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let address = until(PATIENCE, program, async || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if let Ok(Some(status)) = child.try_wait() {
                return Ok(Err(format!("{program} ended with {status}: {said}")));
            }
            let found = said.lines().find_map(|line| address(line.split_once(mark)?.1));
            found.map(Ok).ok_or(said)
        });
        let address = address.await??;
        Ok(Self { child, address, log })
    }

    /// One question, and its answer if its status is 200.
    ///
    /// # Errors
    /// If there is none.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        let asked = async {
            let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            // It ends with the sender.
            drop(tokio::spawn(connection));
            let request = Request::get(path).header("host", self.address.to_string());
            let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}")) }
        };
        let limited = tokio::time::timeout(PATIENCE, asked).await;
        let answered = limited.unwrap_or_else(|_| Err(format!("no answer in {PATIENCE:?}")));
        answered.map_err(|error| format!("GET {}{path}: {error}", self.address))
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| error.to_string())
    }

    /// Everything that it said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The address that a text begins with.
fn address(text: &str) -> Option<SocketAddr> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(text.len());
    // Port 0 is what it was asked for, not where it listens.
    text[..end].parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}
