//! `notafter inventory`: what certificates there are, on disk and on the wire, and until when.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::Mutex;

use super::{
    exit,
    output::{print_with, say, style},
    report,
};
use crate::{
    error::{Error, Result},
    inventory::{
        self, Diff, Inventory, Owners, Rank, Source,
        cluster::{self, Member},
        endpoint::{self, Target},
        kubernetes::{Api, Told},
        scan::{self, Scanned},
    },
    report::Style,
};

/// The password of key stores, in the environment: on a command line everybody could read it.
const PASSWORD: &str = "NOTAFTER_KEYSTORE_PASSWORD";

/// The source that is read from where the command is piped into.
const STDIN: &str = "-";

/// What is looked at, and how it is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Files, folders, servers, and - for stdin
    #[arg(required_unless_present = "kubeconfig", value_name = "SOURCE")]
    sources: Vec<String>,

    #[command(flatten)]
    cluster: Kubernetes,

    /// In which form
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Table)]
    form: Form,

    /// Whose what is: a TOML file of `"GLOB" = "person or team"`, matched against places and names
    #[arg(long, value_name = "FILE")]
    owners: Option<PathBuf>,

    /// Tell only what belongs to this owner
    #[arg(long, value_name = "OWNER", requires = "owners")]
    owner: Option<String>,

    /// Tell what has changed since an inventory that was kept with `--as json`
    #[arg(long, value_name = "OLD.JSON")]
    diff: Option<PathBuf>,

    /// Judge as of this instant instead of now: 2026-11-24T05:30:00Z
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    now: Option<i64>,

    /// Write to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A cluster whose API server is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Kubernetes {
    /// Ask this cluster's API server, too: Secrets, `ConfigMaps`, bundles of webhooks and aggregated APIs,
    /// signing requests, and what it presents itself. Nothing is written
    #[arg(long, value_name = "FILE", help_heading = "A Kubernetes that runs")]
    kubeconfig: Option<PathBuf>,

    /// Which context of it, if not the current one
    #[arg(long, value_name = "NAME", requires = "kubeconfig", help_heading = "A Kubernetes that runs")]
    context: Option<String>,

    /// Only the Secrets and `ConfigMaps` of this namespace
    #[arg(long, value_name = "NS", requires = "kubeconfig", help_heading = "A Kubernetes that runs")]
    namespace: Option<String>,
}

impl Kubernetes {
    /// The cluster, if one was named.
    fn api(&self) -> Option<Api> {
        let Self { kubeconfig, context, namespace } = self.clone();
        kubeconfig.map(|kubeconfig| Api { kubeconfig, context, namespace })
    }
}

const AFTER_HELP: &str = "\
A source is a file or a folder (PEM, DER, PKCS#12, Java key stores, kubeconfigs, objects of
Kubernetes as YAML or JSON), or a server: HOST:PORT, or postgres://HOST:PORT, also mysql, ldap,
smtp and imap, which begin TLS in their own way; or run:ID or run:last, the cluster of a run that is
up; or - for stdin:
  kubectl get secret,configmap,csr -A -o json | notafter inventory -
--kubeconfig asks the same of a cluster that runs, without kubectl.
A password of PKCS#12 files is taken from NOTAFTER_KEYSTORE_PASSWORD.

Exit codes: 0 nothing is wrong, or nothing urgent; 1 a finding has rank page or critical.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For a person at a terminal
    Table,
    /// All that is known; what --diff reads
    Json,
    /// A row a certificate
    Csv,
    /// For a ticket or a wiki
    #[value(alias = "md")]
    Markdown,
    /// A page for a browser
    Html,
    /// A calendar of expiries and of when to renew
    Ics,
    /// For Prometheus, by the names that people alert on
    Openmetrics,
}

/// Looks, judges and tells.
///
/// # Errors
/// If a source is none, or something cannot be read or written.
pub async fn run(args: &Args) -> Result<u8> {
    let owners = args.owners.as_deref().map_or_else(|| Ok(Owners::default()), Owners::read)?;
    let before = args.diff.as_deref().map(|path| read(path, args.form)).transpose()?;
    let (sources, files) = Subjects::named(&args.sources, &args.cluster)?.look().await?;
    let now = args.now.unwrap_or_else(|| OffsetDateTime::now_utc().unix_timestamp());
    let mut inventory = Inventory::of(sources, files, &owners, now);
    if let Some(owner) = &args.owner {
        inventory = inventory.of_owner(owner);
    }
    let style = if args.out.is_some() { Style::default() } else { style() };
    let tell = |out: &mut dyn Write| match &before {
        Some(before) => tell_diff(&Diff::between(before, &inventory), args.form, out),
        None => tell(&inventory, args, style, out),
    };
    match &args.out {
        Some(path) => write(path, tell)?,
        None => print_with(tell)?,
    }
    let urgent = inventory.findings.iter().any(|finding| finding.rank <= Rank::Critical);
    Ok(if urgent { exit::NOT_AS_EXPECTED } else { exit::AS_EXPECTED })
}

/// What was named: files and folders, servers, the services of runs, a Kubernetes, and stdin.
pub(super) struct Subjects {
    stdin: bool,
    paths: Vec<PathBuf>,
    targets: Vec<Target>,
    members: Vec<Member>,
    api: Option<Api>,
    /// Held by whoever reads files.
    reading: Arc<Mutex<()>>,
}

