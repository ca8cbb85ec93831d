//! A server that others wrote as a service of a system: configured from the same [`Config`] as every service,
//! watched from outside, told to reload in its own way, and ended with its service.
//!
//! The service is a process of ours that starts the server as its child. It answers on the health port: it is
//! live while both run, and ready when a client that shows its own credential is served. What certificates the
//! server presents it knows from the wire only.
//!
//! | [`Reload`] | what the service does |
//! |---|---|
//! | on change | looks at its mounts; replaced files go to the server, which is told in its usual way |
//! | on signal | does the same when it gets SIGHUP |
//! | never | nothing: the server has what it had at the start |
//!
//! That a server will not use what it got it says itself, in its log; the service says so where the files make no sense
//! and the server complained.
//!
//! The files of the mount that it serves the server gets as copies, all of them at once; those of other mounts it
//! reads where they lie.

pub(crate) mod health;

use std::{io::Read as _, path::Path, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    time::interval,
};

use crate::{
    error::{Context, Error, Result},
    pki::Mark,
    profile::{
        Program, Server,
        instance::{Files, Instance, Place},
    },
    service::{BUNDLE_FILE, CHAIN_FILE, Config, KEY_FILE, RUN, Status},
    system::Reload,
};

/// How often the mount is looked at, and whether the server still runs.
const LOOK: Duration = Duration::from_millis(20);

/// Body of a program that is such a server: runs until SIGTERM, until the server ends, or until whoever holds
/// the other end of stdin is gone. Gives the exit code.
///
/// Beyond what stands for what in [`Server`], there are `{service}`, its name, and `{host}`, by which others
/// reach it; of each service that it needs and everybody knows `{NEED.address}`, `HOST:PORT`; of each mount `{MOUNT.chain}`,
/// `{MOUNT.key}` and `{MOUNT.bundle}`, where they lie; of each door `{MOUNT.port}` and `{MOUNT.members}`,
/// itself and those that it calls there as `NAME=https://HOST:PORT`, with commas; and `{settings.KEY}`.
pub fn main(server: &Server, config: &Config) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return last_words(&Error::new("no runtime").because(error)),
    };
    let ended = runtime.block_on(live(server, config));
    ended.map_or_else(|error| last_words(&error), |()| 0)
}

fn last_words(error: &Error) -> u8 {
    // One line: it is what the history keeps.
    eprintln!("{}", error.to_string().replace('\n', "; "));
    1
}

async fn live(server: &Server, config: &Config) -> Result<()> {
    let (mut told, mut hangup) = (Told::listen()?, listen(SignalKind::hangup())?);
    let health = TcpListener::bind(config.health).await;
    let health = health.context(|| format!("cannot listen on {}", config.health))?;
    let (say, status) = watch::channel(Status { waits_for: vec![STARTS.into()], ..Status::default() });
    tokio::spawn(health::serve(health, status));
    let program = Program::find(server).await?;
    let run = std::env::var(RUN).unwrap_or_default();
    if program.needs_other_user() {
        namespaces(server).await?;
    }
    let mount = mount(config)?;
    // What it says belongs into the log of the service.
    let log = config.data.join("log");
    if let Ok(ours) = std::fs::read_link("/proc/self/fd/2")
        && ours.is_file()
        && !log.exists()
    {
        std::os::unix::fs::symlink(&ours, &log).context(|| format!("cannot make {}", log.display()))?;
    }
    let marks = || config.mounts.values().map(|folder| Mark::of(folder)).collect::<Vec<_>>();
    let mut known = marks();
    let place = Place {
        home: config.data.clone(),
        address: config.listen,
        run: &run,
        lists: None,
        service: Some(words(config)),
    };
    let mut instance = Instance::start(server, &program, place, files(mount)?).await?;
    let (complain, complaint) = watch::channel(None);
    tokio::spawn(health::look(server.protocol, config.clone(), complaint, say));
    let mut tick = interval(LOOK);
    loop {
        tokio::select! {
            () = told.ended() => break,
            _ = hangup.recv() => {
                if config.reload == Reload::OnSignal {
                    complain.send_replace(reload(server, &mut instance, mount).await);
                }
            }
            _ = tick.tick() => {
                if let Some(ended) = instance.ended() {
                    return Err(Error::new(format!("{} {ended}: {}", server.name, instance.last_words())));
                }
                let now = marks();
                if config.reload == Reload::OnChange && now != known && now.iter().all(Mark::has_chain) {
                    known = now;
                    complain.send_replace(reload(server, &mut instance, mount).await);
                }
            }
        }
    }
    instance.stop().await;
    Ok(())
}

