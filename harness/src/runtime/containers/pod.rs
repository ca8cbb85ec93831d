//! One container: the place of one service. It stays while the service restarts.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use testcontainers::{
    GenericImage, ImageExt,
    bollard::{Docker, query_parameters::InspectContainerOptions},
    core::{AccessMode, Mount},
    runners::AsyncRunner,
};
use tokio::{
    net::UnixListener,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    SERVERS,
    control::{self, Line},
    engine::{SERVICE, labels},
    image,
    init::{LAUNCH, POD},
};
use crate::{
    error::{Context, Error, Result},
    history::{ProcessChange, Recorder},
    multicall::is_foreign,
    run::{RunFolder, write_private},
    runtime::{launch, lay_out, observer},
    service::RUN,
    supervise::Request,
    system::{Service, System},
};

/// The service's folder, as seen in its container.
const FOLDER: &str = "/pod";
/// The run's logs, as seen in a container.
const LOGS: &str = "/logs";
/// A container that is not up by then never will be.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How often a container that is not up is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What all pods of a run have in common.
pub(super) struct Run<'a> {
    pub docker: &'a Docker,
    pub system: &'a System,
    pub folder: &'a RunFolder,
    pub recorder: &'a Recorder,
    /// The tag of the image.
    pub image: &'a str,
    /// This executable, for images that do not have it.
    pub executable: &'a Path,
    /// The name of the network.
    pub network: &'a str,
    /// The control group to put the containers into, if it matters.
    pub control_group: Option<String>,
    /// Whether the harness is giving the run's containers back.
    pub ending: &'a Arc<AtomicBool>,
}

/// A container that is up.
pub(super) struct Up {
    pub service: String,
    pub container: String,
    pub supervisor: mpsc::Sender<Request>,
    pub bridge: JoinHandle<()>,
}

impl Run<'_> {
    /// Makes a service's container. Its service is not started.
    pub(super) async fn start(&self, service: &Service) -> Result<Up> {
        let home = self.folder.service(&service.name);
        let here = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        lay_out(self.system, service, &home, here, &str::to_owned)?;
        let log = Path::new(LOGS).join(format!("{}.log", service.name));
        let launch = launch(service, self.folder.id(), Path::new(FOLDER).join("config.json"), log);
        write_private(&home.join(LAUNCH), &serde_json::to_vec(&launch).context(|| "launch".into())?)?;
        let listener = control::listen(&home)
            .context(|| format!("cannot make the control socket of `{}`", service.name))?;

        let container = self.request(service).start().await;
        let container = container.context(|| format!("cannot start a container for `{}`", service.name))?;
        let id = container.id().to_owned();
        // Dropped, it would remove itself: one after another, and blocking. We remove all at once.
        std::mem::forget(container);
        let line = self.accept(&listener, service, &id).await?;

        let (supervisor, requests) = mpsc::channel(4);
        let bridge = bridge(line, requests, observer(self.recorder, &service.name), self.ending.clone());
        Ok(Up { service: service.name.clone(), container: id, supervisor, bridge: tokio::spawn(bridge) })
    }

    fn request(&self, service: &Service) -> testcontainers::ContainerRequest<GenericImage> {
        let id = self.folder.id();
        let (network, control_group) = (self.network.to_owned(), self.control_group.clone());
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        let logs = self.folder.log(&service.name);
        let logs = logs.parent().unwrap_or(self.folder.path());
        // A server that others wrote is started by us, but where it is installed.
        let foreign = is_foreign(&service.program);
        let image = if foreign {
            let (name, tag) = SERVERS.split_once(':').unwrap_or((SERVERS, "latest"));
            GenericImage::new(name, tag).with_entrypoint(image::ENTRYPOINT)
        } else {
            GenericImage::new(image::NAME, self.image)
        };
        let request = image
            .with_container_name(format!("{id}-{}", service.name))
            // By which the others find it: Docker's DNS knows host names since 20.10.
            .with_hostname(&service.name)
            .with_labels(labels(id))
            .with_label(SERVICE, &service.name)
            .with_env_var(POD, FOLDER)
            .with_env_var(RUN, id)
            .with_mount(Mount::bind_mount(self.folder.service(&service.name).to_string_lossy(), FOLDER))
            .with_mount(Mount::bind_mount(logs.to_string_lossy(), LOGS))
            // What it writes stays ours.
            .with_user(format!("{}:{}", user.as_raw(), group.as_raw()))
            .with_userns_mode("host")
            .with_security_opt("label=disable")
            .with_startup_timeout(START_LIMIT)
            .with_host_config_modifier(move |host| {
                // Not `with_network`, which lists all networks for every container.
                host.network_mode = Some(network.clone());
                host.cgroup_parent.clone_from(&control_group);
                // If the harness dies, its containers end by themselves; they leave nothing then.
                host.auto_remove = Some(true);
            });
        if !foreign {
            return request;
        }
        let executable = self.executable.to_string_lossy();
        request
            .with_mount(
                Mount::bind_mount(executable, image::ENTRYPOINT).with_access_mode(AccessMode::ReadOnly),
            )
            // One that refuses to be root gets a user namespace of its own.
            .with_security_opt("seccomp=unconfined")
    }

    /// Waits until the container's first process has connected.
    async fn accept(&self, listener: &UnixListener, service: &Service, id: &str) -> Result<Line> {
        let limit = Instant::now() + START_LIMIT;
        let late = |what: &str| {
            Error::new(format!("the container of `{}` {what} before it was up", service.name)).hint(
                "is the harness in a container itself? then the run's folder must have the same path outside",
            )
        };
        while Instant::now() < limit {
            if let Ok(accepted) = timeout(LOOK_EVERY, listener.accept()).await {
                let (stream, _) = accepted.context(|| format!("the control socket of `{}`", service.name))?;
                return Ok(Line::new(stream));
            }
            let look = self.docker.inspect_container(id, None::<InspectContainerOptions>).await;
            let state = look.map_err(|_| late("was gone"))?.state.unwrap_or_default();
            if state.running == Some(false) {
                return Err(late(&format!("ended with code {}", state.exit_code.unwrap_or_default())));
            }
        }
        Err(late("was silent for a minute"))
    }
}

/// Carries orders into a container, and what happens there into the history. A container that is
/// gone takes its service with it.
async fn bridge(
    line: Line,
    requests: mpsc::Receiver<Request>,
    mut observe: impl FnMut(ProcessChange),
    ending: Arc<AtomicBool>,
) {
    let mut runs = false;
    let carried = line
        .carry(requests, |change| {
            runs = matches!(change, ProcessChange::Spawned { .. });
            observe(change);
        })
        .await;
    if runs {
        let asked = ending.load(Ordering::Relaxed);
        let why = carried.err().map_or_else(|| "its container is gone".into(), |error| error.to_string());
        let last_words = if asked { String::new() } else { why };
        observe(ProcessChange::Exited { code: None, signal: None, asked, last_words });
    }
}
