//! A program that others wrote, in a container of an image that others made: nothing of ours is in it, and it
//! is no pod.
//!
//! It has the network of this machine: so it listens where a process would, and its address is known before it
//! starts. Its folder is the same on both sides: whoever replaces a file in it does so in the running container.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use testcontainers::bollard::{
    Docker,
    container::LogOutput,
    errors::Error as DockerError,
    exec::StartExecResults,
    models::{ContainerCreateBody, ExecConfig, HostConfig},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptions, InspectContainerOptions,
        KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use tokio::{sync::watch, time::timeout};

use super::{SERVERS, engine};
use crate::error::{Context, Error, Result};

/// An image that is there.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    docker: Docker,
    name: String,
    control_group: Option<String>,
}

/// What is to run in a container.
pub(crate) struct Task<'t> {
    /// The run that it belongs to.
    pub run: &'t str,
    /// Its folder, and where it works; none if it needs none.
    pub home: Option<&'t Path>,
    /// User and group as whom it runs.
    pub user: (u32, u32),
    /// The program, by a path or a name in the `PATH` of the image, and its arguments.
    pub command: Vec<String>,
    /// Variables of its environment, beyond those of the image: name and value.
    pub environment: Vec<(String, String)>,
}

/// A container whose program runs, or has ended. Dropped, it is removed.
pub(crate) struct Container {
    docker: Docker,
    id: String,
    ended: watch::Receiver<Option<i64>>,
}

/// Whether the image of the servers that others wrote is there.
pub(in crate::runtime) async fn servers(docker: &Docker) -> Result<()> {
    inspect(docker, SERVERS).await.map(drop)
}

async fn inspect(docker: &Docker, name: &str) -> Result<()> {
    docker.inspect_image(name).await.map(drop).map_err(|error| {
        let hint = match name {
            SERVERS => "`ci/setup servers` makes it, once, in a minute",
            _ => "nothing is pulled here: `docker pull` or `docker build` brings it",
        };
        Error::missing(format!("no image {name}")).because(error).hint(hint)
    })
}

impl Image {
    /// Finds an image in the local engine.
    ///
    /// # Errors
    /// If there is no engine on this machine, or no such image.
    pub async fn find(name: &str) -> Result<Self> {
        let docker = engine::connect()?;
        engine::check(&docker).await?;
        inspect(&docker, name).await?;
        let control_group = engine::control_group(&docker).await;
        Ok(Self { docker, name: name.to_owned(), control_group })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs something to its end. Gives its exit code and what it said.
    ///
    /// # Errors
    /// If it cannot be started, or does not end in time.
    pub async fn run(&self, task: &Task<'_>, limit: Duration) -> Result<(i64, String)> {
        let (container, output, _) = self.create(task).await?;
        let what = || format!("cannot look at what ran in a container of {}", self.name);
        let said = timeout(limit, said(output)).await.map_err(|_| late(&task.command, limit))?;
        let said = said.context(what)?;
        let code = container.exit_code().await.context(what)?;
        container.remove().await;
        Ok((code, said))
    }

    /// Starts something whose words go into a log.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(&self, task: &Task<'_>, mut log: File) -> Result<Container> {
        let (container, mut output, ended) = self.create(task).await?;
        let (docker, id) = (container.docker.clone(), container.id.clone());
        tokio::spawn(async move {
            while let Some(Ok(chunk)) = output.next().await {
                // A log that cannot be written is evidence that is missing, and no more.
                let _ = log.write_all(&chunk.into_bytes());
            }
            let code = exit_code(&docker, &id).await;
            // Nobody listens if it was removed.
            let _ = ended.send(Some(code.unwrap_or(KILLED)));
        });
        Ok(container)
    }

    /// Creates a container and starts it, with an ear at what it says from the first word on.
    async fn create(&self, task: &Task<'_>) -> Result<(Container, Output, watch::Sender<Option<i64>>)> {
        let what = || format!("cannot start `{}` in a container of {}", task.command.join(" "), self.name);
        let id = self.docker.create_container(None::<CreateContainerOptions>, self.body(task)).await;
        let (say, ended) = watch::channel(None);
        let container = Container { docker: self.docker.clone(), id: id.context(what)?.id, ended };
        let attach = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attached = self.docker.attach_container(&container.id, Some(attach)).await.context(what)?;
        self.docker.start_container(&container.id, None).await.context(what)?;
        Ok((container, attached.output, say))
    }

