//! `notafter kube`: a real cluster of Kubernetes, with certificates of ours, to look at and to break.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    exit, interrupt,
    output::{print, say},
};
use crate::{
    error::{Error, Result},
    guardian::Guard,
    pki::Validity,
    run::{RunFolder, state_folder},
    runtime::kubernetes::{self, Kubernetes, Spec},
    system::Span,
};

/// How long each condition may take.
const LIMIT: Duration = Duration::from_mins(2);
const HOUR: Duration = Duration::from_hours(1);

/// How many nodes, and until when it stays.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Nodes with a control plane, 1 or 3
    #[arg(long, value_name = "N", default_value_t = 1)]
    control_planes: usize,

    /// Nodes beside those with a control plane
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,

    /// Hours until its certificates end
    #[arg(long, value_name = "HOURS", default_value_t = 365 * 24)]
    hours: u32,

    /// How long a kubelet waits at most before it starts again what crashed: whole seconds, up to 5m
    #[arg(long, value_name = "SPAN")]
    patience: Option<Span>,

    /// Keep it up until Ctrl-C, for whoever looks at it, and for runs of systems of programs
    #[arg(long)]
    hold: bool,

    /// The folder for the evidence of runs
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Brings a cluster up, waits until it is whole, and removes it on Ctrl-C, or at once without `--hold`.
///
/// # Errors
/// If something is missing here, or a condition does not hold.
pub async fn run(args: &Args) -> Result<u8> {
    kubernetes::available().await?;
    let mut stop = interrupt::listen()?;
    let runs = args.out.clone().unwrap_or_else(|| state_folder().join("runs"));
    let folder = RunFolder::create(&runs, "kube", 0)?;
    let guard = Guard::post(&folder)?;
    let went = tokio::select! {
        went = hold(args, &folder) => went,
        _ = stop.wait_for(|stop| *stop) => Err(Error::interrupted()),
    };
    let ended = match went {
        Ok(cluster) => {
            if args.hold {
                let _ = stop.wait_for(|stop| *stop).await;
            }
            cluster.tear_down().await
        }
        Err(error) => folder.remove_secrets().and(Err(error)),
    };
    guard.release().await;
    say(format_args!("removed; the logs are in {}", folder.logs().display()));
    ended.map(|()| exit::AS_EXPECTED)
}

async fn hold(args: &Args, folder: &RunFolder) -> Result<Kubernetes> {
    let validity = Validity::lasting(HOUR * args.hours);
    let begin = Instant::now();
    let patience = args.patience.map(|it| Duration::from_secs(it.0.as_secs().max(1)));
    let Args { control_planes, workers, .. } = *args;
    let spec = Spec { control_planes, workers, validity, patience, ..Spec::held() };
    let cluster = kubernetes::up(&spec, folder).await?;
    say(format_args!("the API answers after {:.1} s", begin.elapsed().as_secs_f64()));
    cluster.whole(6, LIMIT).await?;
    let nodes = cluster.nodes().collect::<Vec<_>>().join(", ");
    let (id, took) = (folder.id(), begin.elapsed().as_secs_f64());
    let (end, guests) = if args.hold {
        cluster.open(&spec)?;
        (
            "Ctrl-C removes it.",
            format!("  export {}={id}   # runs --on kubernetes are its guests\n", kubernetes::CLUSTER),
        )
    } else {
        ("It is removed now.", String::new())
    };
    print(&format!(
        "whole after {took:.1} s: {nodes}. {end}\n\n  export KUBECONFIG={}\n{guests}  docker exec -it {id}-{} kubeadm certs check-expiration\n",
        cluster.kubeconfig()?.display(),
        kubernetes::CONTROL_PLANE,
    ))?;
    Ok(cluster)
}
