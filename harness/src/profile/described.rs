//! A server of somebody's own, described in TOML.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{Protocol, Server, Signal, Way};
use crate::error::{Error, Result};

/// A description to begin with: nginx, as it is tried under its own name.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Which files of a credential and where it listens: without these, nothing could be found out.
const NEEDED: [(&str, &str); 2] =
    [("{chain}", "the file of its certificate"), ("{port}", "where it listens")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    image: Option<String>,
    program: String,
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    prepare: Vec<String>,
    command: Vec<String>,
    #[serde(default = "chain_file")]
    chain_file: String,
    #[serde(default = "key_file")]
    key_file: String,
    revocation: Option<String>,
    #[serde(default)]
    unprivileged: bool,
    speaks: Speaks,
    path: Option<String>,
    #[serde(default)]
    reload: Vec<Reload>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaks {
    Tls,
    Http,
    Redis,
    Nats,
    Mqtt,
    Amqp,
    Postgres,
}

/// One of three; which, its fields say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reload {
    name: Option<String>,
    signal: Option<Signal>,
    command: Option<Vec<String>>,
    socket: Option<String>,
    #[serde(default)]
    say: Vec<[String; 2]>,
}

impl Server {
    /// Reads a description; `origin` names the text in errors.
    ///
    /// What it says is kept until the process ends, as what is compiled in is.
    ///
    /// # Errors
    /// If it does not parse (the message holds the line), or makes no sense.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let nonsense = |what: &str| {
            Error::usage(format!("{origin}: {what}"))
                .hint("`notafter profile --print-example` prints a description to begin with")
        };
        let description: Description =
            toml::from_str(text).map_err(|error| nonsense(error.to_string().trim_end()))?;
        description.validate().map_err(|what| nonsense(&what))?;
        let ways = description.reload.into_iter().map(Reload::way).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            name: description.name.leak(),
            image: description.image.map(|image| &*image.leak()),
            program: description.program.leak(),
            apart: None,
            package: None,
            version: kept(description.version),
            environment: pairs(description.environment),
            files: pairs(description.files),
            prepare: kept(description.prepare),
            command: kept(description.command),
            chain_file: description.chain_file.leak(),
            key_file: description.key_file.leak(),
            revocation: description.revocation.map(|line| &*line.leak()),
            unprivileged: description.unprivileged,
            at_once: Self::AT_ONCE,
            protocol: description.speaks.protocol(description.path),
            ways: ways.map_err(|what| nonsense(&what))?.leak(),
        })
    }
}

impl Description {
    fn validate(&self) -> Result<(), String> {
        if !is_plain(&self.name) {
            return Err(format!("name: `{}` is no word of letters, digits and dashes", self.name));
        }
        let names = self.files.keys().chain([&self.chain_file, &self.key_file]);
        if let Some(name) = names.into_iter().find(|name| !is_file_name(name)) {
            return Err(format!("`{name}` is no name of a file in one folder"));
        }
        if self.path.is_some() && self.speaks != Speaks::Http {
            return Err("path: only who speaks `http` has one".into());
        }
        let given = [self.files.values().collect(), self.command.iter().collect::<Vec<_>>()].concat();
        let given = given.into_iter().chain(self.environment.values()).chain(&self.prepare);
        let given: Vec<_> = given.collect();
        for (placeholder, what) in NEEDED {
            if !given.iter().any(|text| text.contains(placeholder)) {
                return Err(format!("neither `command` nor `files` says `{placeholder}`, {what}"));
            }
        }
        Ok(())
    }
}

impl Speaks {
    fn protocol(self, path: Option<String>) -> Protocol {
        match self {
            Self::Tls => Protocol::Tls,
            Self::Http => Protocol::Http(path.map_or("/", |path| path.leak())),
            Self::Redis => Protocol::Redis,
            Self::Nats => Protocol::Nats,
            Self::Mqtt => Protocol::Mqtt,
            Self::Amqp => Protocol::Amqp,
            Self::Postgres => Protocol::Postgres,
        }
    }
}

impl Reload {
    fn way(self) -> Result<Way, String> {
        let Self { name, signal, command, socket, say } = self;
        match (signal, command, socket) {
            (Some(signal), None, None) if name.is_none() && say.is_empty() => Ok(Way::Signal(signal)),
            (None, Some(command), None) if say.is_empty() && !command.is_empty() => {
                let name = name.unwrap_or_else(|| command_name(&command));
                Ok(Way::Run { name: name.leak(), command: kept(command) })
            }
            (None, None, Some(socket)) if !say.is_empty() => {
                let commands: Vec<_> =
                    say.into_iter().map(|[say, hear]| (&*say.leak(), &*hear.leak())).collect();
                let name = name.unwrap_or_else(|| socket.clone());
                Ok(Way::Say { name: name.leak(), socket: socket.leak(), commands: commands.leak() })
            }
            _ => {
                Err("reload: each is a `signal`, or a `command`, or a `socket` and what to `say` there"
                    .into())
            }
        }
    }
}

/// The name of a program, without its folder.
fn command_name(command: &[String]) -> String {
    let name = command.first().and_then(|program| Path::new(program).file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

fn is_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

fn chain_file() -> String {
    "tls.crt".into()
}

fn key_file() -> String {
    "tls.key".into()
}

fn kept(words: Vec<String>) -> &'static [&'static str] {
    words.into_iter().map(|word| &*word.leak()).collect::<Vec<_>>().leak()
}

fn pairs(pairs: BTreeMap<String, String>) -> &'static [(&'static str, &'static str)] {
    pairs.into_iter().map(|(name, value)| (&*name.leak(), &*value.leak())).collect::<Vec<_>>().leak()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_server() {
        let server = Server::from_toml(EXAMPLE, "example").expect("it is described");
        assert_eq!(server.name, "my-nginx");
        assert_eq!(server.protocol, Protocol::Http("/"));
        assert!(matches!(server.ways, [Way::Signal(Signal::Hangup)]));
        assert_eq!(server.files.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_line_or_the_field() {
        let cases = [
            ("signal = ", "signl = "),
            ("signal = \"SIGHUP\"", "signal = \"SIGSEGV\""),
            ("signal = \"SIGHUP\"", "signal = \"SIGHUP\"\ncommand = [\"true\"]"),
            ("speaks = \"http\"", "speaks = \"gopher\""),
            ("speaks = \"http\"", "speaks = \"redis\""),
            ("name = \"my-nginx\"", "name = \"../mine\""),
            ("\"nginx.conf\" =", "\"../nginx.conf\" ="),
            ("{port}", "8443"),
        ];
        let said = cases.map(|(sound, broken)| {
            assert!(EXAMPLE.contains(sound), "{sound}");
            let text = EXAMPLE.replace(sound, broken);
            Server::from_toml(&text, "mine.toml").expect_err(broken).to_string()
        });
        insta::assert_snapshot!(said.join("\n\n"));
    }
}
