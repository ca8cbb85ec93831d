//! etcd as one of several members, with mutual TLS towards clients and among themselves.

use notafter::profile::{Protocol, Server};

/// Elections are quick, so that a run is: the defaults are 100 and 1000 ms.
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
        "--name={service}",
        "--data-dir={home}/member",
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-outputs=stderr",
        "--heartbeat-interval=50",
        "--election-timeout=500",
        "--pre-vote={settings.pre_vote}",
        "--listen-client-urls=https://{address}:{port}",
        "--advertise-client-urls=https://{host}:{port}",
        "--listen-peer-urls=https://{address}:{peer.port}",
        "--initial-advertise-peer-urls=https://{host}:{peer.port}",
        "--initial-cluster={peer.members}",
        "--cert-file={chain}",
        "--key-file={key}",
        "--trusted-ca-file={bundle}",
        "--client-cert-auth",
        "--peer-cert-file={peer.chain}",
        "--peer-key-file={peer.key}",
        "--peer-trusted-ca-file={peer.bundle}",
        "--peer-client-cert-auth",
        // On one machine every connection comes from 127.0.0.1, which no certificate names.
        "--experimental-peer-skip-client-san-verification",
    ],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: None,
    unprivileged: false,
    // 503 without a leader.
    at_once: Server::AT_ONCE,
    protocol: Protocol::Http("/health"),
    ways: &[],
};