impl Subjects {
    /// Finds out what each name means.
    pub(super) fn named(names: &[String], cluster: &Kubernetes) -> Result<Self> {
        let (mut paths, mut targets, mut members) = (Vec::new(), Vec::new(), Vec::new());
        let stdin = names.iter().any(|name| name == STDIN);
        for name in names.iter().filter(|name| *name != STDIN) {
            if let Some(run) = name.strip_prefix("run:") {
                members.extend(cluster::members(&report::find(run)?)?);
                continue;
            }
            match Target::parse(name)? {
                // A file may have a colon in its name.
                _ if Path::new(name).symlink_metadata().is_ok() => paths.push(PathBuf::from(name)),
                Some(target) => targets.push(target),
                None => {
                    return Err(Error::usage(format!("`{name}` is no file, no folder and no server")).hint(
                        "a server is HOST:PORT or PROTOCOL://HOST:PORT; see `notafter inventory --help`",
                    ));
                }
            }
        }
        for member in &members {
            match &member.target {
                Some(target) => targets.push(target.clone()),
                None => {
                    say(format_args!("{} listens in its container; only its files are told", member.service));
                }
            }
        }
        let api = cluster.api();
        // The certificate by which people ask ends as well.
        paths.extend(api.iter().map(|api| api.kubeconfig.clone()));
        Ok(Self { stdin, paths, targets, members, api, reading: Arc::default() })
    }

    /// The same, to be looked at again and again.
    ///
    /// # Errors
    /// If stdin is among them, which can be read once.
    pub(super) fn lasting(self) -> Result<Self> {
        if self.stdin {
            return Err(Error::usage("stdin cannot be watched: it is read once")
                .hint("give files, folders or servers; `notafter inventory -` reads stdin"));
        }
        Ok(self)
    }

    /// Everything that is there now, and how many files were looked at.
    pub(super) async fn look(&self) -> Result<(Vec<Source>, u64)> {
        // A look that was given up may still hang at a disk: one at a time, so that they do not pile up.
        let reading = self.reading.clone().lock_owned().await;
        let (paths, members, stdin) = (self.paths.clone(), self.members.clone(), self.stdin);
        let passwords: Vec<_> = std::env::var(PASSWORD).into_iter().collect();
        let keys = passwords.clone();
        let scanning = tokio::task::spawn_blocking(move || {
            let _until_read = reading;
            scan_all(&paths, &members, stdin, &keys)
        });
        let mut targets = self.targets.clone();
        let mut told = match &self.api {
            Some(api) => api.ask(&passwords).await?,
            None => Told::default(),
        };
        targets.extend(told.server.take().filter(|server| !self.targets.contains(server)));
        let mut asked = endpoint::ask_all(targets).await;
        let mut scanned = scanning.await.map_err(Error::bug)??;
        scanned.sources.append(&mut told.scanned.sources);
        scanned.sources.append(&mut asked);
        Ok((scanned.sources, scanned.files + told.scanned.files))
    }
}

/// Files that were named, those of services, which are told whose they are, and stdin.
fn scan_all(paths: &[PathBuf], members: &[Member], stdin: bool, passwords: &[String]) -> Result<Scanned> {
    let mut all = scan::scan(paths, passwords);
    let theirs = cluster::look(members, passwords);
    all.files += theirs.files;
    all.sources.extend(theirs.sources);
    if stdin {
        let read = scan::read_stdin(passwords);
        let read = read.map_err(|error| Error::usage("cannot read stdin").because(error))?;
        all.files += read.files;
        all.sources.extend(read.sources);
    }
    Ok(all)
}

fn tell(inventory: &Inventory, args: &Args, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let text = match args.form {
        Form::Table => inventory::table(inventory, style),
        Form::Json => return json(inventory, out),
        Form::Csv => return inventory::csv(inventory, out),
        Form::Markdown => inventory::markdown(inventory),
        Form::Html => inventory::page(inventory, args.owner.as_deref()),
        Form::Ics => inventory::calendar(inventory, args.owner.as_deref()),
        Form::Openmetrics => inventory::openmetrics(inventory),
    };
    out.write_all(text.as_bytes())
}

fn tell_diff(diff: &Diff, form: Form, out: &mut dyn Write) -> io::Result<()> {
    match form {
        Form::Json => json(diff, out),
        _ => out.write_all(diff.table().as_bytes()),
    }
}

fn json(value: &impl serde::Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads an inventory of before, if what has changed since can be told in this form.
fn read(path: &Path, form: Form) -> Result<Inventory> {
    if !matches!(form, Form::Table | Form::Json) {
        return Err(Error::usage("what has changed has no such form")
            .hint("--diff goes with --as table or --as json"));
    }
    let place = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Error::usage(format!("cannot read {place}")).because(error))?;
    let old: Inventory = serde_json::from_str(&text).map_err(|error| {
        Error::usage(format!("{place} is no inventory"))
            .because(error)
            .hint("--diff reads what `notafter inventory --as json` wrote")
    })?;
    if old.schema != inventory::SCHEMA {
        return Err(Error::usage(format!(
            "{place}: expected an inventory of schema {}, found {}",
            inventory::SCHEMA,
            old.schema
        ))
        .hint("make it anew with this version"));
    }
    Ok(old)
}

fn write(path: &Path, tell: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let written = File::create(path).map(BufWriter::new).and_then(|mut file| {
        tell(&mut file)?;
        file.flush()
    });
    written.map_err(|error| {
        Error::usage(format!("cannot write {}", path.display()))
            .because(error)
            .hint("choose another place with --out FILE")
    })
}

fn instant(text: &str) -> Result<i64, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .map_err(|error| format!("{error}; an instant looks like 2026-11-24T05:30:00Z"))
}
