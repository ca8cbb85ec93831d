//! A real API server over a real etcd, as child processes that die with the test.

pub mod company;

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    core::{
        Request,
        params::{ListParams, PostParams},
    },
};
use libtest_mimic::{Completion, Trial};
use notafter::{
    pki::{Authority, Credential, Identity, Validity},
    testing::KUBERNETES,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::common::ignored_without;

/// The first start makes roles and namespaces, on a starved machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Whom its certificate names.
const NAME: &str = "kube-apiserver";

/// An API server and its etcd.
pub struct ControlPlane {
    folder: TempDir,
    /// What issued its serving certificate.
    pub authority: Authority,
    /// What it serves.
    pub serving: Credential,
    /// Where it listens.
    pub address: String,
    /// Its administrator.
    pub client: Client,
    _processes: [Process; 2],
}

/// A child that is killed with its owner; and by the kernel, if the thread that started it dies.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where `ci/setup kubernetes` puts a program, or what is missing.
pub fn asset(name: &str) -> Result<PathBuf, String> {
    let built = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        let all = cache.unwrap_or_else(home).join("notafter/kubernetes");
        // One a version, and a half-built one under another name.
        let folders = fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path());
        let whole = folders.filter(|path| path.extension().is_none_or(|end| end != "partial"));
        whole.max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())
    };
    let folder = std::env::var_os("NOTAFTER_KUBE_ASSETS").map(PathBuf::from).or_else(built);
    let path = folder.map(|folder| folder.join(name)).filter(|path| path.is_file());
    path.ok_or_else(|| format!("{name} is missing; ci/setup kubernetes builds it"))
}

/// A trial that is ignored where the programs are missing, unless `NOTAFTER_REQUIRE` names them.
pub fn trial(name: &str, claim: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Err(missing) = asset("kube-apiserver").and_then(|_| asset("etcd")) {
            return ignored_without(KUBERNETES, missing);
        }
        claim();
        Ok(Completion::Completed)
    })
}

/// Runs a claim to its end.
pub fn block_on(claim: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(claim);
}

impl ControlPlane {
    /// Starts both, and waits until every object that a cluster is born with is there.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new("cluster").expect("an authority");
        let day = Validity::lasting(Duration::from_hours(24));
        let serving = authority.issue(&Identity::service(NAME), day).expect("a credential");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: &str| {
            fs::write(path(name), text).expect("a file in a temporary folder");
            path(name)
        };
        let (chain, key) = (write("tls.crt", serving.chain_pem()), write("tls.key", serving.key_pem()));
        let (of_etcd, of_peers, port) = (free(), free(), free());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let etcd = Process::start(
            folder.path(),
            &asset("etcd").expect("it is there"),
            &[
                format!("--data-dir={}", path("etcd")),
                format!("--listen-client-urls={}", url(of_etcd)),
                format!("--advertise-client-urls={}", url(of_etcd)),
                format!("--listen-peer-urls={}", url(of_peers)),
                format!("--initial-advertise-peer-urls={}", url(of_peers)),
                format!("--initial-cluster=default={}", url(of_peers)),
            ],
        );
        let tokens = "admin,admin,1,system:masters\nreader,reader,2,system:masters\nnobody,nobody,3\n";
        let policy =
            json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]});
        let server = Process::start(
            folder.path(),
            &asset("kube-apiserver").expect("it is there"),
            &[
                format!("--etcd-servers={}", url(of_etcd)),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={port}"),
                format!("--tls-cert-file={chain}"),
                format!("--tls-private-key-file={key}"),
                format!("--cert-dir={}", path("certs")),
                format!("--token-auth-file={}", write("tokens.csv", tokens)),
                "--authorization-mode=RBAC".into(),
                "--service-account-issuer=https://kubernetes.default".into(),
                format!("--service-account-signing-key-file={key}"),
                format!("--service-account-key-file={chain}"),
                "--service-cluster-ip-range=10.96.0.0/24".into(),
                format!("--audit-policy-file={}", write("policy.json", &policy.to_string())),
                format!("--audit-log-path={}", path("audit.log")),
            ],
        );
        let address = format!("127.0.0.1:{port}");
        let kubeconfig = kubeconfig(folder.path(), &address, authority.bundle(), "admin");
        let client = client(&kubeconfig).await;
        let plane = Self { folder, authority, serving, address, client, _processes: [etcd, server] };
        plane.ready().await;
        plane
    }

    /// The kubeconfig of one of its users: `admin`, `reader`, who may do everything as well, and `nobody`.
    pub fn kubeconfig(&self, user: &str) -> String {
        kubeconfig(self.folder.path(), &self.address, self.authority.bundle(), user).display().to_string()
    }

    /// Creates an object in a collection.
    pub async fn create(&self, collection: &str, object: &Value) {
        let body = serde_json::to_vec(object).expect("JSON");
        let request = Request::new(collection).create(&PostParams::default(), body).expect("a request");
        self.client.request::<Value>(request).await.unwrap_or_else(|error| panic!("{collection}: {error}"));
    }

    /// An object by its path, as the API server has it now.
    pub async fn get(&self, path: &str) -> Value {
        let request = Request::new(path).list(&ListParams::default()).expect("a request");
        self.client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Changes an object by a merge patch.
    pub async fn patch(&self, collection: &str, name: &str, patch: &Value) {
        let how = kube::core::params::PatchParams::default();
        let patch = kube::core::params::Patch::Merge(patch);
        let request = Request::new(collection).patch(name, &how, &patch).expect("a request");
        self.client.request::<Value>(request).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// What a user has asked for until now: verbs and resources.
    pub fn asked(&self, user: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("audit.log")).expect("an audit log");
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
        let theirs = events.filter(|event| event["user"]["username"] == user);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        theirs
            .map(|event| format!("{} {}", word(&event["verb"]), word(&event["objectRef"]["resource"])))
            .collect()
    }

    async fn ready(&self) {
        let began = Instant::now();
        loop {
            let request = Request::new("/readyz").list(&ListParams::default()).expect("a request");
            match self.client.request_text(request).await {
                Ok(_) => return,
                Err(error) => {
                    let log =
                        fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default();
                    let last: Vec<_> = log.lines().rev().take(5).collect();
                    assert!(
                        began.elapsed() < PATIENCE,
                        "not ready in {PATIENCE:?}: {error}\n{}",
                        last.join("\n")
                    );
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Process {
    fn start(folder: &Path, program: &Path, args: &[String]) -> Self {
        let name = program.file_name().expect("a program").to_string_lossy();
        let log = File::create(folder.join(format!("{name}.log"))).expect("a log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("setpriv {name}: {error}")))
    }
}

fn kubeconfig(folder: &Path, address: &str, bundle: String, user: &str) -> PathBuf {
    let authority = folder.join("ca.crt");
    fs::write(&authority, bundle).expect("a file in a temporary folder");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {
            "server": format!("https://{address}"), "tls-server-name": NAME, "certificate-authority": authority,
        }}],
        "users": [{"name": user, "user": {"token": user}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": user}}],
    });
    let path = folder.join(format!("{user}.conf"));
    fs::write(&path, text.to_string()).expect("a file in a temporary folder");
    path
}

async fn client(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a context");
    Client::try_from(config).expect("a client")
}

/// A port that was free a moment ago.
fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
