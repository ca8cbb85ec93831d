//! `notafter watch`: an exporter for Prometheus that looks at certificates again and again.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};

use super::{
    exit, interrupt,
    inventory::{Kubernetes, Subjects},
    output::{complain, print, say},
};
use crate::{
    error::{Error, Result},
    inventory::Owners,
    system::Span,
    watcher::{Watcher, serve},
};

/// More often nobody looks.
const MOST_OFTEN: Duration = Duration::from_secs(1);

/// What is looked at, how often, and where it is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Files, folders, and servers, as `notafter inventory` takes them
    #[arg(required_unless_present = "kubeconfig", value_name = "SOURCE")]
    sources: Vec<String>,

    #[command(flatten)]
    cluster: Kubernetes,

    /// Where to answer; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9793", value_parser = address)]
    listen: SocketAddr,

    /// How often to look: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    every: Span,

    /// Whose what is: a TOML file of `"GLOB" = "person or team"`, matched against places and names
    #[arg(long, value_name = "FILE")]
    owners: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
/metrics tells what the last finished look saw, by the names that people alert on, and when that
was; /-/healthy says that it is there. A question never starts a look. A look that takes longer
than --every, and than 10 s, is given up and counted. `notafter alerts` prints the rules that go
with it. In prometheus.yml:

  scrape_configs: [{job_name: notafter, static_configs: [{targets: ['127.0.0.1:9793']}]}]

Ctrl-C ends it.";

/// Looks and answers until it is interrupted.
///
/// # Errors
/// If a source is none, the owners do not read, or it cannot listen.
pub async fn run(args: &Args) -> Result<u8> {
    if args.every.0 < MOST_OFTEN {
        return Err(Error::usage(format!("--every {} is more often than once a second", args.every))
            .hint("certificates change slowly; 30s is plenty"));
    }
    let owners = args.owners.as_deref().map_or_else(|| Ok(Owners::default()), Owners::read)?;
    let subjects = Subjects::named(&args.sources, &args.cluster)?.lasting()?;
    let listening = async {
        let listener = TcpListener::bind(args.listen).await?;
        Ok::<_, std::io::Error>((listener.local_addr()?, listener))
    };
    let (address, listener) = listening.await.map_err(|error| {
        Error::usage(format!("cannot listen on {}", args.listen))
            .because(error)
            .hint("choose another address with --listen ADDRESS:PORT; port 0 is any that is free")
    })?;
    let mut watcher = Watcher::new(|| subjects.look(), owners, args.every.0);
    let page = watcher.page();
    print(&format!("http://{address}/metrics\n"))?;
    let looking = async {
        let mut tick = interval(args.every.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = watcher.look().await {
                complain(error);
            }
        }
    };
    tokio::select! {
        ended = interrupt::one() => ended?,
        never = serve(listener, page) => match never {},
        () = looking => {}
    }
    say("interrupted: nobody watches any more");
    Ok(exit::AS_EXPECTED)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, as in 127.0.0.1:9793 or [::]:9793".into())
}
