//! A real cluster of Kubernetes: it comes up, does what a cluster is for, has every certificate that we
//! minted where kubeadm looks for it, sees controllers that sleep, and leaves nothing behind.

use std::{
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::{Api, Client, api::ListParams};
use notafter::{
    error::{Error, Result},
    guardian::Guard,
    pki::Validity,
    run::RunFolder,
    runtime::kubernetes::{self, API_PORT, CONTROL_PLANE, Kubernetes, Spec, look},
    suite::Suite,
    testing::{self, Trial},
};
use testcontainers::bollard::{Docker, query_parameters::ListVolumesOptions};
use tokio::{sync::Mutex, time::sleep};

#[path = "common/docker.rs"]
#[allow(dead_code, reason = "not every test needs all of it")]
mod docker;

/// How long each condition may take, with everything else that runs.
const LIMIT: Duration = Duration::from_mins(2);
/// A cluster that makes no progress is not waited for as long as one that should.
const SHORT: Duration = Duration::from_secs(10);
/// Between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_hours(1);
/// What has this label is a guest's: the run that made it.
const OF_GUESTS: &str = "notafter.run";
/// What `kubeadm certs check-expiration` calls the certificates of a control plane.
const KNOWN: [&str; 11] = [
    "admin.conf",
    "apiserver",
    "apiserver-etcd-client",
    "apiserver-kubelet-client",
    "controller-manager.conf",
    "etcd-healthcheck-client",
    "etcd-peer",
    "etcd-server",
    "front-proxy-client",
    "scheduler.conf",
    "super-admin.conf",
];

/// A volume does not say whose it is, so what is left over is known of one cluster at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

fn main() -> ExitCode {
    testing::main_with(
        Suite::default(),
        vec![
            Trial::ignorable("a_cluster_is_whole_and_leaves_nothing", async || {
                if_available(async || leaves_nothing(whole_life).await).await
            }),
            Trial::ignorable("three_control_planes_are_one_cluster_and_leave_nothing", async || {
                if_available(async || leaves_nothing(whole_life_of_three).await).await
            }),
        ],
    )
}

/// Why it was not tried, if nobody requires it.
async fn if_available(it: impl AsyncFnOnce() -> Result<(), String>) -> Result<Option<String>, String> {
    match kubernetes::available().await.map_err(|error| error.to_string()) {
        Ok(()) => it().await.map(|()| None),
        Err(missing) if testing::requires(testing::KUBERNETES) => Err(missing),
        Err(missing) => Ok(Some(missing.replace('\n', "; "))),
    }
}

async fn leaves_nothing(life: impl AsyncFnOnce(&RunFolder) -> Result<()>) -> Result<(), String> {
    let _alone = ALONE.lock().await;
    let runs = tempfile::tempdir().map_err(|error| error.to_string())?;
    let before = volumes().await;
    let folder = RunFolder::create(runs.path(), "kube-test", 0).map_err(|error| error.to_string())?;
    let guard = Guard::post(&folder).map_err(|error| error.to_string())?;
    let went = life(&folder).await.map_err(|error| error.to_string());
    guard.release().await;
    if went.is_err() {
        return went.map_err(|why| format!("{why}\nthe logs are in {}", runs.keep().display()));
    }
    let id = folder.id().to_owned();
    let left =
        tokio::task::spawn_blocking(move || docker::left_of(&id)).await.map_err(|it| it.to_string())?;
    let more = volumes().await.into_iter().filter(|volume| !before.contains(volume)).count();
    if left.is_empty() && more == 0 && !folder.has_secrets() {
        return Ok(());
    }
    Err(format!("left behind: {left:?}, {more} volumes, keys: {}", folder.has_secrets()))
}

async fn whole_life(folder: &RunFolder) -> Result<()> {
    let patience = Some(Duration::from_secs(1));
    let spec = Spec { workers: 2, validity: Validity::lasting(HOUR), patience, ..Spec::held() };
    let cluster = kubernetes::up(&spec, folder).await?;
    cluster.whole(6, LIMIT).await?;
    pods_wait_for_their_node(&cluster).await?;
    kubeadm_sees_each_certificate(&cluster, CONTROL_PLANE, &KNOWN).await?;
    a_guest_that_is_killed_leaves_the_cluster_as_it_was(&cluster, &spec, folder).await?;
    controllers_that_sleep_are_seen(&cluster).await?;
    cluster.tear_down().await
}

/// On every node kubeadm finds what it knows, but how to set up a cluster, which is where that is done.
async fn whole_life_of_three(folder: &RunFolder) -> Result<()> {
    let spec = Spec { control_planes: 3, workers: 1, validity: Validity::lasting(HOUR), ..Spec::default() };
    let cluster = kubernetes::up(&spec, folder).await?;
    cluster.whole(4, LIMIT).await?;
    let [joined @ .., _super_admin] = KNOWN;
    kubeadm_sees_each_certificate(&cluster, CONTROL_PLANE, &KNOWN).await?;
    for node in ["control-plane-2", "control-plane-3"] {
        kubeadm_sees_each_certificate(&cluster, node, &joined).await?;
    }
    cluster.tear_down().await
}

/// Where one of three nodes takes no pods, one of three pods waits for it, and is not put beside another.
async fn pods_wait_for_their_node(cluster: &Kubernetes) -> Result<()> {
    let (name, client) = ("one-each", cluster.client());
    let nodes: Api<Node> = Api::all(client.clone());
    let node = cluster.nodes().find(|node| *node != CONTROL_PLANE).expect("there are workers");
    nodes.cordon(node).await.map_err(failed)?;
    look::create(client, name, 3).await.map_err(Error::new)?;
    let waited = until(async || one_waits(client, name).await).await;
    nodes.uncordon(node).await.map_err(failed)?;
    waited?;
    until(async || look::is_available(client, "default", name).await).await?;
    look::remove(client, name).await.map_err(Error::new)
}

/// The scheduler has looked at all three pods of a Deployment, and found no node for one.
async fn one_waits(client: &Client, name: &str) -> std::result::Result<(), String> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let listed =
        pods.list(&ListParams::default().labels(&format!("app={name}"))).await.map_err(look::words)?;
    let conditions = listed.items.iter().filter_map(|pod| pod.status.as_ref()?.conditions.as_ref()).flatten();
    let mut scheduled: Vec<&str> = conditions
        .filter(|condition| condition.type_ == "PodScheduled")
        .map(|condition| condition.status.as_str())
        .collect();
    scheduled.sort_unstable();
    match scheduled[..] {
        ["False", "True", "True"] => Ok(()),
        _ => Err(format!("whether pods of {name} were scheduled: {scheduled:?}, not all but one")),
    }
}

