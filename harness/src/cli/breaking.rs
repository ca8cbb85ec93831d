//! `notafter break`: one defect in the certificates of a namespace of somebody's cluster, and everything put
//! back afterwards.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    exit, interrupt,
    output::{print, say, style},
};
use crate::{
    error::{Error, Result},
    guardian::Guard,
    inventory::endpoint::{Target, ask_all},
    report::table,
    run::{RunFolder, runs, state_folder},
    runner::Interrupt,
    runtime::existing::{self, Defect, Existing, PROTECTED, Place, Plan, PutBack, consent},
    system::Span,
    words,
};

/// How often servers are asked what they present.
const LOOK: Duration = Duration::from_millis(500);

/// What is broken, where, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// What is wrong then
    #[arg(value_name = "DEFECT", value_enum)]
    defect: Defect,

    /// The kubeconfig of the cluster
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,

    /// Which of its contexts
    #[arg(long, value_name = "NAME")]
    context: String,

    /// The namespace; nothing outside of it is changed
    #[arg(long, value_name = "NS")]
    namespace: String,

    /// Consent: without it nothing is changed
    #[arg(long, value_name = "CONTEXT/NS", conflicts_with = "dry_run")]
    yes_break: Option<String>,

    /// Print what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Contexts that are never broken: globs, whatever case
    #[arg(long, value_name = "GLOB", default_value = PROTECTED, value_delimiter = ',')]
    protected: Vec<String>,

    /// Put everything back after so long, not at Ctrl-C only: 90s, 10m
    #[arg(long = "for", value_name = "DURATION")]
    lasting: Option<Span>,

    /// Tell whenever this server presents another certificate: HOST:PORT, or as `inventory` takes it
    #[arg(long, value_name = "SERVER")]
    look: Vec<String>,

    /// The folder for the evidence of runs
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
TLS Secrets, bundles and webhooks of the namespace are found as `notafter inventory` finds them.
How each was is written to the run's folder, mode 0600, before the first is changed, and put back by
server-side apply when the run ends, on Ctrl-C, and by a guardian after kill -9; where that is
killed, too, by `notafter heal RUN`. What somebody else changes meanwhile is left alone.

Exit codes: 0 everything is as it was, or left to whoever changed it; 2 not everything could be put
back.";

/// Breaks it, holds, and puts everything back.
///
/// # Errors
/// If there is nothing to break or no consent, then nothing was changed; and if something could not be
/// changed or put back.
pub async fn run(args: &Args) -> Result<u8> {
    let place = Place {
        kubeconfig: absolute(&args.kubeconfig),
        context: args.context.clone(),
        namespace: args.namespace.clone(),
    };
    let targets = args.look.iter().map(|server| target(server)).collect::<Result<Vec<_>>>()?;
    if !args.dry_run {
        consent(&place, args.yes_break.as_deref(), &args.protected)?;
    }
    let kept = args.out.clone().unwrap_or_else(|| state_folder().join("runs"));
    if let Some(run) = runs(&state_folder()).into_iter().find(existing::is_left) {
        return Err(Error::usage(format!("run `{}` has not put back what it changed", run.id()))
            .hint(format!("`notafter heal {}` does", run.id())));
    }
    let existing = Existing::of(place).await?;
    let plan = existing.plan(args.defect).await?;
    print(&shown(&plan))?;
    if plan.changes.is_empty() {
        let what = format!("there is nothing in namespace `{}` that this defect could be in", args.namespace);
        return Err(Error::usage(what)
            .hint("`notafter inventory --kubeconfig FILE --namespace NS` shows what is there"));
    }
    if args.dry_run {
        say("nothing was changed");
        return Ok(exit::AS_EXPECTED);
    }
    let mut stop = interrupt::listen()?;
    let folder = RunFolder::create(&kept, "break", 0)?;
    let guard = Guard::post(&folder)?;
    let held = match existing.carry_out(&plan, &folder).await {
        Ok(()) => {
            let id = folder.id();
            say(format_args!("changed; Ctrl-C puts everything back, and so does `notafter heal {id}`"));
            hold(args.lasting, targets, &mut stop).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    let put_back = existing::put_back(&folder).await;
    guard.release().await;
    let put_back = put_back?;
    tell(&put_back);
    held.map(|()| exit::AS_EXPECTED)
}

/// Says how everything was put back.
pub(super) fn tell(put_back: &[PutBack]) {
    let as_it_was = put_back.iter().filter(|one| matches!(one, PutBack::AsItWas(_))).count();
    say(format_args!("{} as before", words::counted(as_it_was as u64, "object")));
    for one in put_back {
        if let PutBack::Theirs(object) = one {
            say(format_args!(
                "{object}: somebody else has changed or removed it since, and it is left alone"
            ));
        }
    }
}

/// Waits, and tells what servers present.
async fn hold(lasting: Option<Span>, targets: Vec<Target>, stop: &mut Interrupt) {
    let began = Instant::now();
    let mut last: Vec<Option<String>> = vec![None; targets.len()];
    let looking = async {
        loop {
            for (source, last) in ask_all(targets.clone()).await.into_iter().zip(&mut last) {
                let now = match source.found.certificates.first() {
                    Some(leaf) => format!("presents {} ({})", leaf.called(), leaf.serial),
                    None => words::list(&source.found.problems, 1),
                };
                if last.as_ref() != Some(&now) {
                    say(format_args!("+{:.1} s  {} {now}", began.elapsed().as_secs_f64(), source.at));
                    *last = Some(now);
                }
            }
            sleep(LOOK).await;
        }
    };
    let lasting = lasting.map_or(Duration::MAX, |span| span.0);
    tokio::select! {
        _ = timeout(lasting, stop.wait_for(|stop| *stop)) => {}
        () = looking => {}
    }
}

fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    if !plan.changes.is_empty() {
        let mut shown = table::table(style(), &["object", "what changes"]);
        for change in &plan.changes {
            shown.add_row([change.object.to_string(), change.about.join("\n")]);
        }
        text.push_str(&table::lines(&shown));
    }
    for left in &plan.left {
        let _ = writeln!(text, "  left alone: {left}");
    }
    text
}

fn target(server: &str) -> Result<Target> {
    Target::parse(server)?.ok_or_else(|| {
        Error::usage(format!("`{server}` is no server")).hint("expected HOST:PORT, as in 127.0.0.1:8443")
    })
}

/// It is read again by whoever puts everything back, from another folder maybe.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
