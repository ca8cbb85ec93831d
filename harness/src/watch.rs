//! Watches what every service says about itself, and what its peers saw of it on the wire.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use crate::{
    history::{Health, Leaf, ProcessChange, Recorder, Tail, What},
    http::Plain,
    runtime::Cluster,
    service::Status,
    sightings::Key,
    system::{Service, System},
};

/// How often a service that is ready is asked, if it answers at once.
const EVERY: Duration = Duration::from_millis(25);
/// How often one that runs and is not is asked: it will be, any moment. A pause between two questions.
const WHILE_UNREADY: Duration = Duration::from_millis(4);
/// Longer than this, and a health endpoint counts as dead.
const LIMIT: Duration = Duration::from_secs(1);
/// A wall clock that is further off than this was moved by somebody.
const DRIFT_MS: i64 = 500;

/// Watches until it is stopped.
pub struct Watch {
    tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to watch every service, and the clock.
    pub fn start(cluster: &Arc<Cluster>, recorder: &Recorder) -> Self {
        let mut tasks = JoinSet::new();
        for service in &cluster.system().services {
            tasks.spawn(watch(service.name.clone(), cluster.clone(), recorder.clone()));
        }
        tasks.spawn(watch_clock(recorder.clone()));
        Self { tasks }
    }

    /// Ends, and waits until nothing is asked any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn watch(service: String, cluster: Arc<Cluster>, recorder: Recorder) {
    let Ok(address) = cluster.health(&service) else { return };
    let mut plain = Plain::new(address);
    let mut process = Process::of(&service, &recorder);
    let mut last: Option<Health> = None;
    let mut seen: HashMap<Key, Leaf> = HashMap::new();
    let mut rejected: BTreeMap<String, String> = BTreeMap::new();
    let mut claimed: BTreeMap<String, Leaf> = BTreeMap::new();
    let mut last_of: Option<u32> = None;
    let mut asked = Instant::now();
    let mut known: Option<u64> = None;
    let mut ahead_ms = 0;
    loop {
        sleep(WHILE_UNREADY).await;
        // A system of many services that are down is not worth a thousand questions a second, nor is one
        // that comes up: half of what a start costs was theirs.
        let mut before = SystemTime::UNIX_EPOCH;
        let status = if process.runs() {
            let ready = last.as_ref().is_some_and(|health| health.ready);
            if ready && asked.elapsed() < EVERY {
                continue;
            }
            asked = Instant::now();
            before = SystemTime::now();
            let path = known.map_or_else(|| "/status".into(), |mark| format!("/status?unlike={mark}"));
            plain.get::<Status>(&path, LIMIT).await.ok()
        } else {
            None
        };
        known = status.as_ref().map(Status::mark);
        let health = Health {
            service: service.clone(),
            live: status.is_some(),
            ready: status.as_ref().is_some_and(|status| status.ready),
            waits_for: status.as_ref().map(|status| status.waits_for.clone()).unwrap_or_default(),
        };
        // Who restarts between two looks is another process, and says the same for itself.
        let is_new = health.live && last_of != Some(process.starts);
        let live = health.live;
        if last.as_ref() != Some(&health) || is_new {
            last_of = Some(process.starts).filter(|_| health.live).or(last_of);
            recorder.record(What::Health(health.clone()));
            last = Some(health);
        }
        let rejects = status.as_ref().map(|status| status.rejected.clone()).unwrap_or_default();
        if live && rejects != rejected {
            for (mount, why) in rejects.iter().filter(|(mount, why)| rejected.get(*mount) != Some(why)) {
                let (service, mount, why) = (service.clone(), mount.clone(), why.clone());
                recorder.record(What::Rejected { service, mount, why });
            }
            rejected = rejects;
        }
        for (mount, leaf) in status.iter().flat_map(|status| &status.credentials) {
            if claimed.get(mount) != Some(leaf) {
                let (service, mount, leaf) = (service.clone(), mount.clone(), leaf.clone());
                claimed.insert(mount.clone(), leaf.clone());
                recorder.record(What::Claims { service, mount, leaf });
            }
        }
        if let Some(says) = status.as_ref().and_then(|status| status.clock_us)
            && let Some(off) = came_to_be_off(ahead_ms, says, [before, SystemTime::now()])
        {
            ahead_ms = off;
            recorder.record(What::ClockSeen { service: service.clone(), ahead_ms });
        }
        let clients = status.map(|status| status.clients).unwrap_or_default();
        let address = |service: &str| cluster.source(service);
        for (key, leaf) in shown_by_themselves(cluster.system(), &clients, address) {
            if seen.get(&key) != Some(leaf) {
                let (service, mount) = key.clone();
                recorder.record(What::Using { service, mount, leaf: leaf.clone() });
                seen.insert(key, leaf.clone());
            }
        }
    }
}

