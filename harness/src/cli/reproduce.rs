//! `notafter reproduce`: breaks a cluster and keeps it up, for somebody to look at.

use std::{fmt::Write, path::PathBuf, sync::Arc, time::Duration};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::watch;

use super::{
    conditions::Conditions,
    exit, find, interrupt,
    launch::{Follow, launch},
    output::{complain, print, say},
    quote,
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    history::{Leaf, Phase},
    pki::{Identity, Validity},
    run::RunFolder,
    runner::{Hold, Show, WAY},
    service::{BUNDLE_FILE, CHAIN_FILE, KEY_FILE, TLS_PORT},
    suite::Suite,
    system::Service,
};

/// Which scenario, and how far.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A scenario
    name: String,

    /// The last phase that is gone through
    #[arg(long, value_name = "PHASE", default_value = "observe", value_parser = phases())]
    until: Phase,

    /// Keep the cluster up until Ctrl-C
    #[arg(long)]
    hold: bool,

    #[command(flatten)]
    conditions: Conditions,
}

/// Runs it as far as asked, shows the cluster, and removes it on Ctrl-C, or at once without `--hold`.
///
/// # Errors
/// If there is no such scenario, or it cannot run here.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    let Args { until, hold, conditions, .. } = args;
    let template = find::template(suite, &args.name)?;
    let system = conditions.manner.system(suite)?.unwrap_or_else(template.system);
    let scenario = template.scenario_on(system, &conditions.settings());
    if let Some(why) = scenario.cannot_run(conditions.runtime) {
        return Err(Error::missing(format!("{}: {why}", template.name)));
    }
    conditions.runtime.available().await?;
    let signals = interrupt::listen()?;
    let (reached, mut was_reached) = watch::channel(false);
    let show: Show = {
        let (name, until, hold) = (template.name.clone(), *until, *hold);
        Arc::new(move |context, folder| {
            let end = if hold { "Ctrl-C removes everything but the evidence." } else { "It is removed now." };
            let text = format!("{name} as it is after phase {until}. {end}\n\n{}", cluster(context, folder));
            if let Err(error) = print(&text) {
                complain(error);
            }
            let _ = reached.send_replace(true);
        })
    };
    let again = again(args, &template.name);
    let stop = if *hold { signals } else { either(signals, was_reached.clone()) };
    let held = Hold { after: *until, show };
    let finished = launch(&scenario, conditions, again, Follow::AndHold(held), stop).await?;
    say(format_args!("removed; the evidence is in {}", finished.folder.path().display()));
    match finished.error {
        Some(error) if error.kind() != Kind::Interrupted || !*was_reached.borrow_and_update() => Err(error),
        _ => Ok(exit::AS_EXPECTED),
    }
}

/// Ends at the first of the two.
fn either(mut one: watch::Receiver<bool>, mut other: watch::Receiver<bool>) -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = one.wait_for(|stop| *stop) => {}
            _ = other.wait_for(|stop| *stop) => {}
        }
        stop.send_replace(true);
        stop.closed().await;
    });
    stopped
}

fn again(args: &Args, name: &str) -> String {
    let mut verb = vec!["reproduce", name, "--until", args.until.name()];
    if args.hold {
        verb.push("--hold");
    }
    args.conditions.again(&verb)
}

/// Where everything is, and commands to look at it.
fn cluster(context: &Context, folder: &RunFolder) -> String {
    let mut text = format!("evidence and logs: {}\n", folder.path().display());
    for service in &context.system().services {
        // A String takes everything.
        let _ = match Endpoint::of(context, folder, service) {
            Ok(endpoint) => writeln!(text, "\n{}\n{endpoint}", service.name),
            Err(error) => writeln!(text, "\n{}: {error}", service.name),
        };
    }
    text
}

/// One service, as somebody reaches it from this machine.
struct Endpoint {
    service: String,
    address: std::net::SocketAddr,
    health: std::net::SocketAddr,
    mounts: Vec<(String, PathBuf, Option<Leaf>)>,
    /// Who calls in the commands, and the folder of its credential.
    caller: String,
    credential: PathBuf,
}

