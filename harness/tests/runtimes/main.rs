//! What every runtime promises, shown on each of the two cheap ones, and for pods of Kubernetes what matters most
//! there: `cargo test --test runtimes`.

mod bench;
mod diarist;
mod docker;
mod hydra;

use std::{
    net::IpAddr,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bench::{Bench, process_of, until};
use libtest_mimic::{Arguments, Completion, Trial};
use notafter::{
    guardian,
    history::ProcessChange,
    multicall,
    pki::{Authority, Identity, Validity},
    runtime::{Cluster, Order, Runtime, containers},
};
use rustix::process::Signal;

static ONE_CLUSTER: Mutex<()> = Mutex::new(());

fn main() -> ExitCode {
    let [diarist, orphan] = diarist::PROGRAMS;
    multicall::dispatch(&[diarist, orphan, hydra::PROGRAM]);
    if let Some(order) = std::env::var_os(bench::HOST) {
        return bench::host(&order);
    }
    let mut arguments = Arguments::from_args();
    // They wait for others more than they compute.
    arguments.test_threads.get_or_insert(4);
    let mut trials = Vec::new();
    for runtime in [Runtime::Processes, Runtime::Containers] {
        trials.extend([
            trial(runtime, "orders_act_on_one_service_and_no_other", orders_act_on_one_service_and_no_other),
            trial(runtime, "what_orders_do_is_in_the_history", what_orders_do_is_in_the_history),
            trial(runtime, "a_service_that_dies_is_started_again", a_service_that_dies_is_started_again),
            trial(runtime, "the_address_stays_through_a_restart", the_address_stays_through_a_restart),
            trial(
                runtime,
                "an_installed_file_is_seen_by_the_service",
                an_installed_file_is_seen_by_the_service,
            ),
            trial(runtime, "services_reach_each_other_by_what_they_are_told", services_reach_each_other),
            trial(runtime, "tear_down_leaves_nothing", tear_down_leaves_nothing),
            trial(
                runtime,
                "a_cluster_that_is_dropped_leaves_nothing",
                a_cluster_that_is_dropped_leaves_nothing,
            ),
            trial(runtime, "a_killed_harness_leaves_nothing", a_killed_harness_leaves_nothing),
            trial(
                runtime,
                "nor_does_one_whose_guardians_were_killed",
                nor_does_one_whose_guardians_were_killed,
            ),
            trial(runtime, "what_nobody_could_remove_is_swept", what_nobody_could_remove_is_swept),
            trial_if(
                hydra::lacks,
                runtime,
                "a_server_that_others_wrote_ends_whole",
                a_server_that_others_wrote_ends_whole,
            ),
        ]);
    }
    // Each takes a cluster of its own.
    let pods = Runtime::Kubernetes;
    trials.extend([
        trial(pods, "orders_act_on_one_service_and_no_other", orders_act_on_one_service_and_no_other),
        trial(pods, "an_installed_file_is_seen_by_the_service", an_installed_file_is_seen_by_the_service),
        trial(pods, "a_killed_harness_leaves_nothing", a_killed_harness_leaves_nothing),
    ]);
    trials.extend(docker::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial that is ignored where its runtime is missing, unless `NOTAFTER_REQUIRE` names it.
fn trial<F: Future<Output = ()>>(
    runtime: Runtime,
    name: &str,
    claim: impl Fn(Runtime) -> F + Send + 'static,
) -> Trial {
    trial_if(|_| None, runtime, name, claim)
}

/// The same, ignored where something else is missing, too: servers that others wrote.
fn trial_if<F: Future<Output = ()>>(
    lacks: fn(Runtime) -> Option<String>,
    runtime: Runtime,
    name: &str,
    claim: impl Fn(Runtime) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(format!("{}::{name}", runtime.name()), move || {
        // A cluster of nodes is as much as two cores carry; one that failed has let go of it.
        let _alone = (runtime == Runtime::Kubernetes)
            .then(|| ONE_CLUSTER.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(missing) = lacks(runtime) {
            if notafter::testing::requires(notafter::testing::SERVERS) {
                return Err(missing.into());
            }
            return Ok(Completion::ignored_with(missing));
        }
        let tokio = tokio::runtime::Runtime::new().expect("a runtime");
        tokio.block_on(async {
            if let Err(missing) = runtime.available().await {
                if notafter::testing::requires(runtime.name()) {
                    return Err(missing.to_string().into());
                }
                return Ok(Completion::ignored_with(missing.to_string().replace('\n', "; ")));
            }
            claim(runtime).await;
            Ok(Completion::Completed)
        })
    })
}

async fn orders_act_on_one_service_and_no_other(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    let (left, right) = (bench.process("left"), bench.process("right"));

    bench.order("left", Order::Pause).await;
    until("left halts", || process_of(bench.run(), "left").is_some_and(|it| it.state == 'T')).await;
    bench.order("left", Order::Resume).await;
    until("left goes on", || process_of(bench.run(), "left").is_some_and(|it| it.state != 'T')).await;
    assert_eq!(bench.process("left").pid, left.pid);

    bench.order("left", Order::Reload).await;
    until("left reloads", || bench.diary("left").contains(&"reloads".to_owned())).await;
    assert_eq!(bench.process("left").pid, left.pid);

    bench.order("left", Order::Restart).await;
    let restarted = bench.process("left").pid;
    assert_ne!(restarted, left.pid);
    assert!(bench.diary("left").contains(&"ends".to_owned()), "it was not asked to end");

    bench.order("left", Order::Kill).await;
    until("left is started again", || process_of(bench.run(), "left").is_some_and(|it| it.pid != restarted))
        .await;

    bench.order("left", Order::Stop).await;
    assert!(process_of(bench.run(), "left").is_none());
    let refused = bench.cluster().order("left", Order::Reload).await.expect_err("it does not run");
    assert!(refused.to_string().contains("left does not run"), "{refused}");
    bench.order("left", Order::Start).await;
    assert!(process_of(bench.run(), "left").is_some());

    assert_eq!(bench.process("right").pid, right.pid, "right had nothing to do with it");
    bench.tear_down().await;
}

async fn what_orders_do_is_in_the_history(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    for order in [Order::Stop, Order::Start, Order::Restart] {
        bench.order("left", order).await;
    }
    let seen: Vec<_> = bench
        .changes("left")
        .into_iter()
        .map(|change| match change {
            ProcessChange::Spawned { restarts, .. } => format!("spawned after {restarts}"),
            ProcessChange::Exited { code: Some(code), asked: true, .. } => format!("exited with {code}"),
            other => format!("{other:?}"),
        })
        .collect();
    let expected =
        ["spawned after 0", "exited with 0", "spawned after 1", "exited with 0", "spawned after 2"];
    assert_eq!(seen, expected);
    bench.tear_down().await;
}

async fn a_service_that_dies_is_started_again(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    bench.order("left", Order::Kill).await;
    until("left is started again", || bench.changes("left").len() == 4).await;
    let seen = bench.changes("left");
    let killed = matches!(seen[1], ProcessChange::Exited { signal: Some(9), asked: false, .. });
    let waited = matches!(seen[2], ProcessChange::BackingOff { for_ms: 50 });
    let again = matches!(seen[3], ProcessChange::Spawned { restarts: 1, .. });
    assert!(killed && waited && again, "{seen:?}");
    bench.tear_down().await;
}

async fn the_address_stays_through_a_restart(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    let before = bench.ask("left", "who").await;
    bench.order("left", Order::Restart).await;
    let after = bench.ask("left", "who").await;
    assert_ne!(before, after, "two processes gave one answer");
    let [address, name] = [&before, &after].map(|answer| answer.rsplit_once(' ').expect("three words").0);
    assert_eq!(address, name);
    assert_eq!(address.split(' ').nth(1), Some(bench.address("left").to_string().as_str()));
    bench.tear_down().await;
}

async fn an_installed_file_is_seen_by_the_service(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    for text in ["the first", "the second"] {
        bench.cluster().install_bundle("left", "main", text).expect("installed");
        assert_eq!(bench.ask("left", "bundle").await, text);
    }
    bench.tear_down().await;
}

/// `left` calls `right` where its configuration says that `right` is, and the other way round.
async fn services_reach_each_other(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    for (from, to) in [("left", "right"), ("right", "left")] {
        let answer = bench.ask(from, &format!("call {to}")).await;
        let mut words = answer.split(' ');
        assert_eq!(words.next(), Some(to), "{answer}");
        let address: IpAddr = words.next().and_then(|word| word.parse().ok()).expect("an address");
        assert_eq!(address, bench.address(to));
    }
    bench.tear_down().await;
}

async fn tear_down_leaves_nothing(runtime: Runtime) {
    let volumes = docker::volumes(runtime).await;
    let bench = Bench::up(runtime).await;
    assert_eq!(bench::processes_of(bench.run()).len(), bench::expected_processes(runtime));
    let run = bench.run().to_owned();
    let services = bench.folder().service("left");
    assert!(services.exists());
    bench.tear_down().await;
    assert_eq!(bench::left_of(runtime, &run).await, Vec::<String>::new());
    assert_eq!(docker::volumes(runtime).await, volumes);
    assert!(!services.exists(), "{} holds keys", services.display());
}

async fn a_cluster_that_is_dropped_leaves_nothing(runtime: Runtime) {
    let bench = Bench::up(runtime).await;
    let run = bench.run().to_owned();
    drop(bench);
    bench::until_nothing_is_left(runtime, &run).await;
}

async fn a_killed_harness_leaves_nothing(runtime: Runtime) {
    let mut host = bench::Host::start(runtime).await;
    assert_ne!(bench::left_of(runtime, host.run()).await, Vec::<String>::new());
    host.kill();
    bench::until_nothing_is_left(runtime, host.run()).await;
}

async fn nor_does_one_whose_guardians_were_killed(runtime: Runtime) {
    let mut host = bench::Host::start(runtime).await;
    let first = host.guardians();
    assert_eq!(first.len(), 2);
    for guardian in &first {
        bench::kill(*guardian);
    }
    let replaced = |pid: &u32| !first.contains(pid);
    until("others take their place", || host.guardians().iter().filter(|pid| replaced(pid)).count() == 2)
        .await;
    host.kill();
    bench::until_nothing_is_left(runtime, host.run()).await;
}

/// Harness and guardians end in one moment, as in a power cut, but the machine goes on.
async fn what_nobody_could_remove_is_swept(runtime: Runtime) {
    let mut host = bench::Host::start(runtime).await;
    let folder = host.folder();
    // Halted, it cannot replace them.
    host.signal(Signal::STOP);
    for guardian in host.guardians() {
        bench::kill(guardian);
    }
    host.kill();
    if runtime == Runtime::Containers {
        // Their first processes see that the harness is gone, and nothing else would end them.
        until("the containers end by themselves", || bench::processes_of(host.run()).is_empty()).await;
        let leftovers = containers::runs().expect("Docker answers");
        let leftover = leftovers.into_iter().find(|it| it.run == host.run()).expect("its network");
        assert!(!leftover.owner_lives, "{leftover:?}");
    }
    assert_ne!(bench::left_of(runtime, host.run()).await, Vec::<String>::new());
    assert_eq!(guardian::clean_up(&folder), Vec::<String>::new());
    assert_eq!(bench::left_of(runtime, host.run()).await, Vec::<String>::new());
    assert!(!folder.service("left").exists(), "{} holds keys", folder.path().display());
    assert!(folder.history().exists(), "the evidence is gone");
}

/// It is killed, told to end, and ended; its worker has to go each time, and one is there after each start.
async fn a_server_that_others_wrote_ends_whole(runtime: Runtime) {
    let (system, word) = hydra::system(&format!("{}-{}", runtime.name(), std::process::id()));
    let mesh = Authority::new("mesh").expect("an authority");
    let own = mesh.issue(&Identity::service("hydra"), Validity::lasting(Duration::from_hours(1)));
    let own = own.expect("a credential");
    let lay = |cluster: &Cluster| cluster.install("hydra", "main", &own).expect("installed");
    let bench = Bench::of(runtime, &system, lay).await;
    let other_than = |before: Vec<u32>| {
        let word = &word;
        async move {
            let is_new = || {
                let workers = hydra::workers(word);
                workers.len() == 1 && !before.contains(&workers[0])
            };
            until("one worker, and a new one", is_new).await;
            hydra::workers(word)
        }
    };
    let mut workers = other_than(Vec::new()).await;
    for order in [Order::Kill, Order::Restart] {
        bench.order("hydra", order).await;
        workers = other_than(workers).await;
    }
    for order in [Order::End, Order::Stop] {
        bench.order("hydra", order).await;
        until("no worker", || hydra::workers(&word).is_empty()).await;
        bench.order("hydra", Order::Start).await;
        workers = other_than(workers).await;
    }
    bench.tear_down().await;
    until("no worker", || hydra::workers(&word).is_empty()).await;
}

/// Longer than anything here takes, a pod on a busy machine as well, and short enough that nobody waits for a hang.
const PATIENCE: Duration = Duration::from_secs(30);
