//! One server that runs: a folder, a process, an address.
//!
//! It is no [`crate::runtime::Cluster`]: the supervisor starts this very executable with the
//! configuration of our own services, and starts it again when it exits. Here the program is somebody
//! else's, its configuration is its own, and that it exits is an answer.

use std::{
    fs::{self, File, OpenOptions},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{process::Command, time::timeout};

use super::{
    Client, Denial, Server, Signal, Way, program::Program, running::Running, socket, telling::telling,
};
use crate::{
    error::{Context, Error, Result},
    leash,
    pki::Credential,
    procfs,
    runtime::containers::foreign::{Image, Task},
    service::{BUNDLE_FILE, HEALTH_PORT, PEER_PORT, RUN},
    words,
};

/// How long a server may take until it serves: eight virtual machines of Erlang that start at once on two
/// cores took 29 s.
const READY: Duration = Duration::from_mins(1);
/// How long a command of its own may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long preparations may take: eight databases that were laid out at once on a machine with a load of 15
/// took more than 30 s.
const PREPARED: Duration = Duration::from_mins(2);

/// What an instance is given.
pub(crate) struct Place<'l> {
    /// Its folder; made here.
    pub home: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// The run that it belongs to.
    pub run: &'l str,
    /// Its lists of revoked certificates, PEM.
    pub lists: Option<String>,
    /// Where it is a service of a system: what stands for what, beyond [`Server`]. It dies with us then, and
    /// its folder outlives both.
    pub service: Option<Vec<(String, String)>>,
}

/// One server that runs, or has ended by itself. Dropped, it is killed with all that it started, and
/// its folder is removed.
pub(crate) struct Instance<'l> {
    pub server: &'l Server,
    pub address: SocketAddr,
    program: &'l Program,
    run: &'l str,
    home: PathBuf,
    lists: bool,
    service: Option<Vec<(String, String)>>,
    installed: Files,
    running: Option<Running>,
}

/// The files of a credential, as they lie there.
#[derive(Clone, Default)]
pub(crate) struct Files {
    pub chain: String,
    pub key: String,
    pub bundle: String,
}

impl Files {
    /// Those of a credential, and whom to trust.
    pub fn of(credential: &Credential, bundle: &str) -> Self {
        Self { chain: credential.chain_pem().into(), key: credential.key_pem().into(), bundle: bundle.into() }
    }
}

impl<'l> Instance<'l> {
    /// Lays everything out and starts it; it may not be ready yet.
    pub async fn start(
        server: &'l Server,
        program: &'l Program,
        place: Place<'l>,
        files: Files,
    ) -> Result<Self> {
        let Place { home, address, run, lists, service } = place;
        let mut instance = Self {
            server,
            address,
            program,
            run,
            home,
            lists: lists.is_some(),
            service,
            installed: Files::default(),
            running: None,
        };
        instance.make_folder(&instance.home)?;
        instance.make_folder(&instance.credentials())?;
        if let Some(lists) = lists {
            instance.write(&instance.credentials().join(LISTS), &lists)?;
        }
        instance.install(files)?;
        for (name, text) in server.files {
            instance.write(&instance.home.join(name), &instance.fill(text))?;
        }
        if let [command, arguments @ ..] = server.prepare
            && !instance.home.join("data").exists()
        {
            instance.run(command, arguments, "prepare.log", PREPARED).await?;
        }
        instance.spawn().await?;
        Ok(instance)
    }

    /// Replaces the files of its credential, each with a rename.
    pub fn install(&mut self, files: Files) -> Result<()> {
        let folder = self.credentials();
        let Server { chain_file, key_file, .. } = self.server;
        for (name, text) in
            [(*chain_file, &files.chain), (*key_file, &files.key), (BUNDLE_FILE, &files.bundle)]
        {
            self.write(&folder.join(name), text)?;
        }
        self.installed = files;
        Ok(())
    }

    /// Tells it to use what was replaced. Gives what it answered, if it answers.
    ///
    /// # Errors
    /// If it refuses, or is not there any more.
    pub async fn reload(&mut self, way: &Way) -> Result<String> {
        match way {
            Way::Signal(signal) => self.signal(*signal).await,
            Way::Say { socket, commands, .. } => self.say(socket, commands).await,
            Way::Run { command, .. } => {
                let [command, arguments @ ..] = *command else { return Ok(String::new()) };
                self.run(command, arguments, "reload.log", ANSWER).await.map(|said| self.brief(said.trim()))
            }
            Way::Restart => {
                self.stop().await;
                self.spawn().await?;
                Ok(String::new())
            }
        }
    }