/// Waits until it is so.
async fn until(mut it: impl AsyncFnMut() -> std::result::Result<(), String>) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while let Err(why) = it().await {
        if Instant::now() > end {
            return Err(Error::new(format!("after {} s: {why}", LIMIT.as_secs())));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

fn failed(error: kube::Error) -> Error {
    Error::new(look::words(error))
}

async fn kubeadm_sees_each_certificate(cluster: &Kubernetes, node: &str, known: &[&str]) -> Result<()> {
    let said = cluster.exec(node, &["kubeadm", "certs", "check-expiration"]).await?;
    let ends = |name: &str| {
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        // "Nov 24, 2026 16:10 UTC   59m   ca   no"
        line.split_whitespace().find(|word| word.ends_with('m')).map(str::to_owned)
    };
    match known.iter().find(|name| ends(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            Err(Error::new(format!("kubeadm does not see {name} on {node} end within the hour:\n{said}")))
        }
    }
}

/// One at a time: another one is refused while it is there.
async fn a_guest_that_is_killed_leaves_the_cluster_as_it_was(
    cluster: &Kubernetes,
    spec: &Spec,
    folder: &RunFolder,
) -> Result<()> {
    let early = guest(folder).output().await.map_err(|error| Error::new(error.to_string()))?;
    let said = String::from_utf8_lossy(&early.stderr);
    assert!(said.contains("no cluster of that name is held up"), "{said}");
    cluster.open(spec)?;
    let mut first = guest(folder).spawn().map_err(|error| Error::new(error.to_string()))?;
    let client = cluster.client();
    until(async || if pods_of_guests(client).await? > 0 { Ok(()) } else { Err("no pod".into()) }).await?;
    let second = guest(folder).output().await.map_err(|error| Error::new(error.to_string()))?;
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("has a guest already"), "{said}");
    first.kill().await.map_err(|error| Error::new(error.to_string()))?;
    until(async || match pods_of_guests(client).await? {
        0 => Ok(()),
        left => Err(format!("{left} pods of a guest that was killed")),
    })
    .await?;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let left = services.list(&ListParams::default().labels(OF_GUESTS)).await.map_err(failed)?.items;
    assert_eq!(left.len(), 0, "Services of a guest that was killed");
    cluster.whole(2, LIMIT).await
}

/// A run in the cluster of another one, which has its evidence beside it.
fn guest(of: &RunFolder) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_notafter"));
    let runs = of.path().parent().unwrap_or(of.path());
    command.args(["run", "aware-2022/mitigated", "--on", "kubernetes", "--out"]).arg(runs);
    command.env(kubernetes::CLUSTER, of.id()).env("NOTAFTER_STATE", runs).kill_on_drop(true);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

async fn pods_of_guests(client: &Client) -> std::result::Result<usize, String> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let listed = pods.list(&ListParams::default().labels(OF_GUESTS)).await.map_err(look::words)?;
    Ok(listed.items.len())
}

/// The API answers and every node is ready, and yet nothing that is new becomes available.
async fn controllers_that_sleep_are_seen(cluster: &Kubernetes) -> Result<()> {
    let programs = ["controller-manager", "scheduler"];
    let of = |program: &str| format!("/etc/kubernetes/{program}.conf");
    let expired = cluster.mint(CONTROL_PLANE, Validity::ended(HOUR))?;
    let fresh = cluster.mint(CONTROL_PLANE, Validity::lasting(HOUR))?;
    for program in programs {
        cluster.write(CONTROL_PLANE, &of(program), &expired[&of(program)])?;
    }
    for program in programs {
        cluster.kill(CONTROL_PLANE, &format!("kube-{program}")).await?;
    }
    cluster.cut_connections(CONTROL_PLANE, API_PORT).await?;
    let Err(error) = cluster.whole(2, SHORT).await else {
        return Err(Error::new("a cluster whose controllers sleep passes for whole"));
    };
    let why = error.to_string();
    if !why.contains("Deployment") {
        return Err(error);
    }
    for program in programs {
        cluster.write(CONTROL_PLANE, &of(program), &fresh[&of(program)])?;
        // Neither reads its kubeconfig twice; one that has just exited is started again anyway.
        let _ = cluster.kill(CONTROL_PLANE, &format!("kube-{program}")).await;
    }
    cluster.whole(2, LIMIT).await
}

/// The names of all volumes: anonymous ones have no label.
async fn volumes() -> Vec<String> {
    let Ok(docker) = Docker::connect_with_defaults() else { return Vec::new() };
    let listed = docker.list_volumes(None::<ListVolumesOptions>).await;
    let listed = listed.ok().and_then(|listed| listed.volumes).unwrap_or_default();
    listed.into_iter().map(|volume| volume.name).collect()
}
