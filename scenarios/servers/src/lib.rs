//! Servers that others wrote: how each is configured, started, told to reload, and asked whether it serves.
//!
//! `notafter profile NAME` finds out what one does with certificates. The profiles that it is expected to
//! have are in `profiles/`; `cargo test --test run profile` tells in which cells a version differs.

mod etcd;
mod haproxy;
mod mosquitto;
mod nats;
mod nginx;
mod postgresql;
mod rabbitmq;
mod redis;

use notafter::{profile::Server, suite::Suite};

pub use nats::SERVER as NATS;
pub use nginx::SERVER as NGINX;
pub use postgresql::SERVER as POSTGRESQL;

/// Every server.
pub const SERVERS: [Server; 8] = [
    nginx::SERVER,
    redis::SERVER,
    haproxy::SERVER,
    nats::SERVER,
    mosquitto::SERVER,
    etcd::SERVER,
    postgresql::SERVER,
    rabbitmq::SERVER,
];

/// The servers, for the command line.
pub fn suite() -> Suite {
    Suite { servers: SERVERS.into(), ..Suite::default() }
}
