//! Services of the reference system inside a test: real ports on loopback, real certificates, each
//! test in its own /24.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use notafter::{
    history::Leaf,
    pki::{Authority, Credential, Identity, Validity, write_bundle},
    service::{Config, HEALTH_PORT, Status, TLS_PORT},
    system::{Filled, Start, System},
};
use serde::{Serialize, de::DeserializeOwned};
use stack::{
    client::{Client, HopError, Reply},
    credentials::{Mount, Mounts},
    life,
    service::End,
    settings::Common,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to end a service, and how it ended.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), End>>);

/// The reference system in its own network, of which nothing runs yet.
pub struct Net {
    pub system: System,
    pub platform: Authority,
    pub mesh: Authority,
    folder: TempDir,
    subnet: [u8; 2],
    running: BTreeMap<String, Running>,
}

impl Net {
    /// Lays out the credentials of every service.
    pub fn new(system: System) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let subnet =
            [number % 100 + 100, number / 100 % 250 + 1].map(|part| u8::try_from(part).expect("small"));
        let platform = Authority::new("platform").expect("platform");
        let mesh = Authority::new("mesh").expect("mesh");
        let folder = tempfile::tempdir().expect("folder");
        let net = Self { system, platform, mesh, folder, subnet, running: BTreeMap::new() };
        for service in &net.system.services {
            for (name, mount) in &service.mounts {
                match mount.filled {
                    Filled::Beforehand => {
                        net.install(&service.name, name, Validity::lasting(Duration::from_hours(1)));
                    }
                    Filled::ByItself => {
                        let bundle = net.authority(&mount.authority).bundle();
                        write_bundle(&net.mount(&service.name, name), &bundle).expect("bundle");
                    }
                }
            }
            for authority in &service.issues {
                let folder = net.folder.path().join(&service.name).join("issues").join(authority);
                net.authority(authority).write_issuer(&folder).expect("issuer");
            }
        }
        net
    }

    /// The reference system with one setting of one service.
    pub fn with(service: &str, key: &str, value: impl Into<toml::Value>) -> Self {
        let mut system = stack::system();
        set(&mut system, service, key, value);
        Self::new(system)
    }

    /// Puts a new credential into a mount.
    pub fn install(&self, service: &str, mount: &str, validity: Validity) -> Leaf {
        let credential = self.issue(service, mount, validity);
        credential.write(&self.mount(service, mount)).expect("written");
        credential.leaf().clone()
    }

    /// A credential as a mount of this name would hold it.
    pub fn issue(&self, service: &str, mount: &str, validity: Validity) -> Credential {
        let authority = if mount == "node" { &self.platform } else { &self.mesh };
        authority.issue(&Identity::service(service), validity).expect("issued")
    }

    fn authority(&self, name: &str) -> &Authority {
        if name == "platform" { &self.platform } else { &self.mesh }
    }

    /// The folder of a mount.
    pub fn mount(&self, service: &str, mount: &str) -> PathBuf {
        self.folder.path().join(service).join(mount)
    }

    /// The data folder of a service.
    pub fn data(&self, service: &str) -> PathBuf {
        self.folder.path().join(service).join("data")
    }

    /// Where a service listens on this port.
    pub fn address(&self, service: &str, port: u16) -> SocketAddr {
        let place = self.system.services.iter().position(|other| other.name == service).expect("service");
        let [a, b] = self.subnet;
        (Ipv4Addr::new(127, a, b, u8::try_from(place + 10).expect("few")), port).into()
    }

    fn config(&self, name: &str) -> Config {
        let service = self.system.service(name).expect("service");
        let known = self.system.services.iter().filter(|service| service.well_known);
        let folder = self.folder.path().join(name);
        Config {
            service: name.into(),
            listen: self.address(name, TLS_PORT),
            health: self.address(name, HEALTH_PORT),
            advertise: self.address(name, TLS_PORT).to_string(),
            start: service.start,
            reload: service.reload,
            needs: service.needs.clone(),
            known: known.map(|s| (s.name.clone(), self.address(&s.name, TLS_PORT).to_string())).collect(),
            serves: service.serves.clone(),
            doors: service.doors.clone(),
            mounts: service.mounts.keys().map(|mount| (mount.clone(), folder.join(mount))).collect(),
            issues: service
                .issues
                .iter()
                .map(|name| (name.clone(), folder.join("issues").join(name)))
                .collect(),
            data: folder.join("data"),
            clock: folder.join("clock"),
            settings: service.settings.clone(),
        }
    }

    /// Starts services, one after another, and waits for none of them.
    pub fn start(&mut self, names: &[&str]) {
        for name in names {
            let (stop, told) = oneshot::channel();
            let life = tokio::spawn(life_of(self.config(name), async move { drop(told.await) }));
            self.running.insert((*name).into(), (stop, life));
        }
    }

    /// Starts services and waits until they are ready.
    pub async fn up(&mut self, names: &[&str]) {
        self.start(names);
        for name in names {
            self.ready(name).await;
        }
    }

    /// Runs one service that starts only after its needs, until it ends by itself.
    pub async fn end_of(&self, name: &str) -> End {
        let config = Config { start: Start::NeedsFirst, ..self.config(name) };
        let ended = tokio::time::timeout(PATIENCE, life_of(config, std::future::pending())).await;
        ended.expect("ends in time").expect_err("ends by itself")
    }

    /// Tells a service to end, and waits until it has.
    pub async fn stop(&mut self, name: &str) {
        let (stop, life) = self.running.remove(name).expect("runs");
        drop(stop);
        life.await.expect("no panic").expect("ends well");
    }

    /// Ends a service in the middle of whatever it does.
    pub async fn kill(&mut self, name: &str) {
        let (_stop, life) = self.running.remove(name).expect("runs");
        life.abort();
        life.await.expect_err("is aborted");
    }

    /// What a service says about itself; none if it does not answer.
    pub async fn status(&self, name: &str) -> Option<Status> {
        let mut stream = TcpStream::connect(self.address(name, HEALTH_PORT)).await.ok()?;
        stream.write_all(b"GET /status HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// Waits until a service is ready.
    pub async fn ready(&self, name: &str) {
        eventually(&format!("{name} is ready"), async || {
            let status = self.status(name).await;
            status.as_ref().is_some_and(|status| status.ready).then_some(()).ok_or(status)
        })
        .await;
    }

    /// Waits until a service uses this leaf.
    pub async fn uses(&self, name: &str, mount: &str, leaf: &Leaf) {
        eventually(&format!("{name} uses the new {mount} credential"), async || {
            let status = self.status(name).await.unwrap_or_default();
            (status.credentials.get(mount) == Some(leaf)).then_some(()).ok_or(status)
        })
        .await;
    }

    /// A client of a service, beside the system, as `tester` with a certificate of the mesh.
    pub fn caller(&self, server: &str, validity: Validity, settings: &Common) -> Caller {
        let credential = self.issue("tester", "workload", validity);
        self.caller_with(server, &credential, settings)
    }

    /// A client that shows this credential.
    pub fn caller_with(&self, server: &str, credential: &Credential, settings: &Common) -> Caller {
        let folder = tempfile::tempdir().expect("folder");
        credential.write(folder.path()).expect("written");
        let mount = Arc::new(Mount::new("workload", folder.path(), &Common::default(), Arc::default()));
        mount.load().expect("loads");
        let mounts: Arc<Mounts> = Arc::new([("workload".to_owned(), mount)].into());
        let config = Config {
            needs: [(server.to_owned(), "workload".to_owned())].into(),
            known: [(server.to_owned(), self.address(server, TLS_PORT).to_string())].into(),
            ..self.config("manager")
        };
        Caller {
            client: Client::new(&config, mounts, settings, Arc::default()),
            server: server.into(),
            _folder: folder,
        }
    }

    /// Asks `/live` of a service without showing a certificate. Gives the first line of the answer.
    pub async fn ask_without_certificate(&self, server: &str) -> std::io::Result<String> {
        let credential = self.issue("tester", "workload", Validity::lasting(Duration::from_hours(1)));
        let mut roots = rustls::RootCertStore::empty();
        for root in credential.bundle_der().expect("bundle") {
            roots.add(root).expect("root");
        }
        let config = rustls::ClientConfig::builder_with_provider(stack::tls::provider().clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address(server, TLS_PORT)).await?;
        let name = server.to_owned().try_into().expect("name");
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    /// A client with nothing special about it.
    pub fn plain_caller(&self, server: &str) -> Caller {
        self.caller(server, Validity::lasting(Duration::from_hours(1)), &Common::default())
    }
}

/// Sets one setting of one service.
pub fn set(system: &mut System, service: &str, key: &str, value: impl Into<toml::Value>) {
    let service = system.services.iter_mut().find(|other| other.name == service).expect("service");
    service.settings.insert(key.into(), value.into());
}

async fn life_of(config: Config, told: impl Future<Output = ()>) -> Result<(), End> {
    match config.service.as_str() {
        "manager" => life::serve::<stack::manager::Manager>(config, told).await,
        "source" => life::serve::<stack::source::Source>(config, told).await,
        "archive" => life::serve::<stack::archive::Archive>(config, told).await,
        "auth" => life::serve::<stack::auth::Auth>(config, told).await,
        "processor" => life::serve::<stack::processor::Processor>(config, told).await,
        "ingest" => life::serve::<stack::ingest::Ingest>(config, told).await,
        "search" => life::serve::<stack::search::Search>(config, told).await,
        "spotlight" => life::serve::<stack::spotlight::Spotlight>(config, told).await,
        "gateway" => life::serve::<stack::gateway::Gateway>(config, told).await,
        other => panic!("no service `{other}`"),
    }
}

/// Calls one service from outside of the system.
pub struct Caller {
    client: Client,
    server: String,
    _folder: TempDir,
}

impl Caller {
    pub async fn get(&self, path: &str) -> Result<Reply, HopError> {
        self.client.get(&self.server, path).await
    }

    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Reply, HopError> {
        self.client.post(&self.server, path, body).await
    }

    /// What a path gives, which has to work.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        let reply = self.get(path).await.expect("reachable");
        assert!(reply.status.is_success(), "{path}: {}", reply.reason());
        reply.json().expect("understood")
    }

    /// What sending something gives, which has to work.
    pub async fn send<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        let reply = self.post(path, body).await.expect("reachable");
        assert!(reply.status.is_success(), "{path}: {}", reply.reason());
        reply.json().expect("understood")
    }
}

/// Asks again and again until it is so; gives up with what was seen last.
pub async fn eventually<T, E: std::fmt::Debug>(what: &str, ask: impl AsyncFn() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(seen) => assert!(begun.elapsed() < PATIENCE, "not in time: {what}; last seen: {seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
