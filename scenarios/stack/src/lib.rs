//! The reference system: nine real services with mutual TLS on every hop, small but with every
//! store on disk.
//!
//! [`system`] says what they are, who calls whom and with which credential; [`programs`] are their
//! bodies, for the executable that hosts a run. What they do with a certificate that expires, is
//! replaced or does not fit is real; defects are switched on by settings.
//!
//! The module list below is a map of the code: first what every service shares, then one module a
//! role.

pub mod client;
pub mod clients;
pub mod clock;
mod connector;
pub mod credentials;
pub mod defects;
mod disk;
pub mod enrol;
pub mod life;
pub mod log;
pub mod needs;
pub mod renewal;
pub mod reply;
mod scenarios;
pub mod server;
pub mod service;
pub mod settings;
mod system;
pub mod tls;
mod users;
mod wait;

pub mod archive;
pub mod auth;
pub mod gateway;
pub mod ingest;
pub mod issuer;
pub mod manager;
pub mod processor;
pub mod record;
pub mod search;
pub mod secret;
pub mod seen;
pub mod source;
pub mod spool;
pub mod spotlight;
pub mod store;

use notafter::{multicall::Program, suite::Suite};
pub use system::{system, with_secrets};
pub use users::{nobody, workload};

/// The reference system, the scenarios that break it alone, and the programs that it is made of.
pub fn suite() -> Suite {
    Suite {
        programs: programs(),
        systems: vec![system],
        templates: scenarios::templates(),
        zoo: scenarios::zoo(),
        users: vec![("stack".into(), workload)],
        ..Suite::default()
    }
}

/// Every program of the system, by the names that [`system`] uses.
pub fn programs() -> Vec<Program> {
    use life::main;
    vec![
        Program { name: "manager", main: main::<manager::Manager>, foreign: false },
        Program { name: "source", main: main::<source::Source>, foreign: false },
        Program { name: "archive", main: main::<archive::Archive>, foreign: false },
        Program { name: "auth", main: main::<auth::Auth>, foreign: false },
        Program { name: "processor", main: main::<processor::Processor>, foreign: false },
        Program { name: "ingest", main: main::<ingest::Ingest>, foreign: false },
        Program { name: "search", main: main::<search::Search>, foreign: false },
        Program { name: "spotlight", main: main::<spotlight::Spotlight>, foreign: false },
        Program { name: "gateway", main: main::<gateway::Gateway>, foreign: false },
    ]
}
