//! nginx with `ssl_verify_client on`.

use notafter::profile::{Protocol, Server, Signal, Way};

/// nginx, as it is profiled.
pub const SERVER: Server = Server {
    name: "nginx",
    image: None,
    program: "nginx",
    apart: None,
    package: Some("nginx-light"),
    version: &["-v"],
    environment: &[],
    files: &[("nginx.conf", CONFIG)],
    prepare: &[],
    command: &["-p", "{home}", "-c", "{home}/nginx.conf", "-e", "stderr"],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: Some("ssl_crl {lists};"),
    unprivileged: false,
    at_once: Server::AT_ONCE,
    protocol: Protocol::Http("/"),
    ways: &[Way::Signal(Signal::Hangup)],
};

/// At `info` the log says why a client was refused.
const CONFIG: &str = "\
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr info;
events {}
http {
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {
        listen {address}:{port} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_client_certificate {bundle};
        ssl_verify_client on;
        ssl_verify_depth 3;
        {revocation}
        location / { return 200 'ok'; }
    }
}
";
