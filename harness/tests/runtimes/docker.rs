//! What only containers promise, and a look into Docker past the harness.

use std::{
    collections::BTreeSet, os::unix::net::UnixListener, path::Path, process::Command, thread, time::Duration,
};

use futures_util::TryStreamExt;
use libtest_mimic::Trial;
use notafter::{
    clock::Clock,
    history::{ProcessChange, Recorder},
    run::RunFolder,
    runtime::{Order, Runtime, containers},
};
use testcontainers::bollard::{
    Docker, body_full,
    models::NetworkConnectRequest,
    query_parameters::{
        CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptions, ListNetworksOptions,
        ListVolumesOptions, RemoveContainerOptionsBuilder, StopContainerOptions,
    },
};

use crate::{
    bench::{self, Bench, until},
    trial,
};

pub fn trials() -> Vec<Trial> {
    let trial = |name, claim: fn(Runtime) -> _| trial(Runtime::Containers, name, claim);
    let missing = Trial::test("containers::without_docker_its_trials_are_ignored_and_say_why", || {
        without_docker();
        Ok(())
    });
    vec![
        missing,
        trial("a_container_removed_behind_our_back_is_named", |_| {
            Box::pin(removed_behind_our_back()) as Claim
        }),
        trial("a_stopped_container_ends_its_service_in_order", |_| Box::pin(stopped()) as Claim),
        trial("a_visitor_on_the_network_of_a_run_stays_and_the_network_goes", |_| {
            Box::pin(visited()) as Claim
        }),
        trial("the_first_process_buries_orphans", |_| Box::pin(orphans()) as Claim),
        trial("the_image_is_made_once", |_| Box::pin(image_is_made_once()) as Claim),
        trial("images_of_other_builds_can_be_removed", |_| Box::pin(old_images()) as Claim),
        trial("an_interrupted_creation_leaves_nothing", |_| Box::pin(interrupted()) as Claim),
        trial("a_run_in_progress_is_nobodys_leftover", |_| Box::pin(in_progress()) as Claim),
    ]
}

type Claim = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn docker() -> Docker {
    Docker::connect_with_defaults().expect("a Docker Engine")
}

async fn removed_behind_our_back() {
    let bench = Bench::up(Runtime::Containers).await;
    let name = format!("{}-left", bench.run());
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    docker().remove_container(&name, Some(force)).await.expect("removed");
    until("the history says so", || bench.changes("left").len() == 2).await;
    let change = bench.changes("left").pop();
    let Some(ProcessChange::Exited { asked: false, last_words, .. }) = change else { panic!("{change:?}") };
    assert_eq!(last_words, "its container is gone");
    let refused = bench.cluster().order("left", Order::Start).await.expect_err("it has no container");
    let text = refused.to_string();
    assert!(text.contains("`left`: its supervisor is gone\nhint: was its container removed"), "{text}");
    bench.order("right", Order::Restart).await;
    bench.tear_down().await;
}

async fn stopped() {
    let bench = Bench::up(Runtime::Containers).await;
    let name = format!("{}-left", bench.run());
    docker().stop_container(&name, None::<StopContainerOptions>).await.expect("stopped");
    assert!(bench.diary("left").contains(&"ends".to_owned()), "{:?}", bench.diary("left"));
    bench.tear_down().await;
}

/// As when an engineer starts a container with tools on the network of a held cluster.
async fn visited() {
    let (host, visitor) = (Bench::up(Runtime::Containers).await, Bench::up(Runtime::Containers).await);
    let run = host.run().to_owned();
    let container = format!("{}-left", visitor.run());
    let connect = NetworkConnectRequest { container, endpoint_config: None };
    docker().connect_network(&format!("notafter-{run}"), connect).await.expect("connected");
    let before = visitor.process("left").pid;
    host.tear_down().await;
    assert_eq!(left_of(Runtime::Containers, &run).await, Vec::<String>::new());
    assert_eq!(visitor.process("left").pid, before);
    visitor.tear_down().await;
}

