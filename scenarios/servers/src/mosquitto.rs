//! Mosquitto with `require_certificate true`.

use notafter::profile::{Protocol, Server, Signal, Way};

pub const SERVER: Server = Server {
    name: "mosquitto",
    image: None,
    program: "mosquitto",
    apart: None,
    package: Some("mosquitto"),
    version: &["-h"],
    environment: &[],
    files: &[("mosquitto.conf", CONFIG)],
    prepare: &[],
    command: &["-c", "{home}/mosquitto.conf"],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: Some("crlfile {lists}"),
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Mqtt,
    ways: &[Way::Signal(Signal::Hangup)],
};

const CONFIG: &str = "\
user root
persistence false
log_dest stderr
log_type all
listener {port} {address}
allow_anonymous true
certfile {chain}
keyfile {key}
cafile {bundle}
require_certificate true
{revocation}
";
