//! `notafter profile`: what a TLS server does with certificates, found out by experiment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    conditions::runtimes_that,
    exit,
    output::{print, say, style},
};
use crate::{
    error::{Context, Error, Result},
    profile::{self, Profile, Server},
    runtime::{Ability, Runtime, containers},
    suite::Suite,
    words,
};

/// Which servers are tried, and how it is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Servers that are installed here, or are in an image
    #[arg(required_unless_present_any = ["compare", "command", "print_example"], value_name = "SERVER")]
    servers: Vec<String>,

    /// Try a server of your own, as this file describes it
    #[arg(long, value_name = "FILE")]
    command: Option<PathBuf>,

    /// Where they run; in containers from the image that `ci/setup servers` makes
    #[arg(long = "on", value_name = "RUNTIME", value_parser = runtimes_that(Ability::RunInstalled))]
    runtime: Option<Runtime>,

    /// Run them in containers of this image of the local Docker Engine
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// Try nothing; print a description for --command to begin with
    #[arg(long, exclusive = true)]
    print_example: bool,

    /// Print one JSON object a server; what --compare reads
    #[arg(long, conflicts_with = "markdown")]
    json: bool,

    /// Print Markdown, for a wiki or a ticket
    #[arg(long)]
    markdown: bool,

    /// Write a page for a browser, too, with all of them
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// Try nothing; tell in which cells two profiles differ that were kept with --json
    #[arg(long, num_args = 2, value_names = ["A.JSON", "B.JSON"],
          conflicts_with_all = ["servers", "command", "runtime", "image", "json", "markdown", "page"])]
    compare: Option<Vec<PathBuf>>,
}

const AFTER_HELP: &str = "\
Each question is tried on a server of its own, with a private configuration, on a loopback
address. No server that runs already is touched, and nothing is left. Containers have the
network of this machine, and new certificates come into them while they run; no image is pulled.

Exit codes: 0 every question has an answer, or two profiles are the same; 1 they differ;
2 a question has no answer; 3 a server or an image is missing.";

/// Tries and tells, or compares.
///
/// # Errors
/// If a server is unknown or missing, or a profile cannot be read.
pub async fn run(suite: &Suite, args: &Args) -> Result<u8> {
    if let Some([a, b]) = args.compare.as_deref() {
        return compare(a, b);
    }
    if args.print_example {
        print(profile::EXAMPLE)?;
        return Ok(exit::AS_EXPECTED);
    }
    let own = args.command.as_deref().map(described).transpose()?;
    let servers = args.servers.iter().map(|name| find(suite, name));
    let servers = servers.chain(own.as_ref().map(Ok)).map(|server| placed(server?, args));
    let servers = servers.collect::<Result<Vec<_>>>()?;
    let mut profiles = Vec::new();
    for server in &servers {
        let began = std::time::Instant::now();
        let profile = tokio::select! {
            profile = profile::profile(server) => profile?,
            _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
        };
        let took = words::span(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let place = server.image.map_or_else(String::new, |image| format!(", in containers of {image}"));
        say(format_args!("{} was asked in {took}{place}", server.name));
        print(&tell(&profile, args)?)?;
        profiles.push(profile);
        if let Some(path) = &args.page {
            // Each time: who interrupts the next has what there is.
            fs::write(path, profile::page(&profiles)).map_err(|error| {
                Error::usage(format!("cannot write {}", path.display()))
                    .because(error)
                    .hint("choose another place with --page FILE")
            })?;
        }
    }
    let whole = profiles.iter().all(|profile| profile.unknown() == 0);
    Ok(if whole { exit::AS_EXPECTED } else { exit::UNKNOWN })
}

fn tell(profile: &Profile, args: &Args) -> Result<String> {
    Ok(if args.json {
        let text = serde_json::to_string_pretty(profile);
        text.context(|| "cannot write a profile".into())? + "\n"
    } else if args.markdown {
        profile::markdown(profile)
    } else {
        profile::table(profile, style())
    })
}

fn find<'s>(suite: &'s Suite, name: &str) -> Result<&'s Server> {
    suite.servers.iter().find(|server| server.name == name).ok_or_else(|| {
        let known: Vec<_> = suite.servers.iter().map(|server| server.name).collect();
        let nearest = known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let hint = match nearest {
            Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => {
                format!("did you mean `{nearest}`?")
            }
            _ => format!("there are: {}", known.join(", ")),
        };
        Error::usage(format!("no server is called `{name}`")).hint(hint)
    })
}

/// The server where it was asked for.
fn placed(server: &Server, args: &Args) -> Result<Server> {
    let image = args.image.as_ref().map(|image| &*image.clone().leak()).or(server.image);
    match (args.runtime, image) {
        (Some(Runtime::Processes), Some(image)) => Err(Error::usage(format!(
            "{} is in the image {image}, and no process of this machine",
            server.name
        ))
        .hint("leave out `--on processes`, or the image")),
        (Some(Runtime::Containers), None) => Ok(Server { image: Some(containers::SERVERS), ..*server }),
        (_, image) => Ok(Server { image, ..*server }),
    }
}

fn described(path: &Path) -> Result<Server> {
    let text = fs::read_to_string(path).map_err(|error| {
        Error::usage(format!("cannot read {}", path.display()))
            .because(error)
            .hint("`notafter profile --print-example` prints a description to begin with")
    })?;
    Server::from_toml(&text, &path.display().to_string())
}

fn compare(a: &PathBuf, b: &PathBuf) -> Result<u8> {
    let (a, b) = (read(a)?, read(b)?);
    print(&profile::comparison(&a, &b, style()))?;
    Ok(if a.differences(&b).is_empty() { exit::AS_EXPECTED } else { exit::NOT_AS_EXPECTED })
}

fn read(path: &PathBuf) -> Result<Profile> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::usage(format!("{} is no profile: {error}", path.display()))
            .hint("`notafter profile SERVER --json` writes one")
    };
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(&error))
}