impl Endpoint {
    fn of(context: &Context, folder: &RunFolder, service: &Service) -> Result<Self> {
        let cluster = &context.cluster;
        let mounts = service.mounts.keys().map(|mount| {
            let installed = cluster.installed(&service.name, mount).ok();
            Ok((
                mount.clone(),
                cluster.mount(&service.name, mount)?,
                installed.map(|known| known.leaf().clone()),
            ))
        });
        let (caller, credential) = caller(context, folder, service)?;
        Ok(Self {
            service: service.name.clone(),
            address: cluster.address(&service.name)?,
            health: cluster.health(&service.name)?,
            mounts: mounts.collect::<Result<_>>()?,
            caller,
            credential,
        })
    }
}

/// A service that calls this one, with what it shows there; nobody does: a user, with a fresh
/// credential that goes with the cluster.
fn caller(context: &Context, folder: &RunFolder, service: &Service) -> Result<(String, PathBuf)> {
    for hop in context.system().hops().iter().filter(|hop| hop.server == service.name) {
        if context.cluster.installed(&hop.client, &hop.mount).is_ok() {
            return Ok((hop.client.clone(), context.cluster.mount(&hop.client, &hop.mount)?));
        }
    }
    let authority = context.system().authority_of(&service.name, &service.serves)?;
    let validity = Validity::lasting(Duration::from_hours(24));
    let credential = context.pki.authority(&authority)?.issue(&Identity::client("user"), validity)?;
    let path = folder.service(".user").join(&authority);
    credential.write(&path)?;
    Ok(("a user".into(), path))
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { service, address, health, .. } = self;
        writeln!(f, "  listens at {address} with mutual TLS")?;
        for (mount, folder, leaf) in &self.mounts {
            let state = leaf.as_ref().map_or("empty".into(), state_of);
            writeln!(f, "  credential {mount}: {}, {state}", folder.display())?;
        }
        let connect = address.to_string();
        let openssl = quote::command([
            "openssl",
            "s_client",
            "-connect",
            &connect,
            "-servername",
            service,
            "-verify_hostname",
            service,
            "-verify_return_error",
            "-CAfile",
            BUNDLE_FILE,
            "-cert",
            CHAIN_FILE,
            "-cert_chain",
            CHAIN_FILE,
            "-key",
            KEY_FILE,
        ]);
        let resolve = format!("{service}:{TLS_PORT}:{}", address.ip());
        let url = format!("https://{service}:{TLS_PORT}/live");
        let curl = quote::command([
            "curl",
            "--resolve",
            &resolve,
            "--cacert",
            BUNDLE_FILE,
            "--cert",
            CHAIN_FILE,
            "--key",
            KEY_FILE,
            &url,
        ]);
        let cd = quote::command(["cd", &self.credential.to_string_lossy()]);
        writeln!(f, "  its health, without TLS:\n    curl http://{health}/status")?;
        write!(f, "  as {} calls it:\n    ({cd} && {openssl} </dev/null)\n    ({cd} && {curl})", self.caller)
    }
}

/// `valid until 2022-01-26T20:55:00Z`, or since when it is not.
fn state_of(leaf: &Leaf) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(leaf.not_after).ok();
    let written = instant.and_then(|instant| instant.format(&Rfc3339).ok());
    let written = written.unwrap_or_else(|| format!("Unix second {}", leaf.not_after));
    // Both ends are inclusive, so it ends when the next second begins.
    let left = (leaf.not_after + 1) - OffsetDateTime::now_utc().unix_timestamp();
    if left > 0 {
        format!("valid until {written}")
    } else {
        format!("expired {written}, {} s ago", left.unsigned_abs())
    }
}

fn phases() -> impl TypedValueParser<Value = Phase> {
    PossibleValuesParser::new(WAY.map(Phase::name)).try_map(|name| {
        WAY.into_iter().find(|phase| phase.name() == name).ok_or_else(|| format!("`{name}` is no phase"))
    })
}
