//! etcd, one member, with `--client-cert-auth`. It cannot be told to reload.

use notafter::profile::{Protocol, Server};

pub const SERVER: Server = Server {
    name: "etcd",
    image: None,
    program: "etcd",
    apart: None,
    package: Some("etcd-server"),
    version: &["--version"],
    environment: &[],
    files: &[],
    prepare: &[],
    command: &[
        "--name=one",
        "--data-dir={home}/data",
        "--unsafe-no-fsync",
        "--listen-client-urls=https://{address}:{port}",
        "--advertise-client-urls=https://{address}:{port}",
        "--listen-peer-urls=http://{address}:{peer_port}",
        "--initial-advertise-peer-urls=http://{address}:{peer_port}",
        "--initial-cluster=one=http://{address}:{peer_port}",
        "--cert-file={chain}",
        "--key-file={key}",
        "--trusted-ca-file={bundle}",
        "--client-cert-auth",
        "{revocation}",
    ],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: Some("--client-crl-file={lists}"),
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Http("/health"),
    ways: &[],
};