    /// Waits until a client is served. Gives how long that took.
    ///
    /// # Errors
    /// That it has ended, or does not serve, with its last words.
    pub async fn ready(&mut self, client: &Client) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let answer = client.once(self.address, self.server.protocol).await.answer;
            let denial = match answer {
                Ok(_) if self.listens().await => return Ok(began.elapsed()),
                Ok(_) => "it still starts".into(),
                Err(denial) => denial.to_string(),
            };
            let last = self.last_words();
            if let Some(ended) = self.ended() {
                return Err(Error::new(format!("{} {ended}: {last}", self.server.name)));
            }
            if began.elapsed() > READY {
                let limit = READY.as_secs();
                return Err(Error::new(format!(
                    "{} does not serve in {limit} s: {denial}; its last words: {last}",
                    self.server.name
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it can be told to reload: it may serve before that.
    async fn listens(&self) -> bool {
        for way in self.server.ways {
            if let Way::Say { socket, .. } = way
                && socket::connect(&self.home, socket).await.is_err()
            {
                return false;
            }
        }
        true
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        self.running.as_mut()?.ended()
    }

    /// How much it has said so far: a mark for [`Self::said_since`].
    pub fn mark(&self) -> usize {
        fs::metadata(self.log()).map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(usize::MAX))
    }

    /// The line that it said since a mark and that tells most about TLS; it has a moment to say it.
    pub async fn said_since(&self, mark: usize) -> Option<String> {
        for _ in 0..15 {
            let said = fs::read(self.log()).unwrap_or_default();
            let said = String::from_utf8_lossy(said.get(mark..).unwrap_or_default()).into_owned();
            if let Some(line) = telling(&said) {
                return Some(self.brief(line));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// The last line that tells something.
    pub fn last_words(&self) -> String {
        let said = fs::read(self.log()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let line = telling(&said).or_else(|| said.trim_end().lines().next_back());
        line.map_or_else(|| "it said nothing".into(), |line| self.brief(line))
    }

    /// Without what differs from machine to machine.
    fn brief(&self, line: &str) -> String {
        words::brief(&line.replace(&*self.home.to_string_lossy(), "..."), 200)
    }

    async fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.context(|| format!("cannot write {}", self.log().display()))?;
        let arguments = self.server.command.iter().map(|argument| self.fill(argument));
        let program = &self.program.path;
        self.running = Some(if let Some(image) = &self.program.image {
            Running::Container(image.start(&self.task(program, arguments), log).await?)
        } else {
            let child = self.command(program, arguments, &log)?.spawn();
            let mut child = child.context(|| format!("cannot start {}", program.display()))?;
            // Taken, because waiting for a child closes it.
            Running::Process { leash: child.stdin.take(), child }
        });
        Ok(())
    }

    /// Runs a command of its own to its end. Gives what it said.
    async fn run(
        &self,
        command: &str,
        arguments: &[&str],
        log_name: &str,
        limit: Duration,
    ) -> Result<String> {
        let path = PathBuf::from(self.fill(command));
        let arguments = arguments.iter().map(|argument| self.fill(argument));
        let (ended, said) = match &self.program.image {
            Some(image) => self.run_in(image, &path, arguments, limit).await?,
            None => self.run_here(&path, arguments, log_name, limit).await?,
        };
        if ended {
            return Ok(said);
        }
        let last = said.trim_end().lines().next_back().unwrap_or("it said nothing");
        Err(Error::new(format!("{} fails: {}", path.display(), self.brief(last))))
    }

    /// Whether a command ended well, and what it said.
    async fn run_here(
        &self,
        path: &Path,
        arguments: impl Iterator<Item = String>,
        log_name: &str,
        limit: Duration,
    ) -> Result<(bool, String)> {
        let log_path = self.home.join(log_name);
        let log = File::create(&log_path);
        let log = log.context(|| format!("cannot write in {}", self.home.display()))?;
        let child = self.command(path, arguments, &log)?.spawn();
        let mut child = child.context(|| format!("cannot start {}", path.display()))?;
        let _leash = child.stdin.take();
        let ended = timeout(limit, child.wait()).await;
        let said = fs::read(&log_path).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        if let Ok(status) = ended {
            return Ok((status.is_ok_and(|status| status.success()), said));
        }
        let last = said.trim_end().lines().next_back().unwrap_or("it said nothing");
        let (path, limit, last) = (path.display(), limit.as_secs(), self.brief(last));
        Err(Error::new(format!("{path} does not end in {limit} s: {last}")))
    }

    /// The same in the container in which the server runs, or in one of its own while it does not.
    async fn run_in(
        &self,
        image: &Image,
        path: &Path,
        arguments: impl Iterator<Item = String>,
        limit: Duration,
    ) -> Result<(bool, String)> {
        let task = self.task(path, arguments);
        let (code, said) = match &self.running {
            Some(Running::Container(container)) => container.run(&task.command, limit).await?,
            _ => image.run(&task, limit).await?,
        };
        Ok((code == 0, said))
    }

    /// A command as a container runs it.
    fn task(&self, program: &Path, arguments: impl Iterator<Item = String>) -> Task<'_> {
        let program = std::iter::once(program.display().to_string());
        let (run, environment) = ((RUN.to_owned(), self.run.to_owned()), self.server.environment.iter());
        let environment = environment.map(|(name, value)| ((*name).to_owned(), self.fill(value)));
        Task {
            run: self.run,
            home: Some(&self.home),
            user: self.program.user_or_ours(),
            command: program.chain(arguments.filter(|argument| !argument.is_empty())).collect(),
            environment: std::iter::once(run).chain(environment).collect(),
        }
    }

    fn command(
        &self,
        program: &Path,
        arguments: impl Iterator<Item = String>,
        log: &File,
    ) -> Result<Command> {
        let copy = || log.try_clone().context(|| "cannot share a log".into());
        let mut command = match (&self.service, self.program.user) {
            (None, _) => {
                let mut command = std::process::Command::new(program);
                command.env(RUN, self.run).stdin(Stdio::null());
                command
            }
            (Some(_), None) => leash::command(self.run, program),
            // Nobody else gets through to the folder of a run: it stays who we are, and sees itself as another.
            (Some(_), Some((user, group))) => {
                let mut command = leash::command(self.run, Path::new("unshare"));
                command.args([
                    "--user",
                    &format!("--map-user={user}"),
                    &format!("--map-group={group}"),
                    "--",
                ]);
                command.arg(program);
                command
            }
        };
        command
            .args(arguments.filter(|argument| !argument.is_empty()))
            .envs(self.server.environment.iter().map(|(name, value)| (name, self.fill(value))))
            // Whoever overwrites its environment is still found by its folder.
            .current_dir(&self.home)
            .stdout(copy()?)
            .stderr(copy()?)
            .process_group(0);
        if let Some((user, group)) = self.owner() {
            command.uid(user).gid(group);
        }
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        Ok(command)
    }

    /// Ends it, and all that it started.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop(&self.home).await;
        }
    }

    async fn signal(&mut self, signal: Signal) -> Result<String> {
        if let Some(ended) = self.ended() {
            return Err(Error::new(format!("{} {ended}: {}", self.server.name, self.last_words())));
        }
        let name = self.server.name;
        let running = self.running.as_ref().ok_or_else(|| Error::new(format!("{name} does not run")))?;
        running.signal(signal).await.context(|| format!("cannot tell {name} to reload"))?;
        Ok(String::new())
    }

    async fn say(&self, socket: &str, commands: &[(&str, &str)]) -> Result<String> {
        let mut said = String::new();
        for (command, expected) in commands {
            let words = self.fill(command);
            let asked = socket::ask(&self.home, socket, &words);
            let answer = timeout(ANSWER, asked).await.map_err(|_| Error::new("no answer at its socket"))?;
            let answer = answer.context(|| format!("cannot talk to {socket}"))?;
            if !answer.contains(expected) {
                return Err(Error::new(format!("it answers `{}`", self.brief(&answer))));
            }
            said = answer;
        }
        Ok(self.brief(&said))
    }

    fn fill(&self, text: &str) -> String {
        let credentials = self.credentials();
        let path = |name: &str| credentials.join(name).display().to_string();
        let revocation = if self.lists { self.server.revocation.unwrap_or_default() } else { "" };
        let own = self.service.iter().flatten();
        let text = own.fold(text.to_owned(), |text, (what, value)| text.replace(what, value));
        text.replace("{revocation}", revocation)
            .replace("{lists}", &path(LISTS))
            .replace("{home}", &self.home.display().to_string())
            .replace("{bin}", &self.program.folder().display().to_string())
            .replace("{address}", &self.address.ip().to_string())
            .replace("{octets}", &self.address.ip().to_string().replace('.', ","))
            .replace("{port}", &self.address.port().to_string())
            .replace("{peer_port}", &self.peer_port().to_string())
            .replace("{chain}", &path(self.server.chain_file))
            .replace("{key}", &path(self.server.key_file))
            .replace("{bundle}", &path(BUNDLE_FILE))
            .replace("{chain_pem}", self.installed.chain.trim_end())
            .replace("{key_pem}", self.installed.key.trim_end())
            .replace("{bundle_pem}", self.installed.bundle.trim_end())
    }

    /// At the usual one a service is asked for its health.
    fn peer_port(&self) -> u16 {
        if self.service.is_some() { PEER_PORT } else { HEALTH_PORT }
    }

    fn make_folder(&self, path: &Path) -> Result<()> {
        // That of a service is there from its start before.
        fs::create_dir(path)
            .or_else(|error| if path.is_dir() { Ok(()) } else { Err(error) })
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
            .context(|| format!("cannot make {}", path.display()))?;
        self.give(path)
    }

    /// A file that only its owner may read; whoever reads it meanwhile has the old one or the new one.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, text)
            .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)))
            .context(|| format!("cannot write {}", fresh.display()))?;
        self.give(&fresh)?;
        fs::rename(&fresh, path).context(|| format!("cannot replace {}", path.display()))
    }

    fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.owner() else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .context(|| format!("cannot give {} to user {user}", path.display()))
    }

    /// Whose its files and processes are, if not ours.
    fn owner(&self) -> Option<(u32, u32)> {
        self.program.user.filter(|_| self.service.is_none())
    }

    fn credentials(&self) -> PathBuf {
        self.home.join("credentials")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        procfs::kill_in(&self.home);
        if self.service.is_some() {
            return;
        }
        // What cannot be removed here goes with the run's folder.
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// The file of revocation lists.
const LISTS: &str = "lists.pem";

/// A denial in an answer: how a client learns it.
pub(super) fn refused(denial: &Denial) -> String {
    format!("refused: {denial}")
}
