//! Redis with `tls-auth-clients yes`. It reads its files at the start; `CONFIG SET` reads them again.

use notafter::profile::{Protocol, Server, Way};

pub const SERVER: Server = Server {
    name: "redis",
    image: None,
    program: "redis-server",
    apart: None,
    package: Some("redis-server"),
    version: &["--version"],
    environment: &[],
    files: &[("redis.conf", CONFIG)],
    prepare: &[],
    command: &["{home}/redis.conf"],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: None,
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Redis,
    ways: &[Way::Say {
        name: "CONFIG SET",
        socket: "admin.sock",
        // In one command: between two, certificate and key would be of different pairs.
        commands: &[(
            "CONFIG SET tls-cert-file {chain} tls-key-file {key} tls-ca-cert-file {bundle}\r\n",
            "+OK",
        )],
    }],
};

const CONFIG: &str = "\
bind {address}
port 0
# Where it is a service, others come from elsewhere.
protected-mode no
tls-port {port}
tls-cert-file {chain}
tls-key-file {key}
tls-ca-cert-file {bundle}
tls-auth-clients yes
# Not by its path, which may be longer than a socket's address.
unixsocket admin.sock
dir {home}
save \"\"
daemonize no
loglevel notice
";
