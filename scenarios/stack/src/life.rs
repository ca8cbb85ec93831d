//! The common life of a service: it binds, gets its credentials, registers, finds its needs, does
//! its work, renews, and ends when it is told to.

use std::{
    future::Future,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::FileTypeExt as _,
    sync::Arc,
    time::Duration,
};

use notafter::{
    service::Config,
    system::{Reload, Start},
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
};

use crate::{
    client::{HopError, MANAGER, Registration},
    clock,
    credentials::{LOOK, Mount, has_expired},
    enrol, renewal, server,
    service::{End, Role, Service},
    settings,
    tls::{self, EXPIRED},
    wait::{Backoff, jittered},
};

/// The mount that a service fills by itself, with what the manager gives it.
const BY_ITSELF: &str = "workload";
/// How often a service tells the manager where it is.
const HEARTBEAT: Duration = Duration::from_millis(200);
/// How old the last answer of a need may be before it is asked whether it lives.
const FRESH: Duration = Duration::from_millis(250);

/// How many retry at the same moment where that is a defect, and how long each of them stays.
const HERD: usize = 200;
const STAY: Duration = Duration::from_millis(500);

/// Body of a program: serves until SIGTERM, or until whoever holds the other end of stdin is gone.
/// Gives the exit code.
pub fn main<R: Role>(config: Config) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return last_words(&End::Machine(format!("no runtime: {error}"))),
    };
    let ended = runtime.block_on(async {
        // Registered before anything else: process 1 of a container has no default actions, and
        // everybody else would die of a SIGHUP that is not meant for them.
        let told = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let [Ok(mut terminate), Ok(mut interrupt), Ok(_hangup)] = told else {
            return Err(End::Machine("cannot handle signals".into()));
        };
        let mut lifeline = lifeline();
        let told = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                Ok(()) = &mut lifeline => {}
            }
        };
        serve::<R>(config, told).await
    });
    // A write that hangs in the kernel must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(20));
    match ended {
        Ok(()) => 0,
        Err(end) => last_words(&end),
    }
}

/// Lives the life of a service until `told` to end.
///
/// # Errors
/// Settings that make no sense, a port or folder that cannot be used, or, for
/// [`Start::NeedsFirst`], a need that does not answer.
pub async fn serve<R: Role>(config: Config, told: impl Future<Output = ()>) -> Result<(), End> {
    let (common, own) = settings::read(&config.settings).map_err(End::Settings)?;
    clock::look(&config.clock);
    let service = Arc::new(Service::new(config, common));
    // Dropped last to first: whatever ends here takes every task and connection with it.
    let mut tasks = JoinSet::new();
    let health = bind(service.config.health).await?;
    tasks.spawn(server::serve_health(health, service.clone()));
    let role = Arc::new(R::open(service.clone(), own).map_err(End::Machine)?);
    let living = async {
        rise(&service, &role, &mut tasks).await?;
        std::future::pending::<Result<(), End>>().await
    };
    let ended = tokio::select! {
        ended = living => ended,
        () = told => Ok(()),
        () = service.drowned.notified() => Err(End::Machine(format!(
            "more than {} connections are open",
            service.settings.most_connections
        ))),
    };
    role.close();
    ended
}

