//! Servers that others wrote: how each is configured, started, told to reload, and asked whether it serves.
//!
//! Each is a program, so that systems can have it as a service. The family `servers` has one system for each:
//!
//! ```text
//! users --mesh--> visitor --mesh--> redis
//! ```
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

mod scenarios;
mod system;
mod visitor;

use notafter::{multicall::Program, profile::Server, suite::Suite};
use stack::life::main;

pub use nats::SERVER as NATS;
pub use nginx::SERVER as NGINX;
pub use postgresql::SERVER as POSTGRESQL;
pub use system::{VISITOR, users, with as system};
pub use visitor::Visitor;

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

/// The servers, and what each is made of, breaks and is asked as a service.
pub fn suite() -> Suite {
    let visitor = Program { name: system::VISITOR, main: main::<Visitor>, foreign: false };
    let all = Suite { servers: SERVERS.into(), programs: vec![visitor], ..Suite::default() };
    let each = [one::<0>, one::<1>, one::<2>, one::<3>, one::<4>, one::<5>, one::<6>, one::<7>];
    each.into_iter().fold(all, |all, one| all.and(one()))
}

/// One of the servers as a service.
fn one<const N: usize>() -> Suite {
    let program = Program {
        name: SERVERS[N].name,
        main: |config| notafter::foreign::main(&SERVERS[N], &config),
        foreign: true,
    };
    Suite {
        programs: vec![program],
        systems: vec![scenarios::system::<N>],
        templates: scenarios::templates::<N>(),
        zoo: vec![scenarios::specimen::<N>()],
        users: vec![(system::name_of(&SERVERS[N]), system::users)],
        ..Suite::default()
    }
}
