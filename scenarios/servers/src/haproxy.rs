//! `HAProxy` with `verify required`, master and workers.

use notafter::profile::{Protocol, Server, Way};

pub const SERVER: Server = Server {
    name: "haproxy",
    image: None,
    program: "haproxy",
    apart: None,
    package: Some("haproxy"),
    version: &["-v"],
    environment: &[],
    files: &[("haproxy.cfg", CONFIG)],
    prepare: &[],
    command: &["-W", "-S", "unix@master.sock", "-f", "{home}/haproxy.cfg"],
    // It looks for the key of a file in one of the same name and `.key`. In commands, a name that ends with
    // `.crt` would be one of a pair that has no ending.
    chain_file: "tls.pem",
    key_file: "tls.pem.key",
    revocation: Some("crl-file {lists}"),
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Http("/"),
    ways: &[
        // As SIGUSR2, which would get lost while the master starts.
        Way::Say { name: "reload", socket: "master.sock", commands: &[("reload\n", "")] },
        Way::Say {
            name: "commit ssl",
            socket: "admin.sock",
            commands: &[
                ("set ssl cert {chain} <<\n{chain_pem}\n{key_pem}\n\n", "ransaction"),
                ("commit ssl cert {chain}\n", "Success"),
                ("set ssl ca-file {bundle} <<\n{bundle_pem}\n\n", "ransaction"),
                ("commit ssl ca-file {bundle}\n", "Success"),
            ],
        },
    ],
};

const CONFIG: &str = "\
global
    log stderr format raw local0 info
    stats socket unix@admin.sock mode 600 level admin
    default-path origin {home}
defaults
    mode http
    log global
    option httplog
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend tls
    bind {address}:{port} ssl crt {chain} ca-file {bundle} verify required {revocation}
    error-log-format \"%ci:%cp [%tr] %ft %[ssl_fc_err_str] %[ssl_c_err]\"
    http-request return status 200 content-type text/plain string ok
";