/// Brings a service up; what goes on is left in `tasks`.
async fn rise<R: Role>(service: &Arc<Service>, role: &Arc<R>, tasks: &mut JoinSet<()>) -> Result<(), End> {
    let config = &service.config;
    let serves = service.mounts.get(&config.serves);
    let serves =
        serves.ok_or_else(|| End::Settings(format!("it serves `{}`, no mount of it", config.serves)))?;
    let in_order = config.start == Start::NeedsFirst;
    // What lies there already first: to get the others takes a credential.
    let (by_itself, beforehand): (Vec<_>, Vec<_>) =
        service.mounts.values().partition(|mount| enrols(service, mount));
    for mount in beforehand.into_iter().chain(by_itself) {
        if service.settings.reads_credential_once && enrols(service, mount) {
            // Whatever writes it gets one chance.
            let _ = enrol_once(service).await;
        }
        if service.settings.forgets_credential && enrols(service, mount) {
            mount.overlook();
            continue;
        }
        match mount.load() {
            Ok(leaf) if service.settings.expired_blocks_start && has_expired(&leaf) => {
                return Err(End::Machine(format!("{} credential: {EXPIRED}", mount.name)));
            }
            Ok(_) => {}
            Err(_) if enrols(service, mount) => {}
            Err(error) if in_order => return Err(End::Need(format!("{} credential: {error}", mount.name))),
            Err(error) => {
                mount.miss(&error);
                service.log.say(&format!("{} credential: {error}", mount.name));
            }
        }
    }
    if in_order {
        // Whoever is not up yet must look so from outside: the port opens last.
        ask_needs::<R>(service).await.map_err(|error| End::Need(error.to_string()))?;
    }
    let listener = bind(config.listen).await?;
    tasks.spawn(server::serve(listener, service.clone(), serves.clone(), role.clone().router()));
    tasks.spawn(watch(service.clone()));
    tasks.spawn(reload_on_signal(service.clone()));
    tasks.spawn(keep_contact(service.clone(), role.clone(), in_order));
    for need in by_http::<R>(service).filter(|need| *need != MANAGER) {
        tasks.spawn(watch_need(service.clone(), need.clone()));
    }
    let (serves, role) = (serves.clone(), role.clone());
    tasks.spawn(async move {
        serves.available().await;
        role.work().await;
    });
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, End> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| End::Machine(format!("cannot listen on {address}: {error}")))
}

/// Whether the service fills this mount with what the manager gives it.
fn enrols(service: &Service, mount: &Mount) -> bool {
    mount.name == BY_ITSELF && service.settings.enrols && service.config.needs.contains_key(MANAGER)
}

/// The needs that are asked whether they live as services of ours are.
fn by_http<R: Role>(service: &Service) -> impl Iterator<Item = &String> {
    service.config.needs.keys().filter(|need| !R::CALLS_OTHERWISE.contains(&need.as_str()))
}

/// Asks every need once, the manager first; the first that fails decides.
async fn ask_needs<R: Role>(service: &Service) -> Result<(), HopError> {
    if service.config.needs.contains_key(MANAGER) {
        enrol_once(service).await?;
    }
    for need in by_http::<R>(service) {
        service.client.get(need, "/live").await?;
    }
    Ok(())
}

async fn enrol_once(service: &Service) -> Result<(), HopError> {
    for mount in service.mounts.values().filter(|mount| enrols(service, mount)) {
        enrol::enrol(&service.client, &service.config.service, mount).await?;
        // Whatever the way of reloading: this is the beginning.
        if service.settings.reads_credential_once {
            continue;
        }
        if let Err(error) = mount.load() {
            let trouble = tls::Trouble::unreachable(format!("what it gave is no credential: {error}"));
            return Err(HopError { need: MANAGER.into(), trouble });
        }
    }
    Ok(())
}

/// Gets a credential, registers, and from then on tells the manager again and again where it is, so
/// that the manager sees the certificate in use; and renews.
async fn keep_contact<R: Role>(service: Arc<Service>, role: Arc<R>, enrolled: bool) {
    let renewing = renewal::renew(&service, &*role);
    if !service.config.needs.contains_key(MANAGER) {
        return renewing.await;
    }
    service.set_trouble("registration", Some("not yet".into()));
    service.client.has_credential_for(MANAGER).await;
    if service.settings.registers_once {
        register_once(&service).await;
    }
    if !enrolled {
        let mut backoff = Backoff::new();
        while let Err(error) = enrol_once(&service).await {
            service.log.say(&error.to_string());
            if service.settings.thundering_retry {
                thunder(&service).await;
            }
            backoff.wait().await;
        }
    }
    if service.settings.registers_once {
        return renewing.await;
    }
    tokio::join!(register(&service), renewing);
}

/// Waits until the manager serves; then all of the herd call it at the same moment, and stay.
async fn thunder(service: &Service) {
    let Some(address) = service.config.known.get(MANAGER) else { return };
    while service.client.get(MANAGER, "/live").await.is_err() {
        tokio::time::sleep(LOOK).await;
    }
    let mut herd = JoinSet::new();
    for _ in 0..HERD {
        let address = address.clone();
        herd.spawn(async move {
            let connected = TcpStream::connect(address).await;
            tokio::time::sleep(STAY).await;
            drop(connected);
        });
    }
    drop(herd.join_all().await);
}

