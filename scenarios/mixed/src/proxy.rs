//! nginx in front of `records`: users meet it under one authority, it shows another certificate behind.

use notafter::profile::{Protocol, Server};
use servers::NGINX;

/// It answers `/live` itself, whatever is behind it.
pub const SERVER: Server =
    Server { files: &[("nginx.conf", CONFIG)], protocol: Protocol::Http("/live"), ..NGINX };

/// Two workers, because others have several; a handshake for each request, as is usual.
const CONFIG: &str = "\
daemon off;
worker_processes 2;
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
        ssl_verify_client {settings.verify_clients};
        ssl_verify_depth 3;
        location = /live { return 200 'live'; }
        location / {
            proxy_pass https://{records.address};
            proxy_http_version 1.1;
            # Who is called can tell its calls from those of others with the same certificate.
            proxy_bind {address};
            proxy_connect_timeout 1s;
            proxy_read_timeout 3s;
            proxy_ssl_certificate {mesh.chain};
            proxy_ssl_certificate_key {mesh.key};
            proxy_ssl_trusted_certificate {mesh.bundle};
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 3;
            proxy_ssl_name records;
            proxy_ssl_server_name on;
            proxy_ssl_session_reuse off;
        }
    }
}
";