/// By how many milliseconds a clock is ahead now, if that is not what was `known`. It said so at some time
/// between the two. Less than what NTP steps over is nothing.
fn came_to_be_off(known: i64, says_us: u64, [asked, told]: [SystemTime; 2]) -> Option<i64> {
    let millis = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    };
    let says = i64::try_from(says_us / 1000).unwrap_or(i64::MAX);
    let (least, most) = (says.saturating_sub(millis(told)), says.saturating_sub(millis(asked)));
    let within = |off: i64| (least - DRIFT_MS..=most + DRIFT_MS).contains(&off);
    match (within(known), within(0)) {
        (true, _) => None,
        (false, true) => Some(0),
        // An answer is given at the end of the wait for it.
        (false, false) => Some(least),
    }
}

/// Whether a service's process runs, by its supervisor.
struct Process {
    tail: Tail,
    service: String,
    runs: bool,
    starts: u32,
}

impl Process {
    fn of(service: &str, recorder: &Recorder) -> Self {
        Self { tail: Tail::from_start(recorder), service: service.to_owned(), runs: false, starts: 0 }
    }

    fn runs(&mut self) -> bool {
        let Self { tail, service, runs, starts } = self;
        tail.look(|event| {
            if let What::Process { service: whose, change } = &event.what
                && whose == service
            {
                match change {
                    ProcessChange::Spawned { .. } => {
                        *runs = true;
                        *starts += 1;
                    }
                    ProcessChange::Exited { .. } => *runs = false,
                    ProcessChange::BackingOff { .. } | ProcessChange::NotSpawned { .. } => {}
                }
            }
        });
        *runs
    }
}

/// What services have shown, each from its own address. The prober shows what is installed, whether or not
/// the service does: what came from anywhere else is not the service's.
fn shown_by_themselves<'s>(
    system: &System,
    clients: &'s BTreeMap<String, BTreeMap<IpAddr, Leaf>>,
    address: impl Fn(&str) -> Option<IpAddr>,
) -> Vec<(Key, &'s Leaf)> {
    let own = |(client, sources): (&String, &'s BTreeMap<IpAddr, Leaf>)| {
        let key = mount_of(system, client)?;
        let leaf = sources.get(&address(&key.0)?)?;
        Some((key, leaf))
    };
    clients.iter().filter_map(own).collect()
}

/// Whose mount a client's certificate came from: `archive@mesh` is the mount of `archive` whose
/// authority is `mesh`. A certificate may be called after what it is for, as Kubernetes has it:
/// `front-proxy-client@front-proxy-ca` is the mount of that name. Whoever issues for an authority and holds no
/// certificate of it, as who signs tokens, has none but that. None for users, probes and strangers.
fn mount_of(system: &System, client: &str) -> Option<Key> {
    let (name, authority) = client.split_once('@')?;
    let Some(service) = system.service(name) else {
        let shows = |service: &&Service| service.mounts.get(name).is_some_and(|it| it.authority == authority);
        return Some((system.services.iter().find(shows)?.name.clone(), name.to_owned()));
    };
    let own = service.mounts.iter().find(|(_, mount)| mount.authority == authority).map(|(mount, _)| mount);
    let mount = own.or_else(|| service.issues.iter().find(|issued| *issued == authority))?;
    Some((name.to_owned(), mount.clone()))
}

