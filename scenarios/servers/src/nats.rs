//! NATS with `verify: true`. It speaks first, in clear, then TLS begins.

use notafter::profile::{Protocol, Server, Signal, Way};

/// NATS, as it is profiled.
pub const SERVER: Server = Server {
    name: "nats",
    image: None,
    program: "nats-server",
    apart: None,
    package: Some("nats-server"),
    version: &["--version"],
    environment: &[],
    files: &[("nats.conf", CONFIG)],
    prepare: &[],
    command: &["-c", "{home}/nats.conf"],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: None,
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Nats,
    ways: &[Way::Signal(Signal::Hangup)],
};

const CONFIG: &str = "\
listen: \"{address}:{port}\"
tls {
  cert_file: \"{chain}\"
  key_file: \"{key}\"
  ca_file: \"{bundle}\"
  verify: true
}
";
