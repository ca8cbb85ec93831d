//! `PostgreSQL` that asks every client for a certificate (`clientcert=verify-ca`).

use notafter::profile::{Protocol, Server, Signal, Way};

/// `PostgreSQL`, as it is profiled.
pub const SERVER: Server = Server {
    name: "postgresql",
    image: None,
    program: "postgres",
    apart: Some("/usr/lib/postgresql"),
    package: Some("postgresql"),
    version: &["--version"],
    environment: &[],
    files: &[("postgresql.conf", CONFIG), ("pg_hba.conf", ACCESS)],
    prepare: &["{bin}/initdb", "-D", "{home}/data", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"],
    command: &[
        "-D",
        "{home}/data",
        "-c",
        "config_file={home}/postgresql.conf",
        "-c",
        "hba_file={home}/pg_hba.conf",
    ],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: Some("ssl_crl_file = '{lists}'"),
    unprivileged: true,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Postgres,
    ways: &[Way::Signal(Signal::Hangup)],
};

const CONFIG: &str = "\
listen_addresses = '{address}'
port = {port}
unix_socket_directories = ''
fsync = off
shared_buffers = 16MB
max_connections = 20
ssl = on
ssl_cert_file = '{chain}'
ssl_key_file = '{key}'
ssl_ca_file = '{bundle}'
{revocation}
";

/// Whoever shows a certificate of ours needs no password.
const ACCESS: &str = "hostssl all all all trust clientcert=verify-ca\n";