/// Whether a server that refuses to be root can be somebody else in its own eyes.
async fn namespaces(server: &Server) -> Result<()> {
    let tried = tokio::process::Command::new("unshare").args(["--user", "true"]).output().await;
    let why = match tried {
        Ok(tried) if tried.status.success() => return Ok(()),
        Ok(tried) => Error::new(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
        Err(error) => Error::new("no unshare(1)").because(error),
    };
    Err(Error::missing(format!("{} refuses to run as root, and there are no user namespaces", server.name))
        .because(why)
        .hint("run notafter as somebody else"))
}

/// What a service waits for that has not been looked at yet.
const STARTS: &str = "the server: it starts";

/// Gives the server what lies in the mount, sense or none, and tells it. Gives what it says then that tells most.
async fn reload(server: &Server, instance: &mut Instance<'_>, mount: &Path) -> Option<String> {
    let mark = instance.mark();
    let told = async {
        instance.install(files(mount)?)?;
        match server.ways.first() {
            Some(way) => instance.reload(way).await,
            None => Ok(String::new()),
        }
    };
    match told.await {
        Ok(_) => eprintln!("gave {} the files that were replaced", server.name),
        Err(error) => eprintln!("could not give {} the files that were replaced: {error}", server.name),
    }
    instance.said_since(mark).await
}

fn files(mount: &Path) -> Result<Files> {
    let read = |name: &str| {
        let path = mount.join(name);
        std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))
    };
    Ok(Files { chain: read(CHAIN_FILE)?, key: read(KEY_FILE)?, bundle: read(BUNDLE_FILE)? })
}

fn mount(config: &Config) -> Result<&Path> {
    let mount = config.mounts.get(&config.serves).map(std::path::PathBuf::as_path);
    mount.ok_or_else(|| Error::usage(format!("it serves `{}`, no mount of it", config.serves)))
}

/// What stands for what, of a service.
fn words(config: &Config) -> Vec<(String, String)> {
    let host = config.advertise.rsplit_once(':').map_or("", |(host, _)| host);
    let mut words =
        vec![("{service}".to_owned(), config.service.clone()), ("{host}".to_owned(), host.to_owned())];
    for (mount, folder) in &config.mounts {
        for (what, name) in [("chain", CHAIN_FILE), ("key", KEY_FILE), ("bundle", BUNDLE_FILE)] {
            words.push((format!("{{{mount}.{what}}}"), folder.join(name).display().to_string()));
        }
    }
    for need in config.needs.keys() {
        if let Some(address) = config.known.get(need) {
            words.push((format!("{{{need}.address}}"), address.clone()));
        }
    }
    for (mount, port) in &config.doors {
        let others = config.needs.iter().filter(|(_, shown)| *shown == mount).filter_map(|(need, _)| {
            let (host, _) = config.known.get(need)?.rsplit_once(':')?;
            Some((need.as_str(), host))
        });
        let members = std::iter::once((config.service.as_str(), host)).chain(others);
        let members: Vec<_> = members.map(|(name, host)| format!("{name}=https://{host}:{port}")).collect();
        words.push((format!("{{{mount}.port}}"), port.to_string()));
        words.push((format!("{{{mount}.members}}"), members.join(",")));
    }
    for (key, value) in &config.settings {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        words.push((format!("{{settings.{key}}}"), value));
    }
    words
}

/// How a service is told to end: by signals, and by the end of stdin.
struct Told {
    terminate: Signal,
    interrupt: Signal,
    gone: oneshot::Receiver<()>,
}

impl Told {
    fn listen() -> Result<Self> {
        let (say, gone) = oneshot::channel();
        // Not a task: a read from stdin cannot be given up, and would hold up the end.
        std::thread::spawn(move || {
            while std::io::stdin().read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
            let _ = say.send(());
        });
        let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(listen);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, gone })
    }

    /// Waits until it is told to end, or nobody is left who could tell.
    async fn ended(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = &mut self.gone => {}
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context(|| "cannot handle signals".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_told_of_itself_and_of_those_that_it_calls_at_the_same_door() {
        let text = r#"{
            "service": "one", "listen": "127.1.2.1:8443", "health": "127.1.2.1:8080",
            "advertise": "127.1.2.1:8443", "start": "in-any-order", "reload": "on-change",
            "needs": { "two": "peer", "auth": "client" },
            "known": { "two": "127.1.2.2:8443", "auth": "127.1.2.9:8443" },
            "serves": "client", "doors": { "peer": 2380 },
            "mounts": { "client": "/c", "peer": "/p" }, "issues": {}, "data": "/d",
            "settings": { "pre_vote": true, "mode": "fast" }
        }"#;
        let config: Config = serde_json::from_str(text).expect("a configuration");
        let words = words(&config);
        let of = |what: &str| words.iter().find(|(key, _)| key == what).map(|(_, value)| value.as_str());
        assert_eq!((of("{service}"), of("{host}")), (Some("one"), Some("127.1.2.1")));
        assert_eq!(of("{peer.members}"), Some("one=https://127.1.2.1:2380,two=https://127.1.2.2:2380"));
        assert_eq!(of("{peer.port}"), Some("2380"));
        assert_eq!(of("{peer.bundle}"), Some("/p/ca.crt"));
        assert_eq!(of("{auth.address}"), Some("127.1.2.9:8443"));
        assert_eq!((of("{settings.pre_vote}"), of("{settings.mode}")), (Some("true"), Some("fast")));
    }
}