async fn watch_clock(recorder: Recorder) {
    let mut known = 0;
    let mut tick = interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        // A full disk is found out by whoever flushes last; evidence on disk is never older than this.
        let _ = recorder.flush();
        let drift = recorder.clock().drift_ms();
        if (drift - known).abs() > DRIFT_MS {
            recorder.record(What::ClockJumped { by_ms: drift - known });
            known = drift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_if_no_delay_explains_what_it_says() {
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let off =
            |known, says_ms: u64, asked, told| came_to_be_off(known, says_ms * 1000, [at(asked), at(told)]);
        assert_eq!(off(0, 100_050, 100_000, 100_100), None);
        assert_eq!(off(0, 105_000, 100_000, 110_000), None, "the answer took ten seconds");
        assert_eq!(off(0, 160_100, 100_000, 100_100), Some(60_000));
        assert_eq!(off(60_000, 160_250, 100_200, 100_250), None);
        assert_eq!(off(60_000, 100_300, 100_250, 100_300), Some(0));
        assert_eq!(off(0, 40_100, 100_000, 100_100), Some(-60_000));
    }

    #[test]
    fn a_certificate_is_called_after_its_service_or_after_what_it_is_for() {
        let text = r#"
            name = "one"
            authorities = ["front-proxy-ca", "service-accounts"]
            [[services]]
            name = "api"
            program = "api"
            serves = "serving"
            issues = ["service-accounts"]
            mounts.serving.authority = "front-proxy-ca"
            mounts.front-proxy-client.authority = "front-proxy-ca"
        "#;
        let system = System::from_toml(text, "test").expect("a system");
        let mount =
            |client: &str| mount_of(&system, client).map(|(service, mount)| format!("{service} {mount}"));
        let for_what = "front-proxy-client@front-proxy-ca";
        assert_eq!(mount(for_what).as_deref(), Some("api front-proxy-client"));
        assert!(mount("api@front-proxy-ca").is_some_and(|it| it.starts_with("api ")));
        assert_eq!(mount("front-proxy-client@mesh"), None);
        assert_eq!(mount("somebody@front-proxy-ca"), None);
        let signer = "api@service-accounts";
        assert_eq!(
            mount(signer).as_deref(),
            Some("api service-accounts"),
            "who signs tokens has no certificate"
        );
    }

    #[test]
    fn what_the_prober_shows_for_a_service_is_not_what_the_service_shows() {
        let text = r#"
            name = "one"
            authorities = ["mesh"]
            [[services]]
            name = "archive"
            program = "archive"
            serves = "workload"
            mounts.workload.authority = "mesh"
        "#;
        let system = System::from_toml(text, "test").expect("a system");
        let [own, prober] = ["127.1.2.3", "127.0.0.1"].map(|text| text.parse().expect("an address"));
        let leaf = |serial: &str| Leaf { serial: serial.into(), not_before: 0, not_after: 1 };
        let (old, new) = (leaf("old"), leaf("new"));
        let of = |sources: &[(IpAddr, &Leaf)]| {
            let sources = sources.iter().map(|(from, leaf)| (*from, (*leaf).clone())).collect();
            BTreeMap::from([("archive@mesh".to_owned(), sources)])
        };
        let address = |service: &str| (service == "archive").then_some(own);
        let key = ("archive".to_owned(), "workload".to_owned());
        let both = of(&[(prober, &new), (own, &old)]);
        assert_eq!(shown_by_themselves(&system, &both, address), [(key, &old)]);
        assert_eq!(shown_by_themselves(&system, &of(&[(prober, &new)]), address), []);
    }
}
