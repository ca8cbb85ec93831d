//! A system as people have it: two services of theirs among servers that others wrote, mutual TLS on every hop.
//!
//! ```text
//! users, visitor --edge--> nginx --mesh--> records --+--> postgres   read
//!                                                    +--> keeper     count
//!                                                    +--> nats --> keeper --> postgres   publish
//! ```
//!
//! What of it breaks when a certificate ends depends on who looks at certificates again: nginx makes a connection
//! for each request, the clients of `PostgreSQL` and NATS keep theirs for as long as they last.

mod bus;
mod database;
mod keeper;
mod proxy;
mod records;
mod scenarios;
mod system;

use notafter::{multicall::Program, profile::Server, suite::Suite};
use servers::{NATS, POSTGRESQL};
use stack::life::main;

pub use keeper::Keeper;
pub use records::Records;
pub use system::{system, users};

/// The servers that others wrote.
const SERVERS: [Server; 3] = [proxy::SERVER, NATS, POSTGRESQL];

/// The system, what it is made of, and what breaks it.
pub fn suite() -> Suite {
    let proxy = |config| notafter::foreign::main(&proxy::SERVER, &config);
    let own = [
        Program { name: "proxy", main: proxy, foreign: true },
        Program { name: "keeper", main: main::<Keeper>, foreign: false },
        Program { name: "records", main: main::<Records>, foreign: false },
    ];
    Suite {
        programs: servers::suite().programs.into_iter().chain(own).collect(),
        systems: vec![system],
        templates: scenarios::templates(),
        zoo: scenarios::zoo(),
        users: vec![("mixed".into(), users)],
        ..Suite::default()
    }
}