async fn register(service: &Service) {
    wait_for_other(service).await;
    let mut backoff = Backoff::new();
    // Those who were turned away come back once.
    let mut herd = service.settings.thundering_retry;
    loop {
        if register_once(service).await {
            backoff.reset();
            tokio::time::sleep(HEARTBEAT).await;
        } else {
            if std::mem::take(&mut herd) {
                thunder(service).await;
            }
            backoff.wait().await;
        }
    }
}

/// Tells the manager where it is. Whoever cannot be found is not ready.
async fn register_once(service: &Service) -> bool {
    let config = &service.config;
    let here = Registration { name: config.service.clone(), address: config.advertise.clone() };
    let why = match service.client.post(MANAGER, "/v1/services", &here).await {
        Ok(reply) if reply.status.is_success() => None,
        Ok(reply) => Some(format!("{MANAGER} does not register it: {}", reply.reason())),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = &why {
        service.log.say(why);
    }
    let registered = why.is_none();
    service.set_trouble("registration", why);
    registered
}

/// Waits until another service is registered, if it is told to.
async fn wait_for_other(service: &Service) {
    let other = &service.settings.registers_after;
    let mut backoff = Backoff::new();
    while !other.is_empty() {
        match service.client.get(MANAGER, &format!("/v1/services/{other}")).await {
            Ok(reply) if reply.status.is_success() => break,
            _ => service.set_trouble("registration", Some(format!("not before {other} is registered"))),
        }
        backoff.wait().await;
    }
}

/// Asks a need whether it lives, whenever nothing else was asked of it for a while.
async fn watch_need(service: Arc<Service>, need: String) {
    service.client.has_credential_for(&need).await;
    let mut backoff = Backoff::new();
    loop {
        if service.client.needs.is_fresh(&need, FRESH) {
            backoff.reset();
        } else if let Err(error) = service.client.get(&need, "/live").await {
            service.log.say(&error.to_string());
            if service.settings.waits_for_ever {
                service
                    .client
                    .needs
                    .failed(&need, &format!("{}, and it waits for ever", error.trouble.words));
                return;
            }
            backoff.wait().await;
            continue;
        }
        tokio::time::sleep(jittered(FRESH)).await;
    }
}

/// Looks at the clock, takes replaced credentials into use, and says in the log when the service becomes ready and when
/// it no longer is.
async fn watch(service: Arc<Service>) {
    let mut was_ready = false;
    loop {
        clock::look(&service.config.clock);
        if service.config.reload == Reload::OnChange && !service.settings.reads_credential_once {
            for mount in service.mounts.values() {
                if let Some(loaded) = mount.load_if_changed() {
                    tell(&service, mount, loaded);
                }
            }
        }
        let waits_for = service.waits_for();
        if waits_for.is_empty() != was_ready {
            was_ready = waits_for.is_empty();
            let line = if was_ready { "ready".into() } else { format!("waits for {}", waits_for.join(", ")) };
            service.log.say(&line);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn reload_on_signal(service: Arc<Service>) {
    if service.config.reload != Reload::OnSignal {
        return;
    }
    let Ok(mut asked) = signal(SignalKind::hangup()) else {
        return service.log.say("cannot handle SIGHUP: credentials stay as they are");
    };
    while asked.recv().await.is_some() {
        for mount in service.mounts.values() {
            tell(&service, mount, mount.load());
        }
    }
}

fn tell(service: &Service, mount: &Mount, loaded: Result<notafter::history::Leaf, String>) {
    let name = &mount.name;
    match loaded {
        Ok(leaf) => service.log.say(&format!("{name} credential: now serial {}", leaf.serial)),
        Err(error) if mount.in_use().is_some() => {
            service.log.say(&format!("{name} credential: {error}; the last good one stays in use"));
        }
        Err(error) => service.log.say(&format!("{name} credential: {error}")),
    }
}

fn last_words(end: &End) -> u8 {
    let _ = writeln!(std::io::stderr(), "{end}");
    end.code()
}

/// Is told when stdin, if it is a pipe, has no other end any more: the harness is gone.
fn lifeline() -> oneshot::Receiver<()> {
    let (gone, told) = oneshot::channel();
    let is_pipe = std::fs::metadata("/proc/self/fd/0").is_ok_and(|data| {
        let kind = data.file_type();
        kind.is_fifo() || kind.is_socket()
    });
    if is_pipe {
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while std::io::stdin().read(&mut bytes).is_ok_and(|read| read > 0) {}
            let _ = gone.send(());
        });
    }
    told
}