async fn orphans() {
    let bench = Bench::up(Runtime::Containers).await;
    assert_eq!(bench.ask("left", "orphan").await, "exit status: 0");
    let limit = tokio::time::Instant::now() + crate::PATIENCE;
    while bench.ask("left", "zombies").await != "0" {
        assert!(tokio::time::Instant::now() < limit, "nobody buries them");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.tear_down().await;
}

async fn image_is_made_once() {
    let image_of = async |bench: &Bench| {
        let name = format!("{}-left", bench.run());
        docker().inspect_container(&name, None).await.expect("a container").image.expect("its image")
    };
    let first = Bench::up(Runtime::Containers).await;
    let second = Bench::up(Runtime::Containers).await;
    assert_eq!(image_of(&first).await, image_of(&second).await);
    first.tear_down().await;
    second.tear_down().await;
}

async fn old_images() {
    let bench = Bench::up(Runtime::Containers).await;
    let tags = async || {
        let images = docker().list_images(None::<ListImagesOptions>).await.expect("a list");
        images.into_iter().flat_map(|image| image.repo_tags).collect::<BTreeSet<_>>()
    };
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo("notafter/self")
        .tag("another-build")
        .changes(vec!["LABEL notafter.image=1".into()])
        .build();
    let empty_archive = body_full(vec![0; 1024].into());
    let import = docker().create_image(Some(options), Some(empty_archive), None);
    import.try_collect::<Vec<_>>().await.expect("imported");
    let before = tags().await;
    assert!(before.contains("notafter/self:another-build"), "{before:?}");
    assert!(containers::remove_old_images().expect("Docker answers") >= 1);
    let after = tags().await;
    assert!(!after.contains("notafter/self:another-build"), "{after:?}");
    bench.tear_down().await;
    assert_eq!(tags().await, after, "that of this build was removed");
}

/// This executable, asked for one trial where Docker is not, or does not answer.
fn without_docker() {
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = folder.path().join("nobody.sock");
    let mute = folder.path().join("mute.sock");
    let _mute = UnixListener::bind(&mute).expect("a socket");
    let text = |path: &Path| path.display().to_string();
    let cases = [
        (format!("unix://{}", text(&nobody)), format!("no Docker: cannot connect to {}", text(&nobody))),
        (format!("unix://{}", text(&mute)), "no Docker: it does not answer".to_owned()),
        (
            "tcp://192.0.2.1:2375".to_owned(),
            "no local Docker: DOCKER_HOST is tcp://192.0.2.1:2375".to_owned(),
        ),
    ];
    thread::scope(|scope| {
        for (host, why) in &cases {
            for (required, verdict) in [("", "ignored"), ("containers", "FAILED")] {
                scope.spawn(move || is_missing(host, why, required, verdict));
            }
        }
    });
}

/// Where its runtime is required, a trial fails; elsewhere it is ignored.
fn is_missing(host: &str, why: &str, required: &str, verdict: &str) {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "containers::tear_down_leaves_nothing", "--nocapture"]);
    let output = command.env("DOCKER_HOST", host).env("NOTAFTER_REQUIRE", required).output();
    let output = output.expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(verdict) && text.contains(why), "{host}, `{required}`: {text}");
    assert_eq!(output.status.success(), required.is_empty(), "{text}");
}

/// A creation is dropped at many moments between its beginning and its end.
async fn interrupted() {
    for millis in [1, 20, 60, 120, 250, 400, 700] {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(runs.path(), "interrupted", millis).expect("a run's folder");
        let recorder = Recorder::create(&folder.history(), Clock::start()).expect("a history");
        let system = bench::system();
        let creation = Runtime::Containers.create(&system, &folder, &recorder);
        let created = tokio::time::timeout(Duration::from_millis(millis), creation).await;
        drop(created);
        assert_eq!(left_of(Runtime::Containers, folder.id()).await, Vec::<String>::new());
    }
}

async fn in_progress() {
    let bench = Bench::up(Runtime::Containers).await;
    let mine = |run: &str| containers::runs().expect("Docker answers").into_iter().find(|it| it.run == run);
    let found = mine(bench.run()).expect("it is there");
    assert!(found.owner_lives);
    assert_eq!((found.containers, found.networks), (2, 1));
    let run = bench.run().to_owned();
    bench.tear_down().await;
    assert_eq!(mine(&run), None);
}

/// Containers and networks of a run, by their names and labels.
pub async fn left_of(runtime: Runtime, run: &str) -> Vec<String> {
    if runtime != Runtime::Containers {
        return Vec::new();
    }
    let all = ListContainersOptionsBuilder::new().all(true).build();
    let containers = docker().list_containers(Some(all)).await.expect("a list");
    let containers = containers.iter().map(|it| format!("container {:?} {:?}", it.names, it.labels));
    let left: Vec<_> = containers.filter(|thing| thing.contains(run)).collect();
    if !left.is_empty() {
        // An engine that is asked for networks while containers leave one loses count of them.
        return left;
    }
    let networks = docker().list_networks(None::<ListNetworksOptions>).await.expect("a list");
    let networks = networks.iter().map(|it| format!("network {:?} {:?}", it.name, it.labels));
    networks.filter(|thing| thing.contains(run)).collect()
}

/// All volumes of this machine.
pub async fn volumes(runtime: Runtime) -> BTreeSet<String> {
    if runtime != Runtime::Containers {
        return BTreeSet::new();
    }
    let volumes = docker().list_volumes(None::<ListVolumesOptions>).await.expect("a list");
    volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect()
}
