//! A server that somebody else wrote, as data: its configuration, how it starts, how it reloads.

use rustix::process::Signal as Number;
use serde::Deserialize;

use super::Protocol;

/// A server that somebody else wrote.
///
/// In [`Self::environment`], [`Self::files`], [`Self::prepare`], [`Self::command`] and [`Way`], these stand
/// for what an instance has of its own: `{home}` its folder, which is also its working directory; `{bin}` the
/// folder of its program; `{address}`, `{port}` and `{peer_port}` where it listens, and `{octets}` that
/// address with commas, as Erlang writes it; `{chain}`, `{key}` and
/// `{bundle}` the files of its credential; `{chain_pem}`, `{key_pem}` and `{bundle_pem}` what lies in them
/// now; `{revocation}` the line of [`Self::revocation`], or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// What people call it.
    pub name: &'static str,
    /// The image that has it, if it is to run in containers; none if it is a process of this machine.
    pub image: Option<&'static str>,
    /// Its program, found in `PATH` and where systems keep their daemons; in an image in its `PATH` alone.
    pub program: &'static str,
    /// A folder with the program in `bin`, or with one folder a version that is so; Debian keeps some servers
    /// apart.
    pub apart: Option<&'static str>,
    /// The Debian package that has it, if one has.
    pub package: Option<&'static str>,
    /// The arguments with which it says its version, in its first line.
    pub version: &'static [&'static str],
    /// Variables of its environment: name and value.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files in its folder: name, and what lies in it.
    pub files: &'static [(&'static str, &'static str)],
    /// A command, with its arguments, that lays out its data before the first start. Empty if there is none.
    pub prepare: &'static [&'static str],
    /// The arguments with which it serves in the foreground.
    pub command: &'static [&'static str],
    /// What the file of its certificate is called.
    pub chain_file: &'static str,
    /// What the file of its key is called.
    pub key_file: &'static str,
    /// The line, or the argument, that names the file of revocation lists, `{lists}`. None if it knows none.
    pub revocation: Option<&'static str>,
    /// Whether it refuses to run as root.
    pub unprivileged: bool,
    /// How many of it experiments may start side by side: most of the time they wait, but a start that takes
    /// a core for seconds holds up those beside it. Usually [`Self::AT_ONCE`].
    pub at_once: usize,
    /// What it speaks.
    pub protocol: Protocol,
    /// How it can be told to use what was replaced, the usual way first. None if it can not.
    pub ways: &'static [Way],
}

impl Server {
    /// So many experiments with a server that starts in no time are under way at once.
    pub const AT_ONCE: usize = 8;
}

/// A signal by which servers are told to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Signal {
    /// SIGHUP.
    #[serde(rename = "SIGHUP")]
    Hangup,
    /// SIGUSR1.
    #[serde(rename = "SIGUSR1")]
    User1,
    /// SIGUSR2.
    #[serde(rename = "SIGUSR2")]
    User2,
}

impl Signal {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
        }
    }
}

impl From<Signal> for Number {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::HUP,
            Signal::User1 => Self::USR1,
            Signal::User2 => Self::USR2,
        }
    }
}

/// How a server is told to use a credential that was replaced on disk.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// A signal.
    Signal(Signal),
    /// Commands at a socket of its own in its folder, one connection each.
    Say {
        /// What people call it.
        name: &'static str,
        /// The socket.
        socket: &'static str,
        /// The commands, each with what its answer must contain.
        commands: &'static [(&'static str, &'static str)],
    },
    /// A command, run as the user of the server in its folder.
    Run {
        /// What people call it.
        name: &'static str,
        /// The command, with its arguments.
        command: &'static [&'static str],
    },
    /// It is stopped and started.
    Restart,
}

impl Way {
    /// As it stands in a question: `on SIGHUP`.
    pub fn words(&self) -> String {
        match self {
            Self::Signal(signal) => format!("on {}", signal.name()),
            Self::Say { name, .. } | Self::Run { name, .. } => format!("on {name}"),
            Self::Restart => "on a restart".into(),
        }
    }
}