    fn body(&self, task: &Task<'_>) -> ContainerCreateBody {
        let (user, group) = task.user;
        let home = task.home.map(|home| home.display().to_string());
        let (program, arguments) = task
            .command
            .split_first()
            .map_or((None, &[][..]), |(program, rest)| (Some(vec![program.clone()]), rest));
        ContainerCreateBody {
            image: Some(self.name.clone()),
            entrypoint: program,
            cmd: Some(arguments.to_vec()),
            env: Some(task.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            working_dir: home.clone(),
            user: Some(format!("{user}:{group}")),
            labels: Some(engine::labels(task.run)),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(HostConfig {
                network_mode: Some("host".into()),
                binds: home.map(|home| vec![format!("{home}:{home}")]),
                userns_mode: Some("host".into()),
                security_opt: Some(vec!["label=disable".into()]),
                cgroup_parent: self.control_group.clone(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

impl Container {
    /// The exit code of its program, if it has ended; above 128 if a signal ended it.
    pub fn ended(&self) -> Option<i64> {
        *self.ended.borrow()
    }

    /// Sends a signal, `SIGHUP`, to its program.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let options = KillContainerOptionsBuilder::new().signal(name).build();
        let sent = self.docker.kill_container(&self.id, Some(options)).await;
        sent.context(|| format!("cannot send {name} to a container"))
    }

    /// Runs a command beside its program, as its user and in its folder. Gives the exit code and what it said.
    ///
    /// # Errors
    /// If it cannot be started, or does not end in time.
    pub async fn run(&self, command: &[String], limit: Duration) -> Result<(i64, String)> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let ran = async {
            let id = self.docker.create_exec(&self.id, config).await?.id;
            let said = match self.docker.start_exec(&id, None).await? {
                StartExecResults::Attached { output, .. } => said(output).await?,
                StartExecResults::Detached => String::new(),
            };
            let code = self.docker.inspect_exec(&id).await?.exit_code.unwrap_or(KILLED);
            Ok::<_, DockerError>((code, said))
        };
        let ran = timeout(limit, ran).await.map_err(|_| late(command, limit))?;
        ran.context(|| format!("cannot run `{}` in a container", command.join(" ")))
    }

    /// Tells its program to end, and removes it after a grace at the latest.
    pub async fn stop(mut self, grace: Duration) {
        if self.ended().is_none() && self.signal("SIGTERM").await.is_ok() {
            let _ = timeout(grace, self.ended.wait_for(Option::is_some)).await;
        }
        self.remove().await;
    }

    async fn exit_code(&self) -> Result<i64, DockerError> {
        exit_code(&self.docker, &self.id).await
    }

    async fn remove(mut self) {
        let id = std::mem::take(&mut self.id);
        remove(&self.docker, &id).await;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // What is left here goes with the run.
        if let (false, Ok(tokio)) = (self.id.is_empty(), tokio::runtime::Handle::try_current()) {
            let (docker, id) = (self.docker.clone(), std::mem::take(&mut self.id));
            tokio.spawn(async move { remove(&docker, &id).await });
        }
    }
}

type Output = std::pin::Pin<Box<dyn Stream<Item = Result<LogOutput, DockerError>> + Send>>;

/// The exit code of what was killed, as a shell gives it.
const KILLED: i64 = 137;

async fn said(mut output: Output) -> Result<String, DockerError> {
    let mut said = Vec::new();
    while let Some(chunk) = output.next().await {
        said.extend_from_slice(&chunk?.into_bytes());
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

async fn exit_code(docker: &Docker, id: &str) -> Result<i64, DockerError> {
    // Its output may end a moment before it does.
    let mut ends = docker.wait_container(id, None);
    while let Some(Ok(_)) = ends.next().await {}
    let seen = docker.inspect_container(id, None::<InspectContainerOptions>).await?;
    Ok(seen.state.and_then(|state| state.exit_code).unwrap_or(KILLED))
}

async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let _ = docker.remove_container(id, Some(options)).await;
}

fn late(command: &[String], limit: Duration) -> Error {
    let program = command.first().map_or("", String::as_str);
    let name = Path::new(program).file_name().map_or(PathBuf::from(program), PathBuf::from);
    Error::new(format!("{} does not end in {} s", name.display(), limit.as_secs()))
}
