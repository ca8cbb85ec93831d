//! A quorum and its certificates: three members of etcd, a writer that calls them, and users of the writer.
//!
//! Among themselves the members show certificates of the authority `peers`, at port 2380; the writer and they
//! meet under the authority `clients`. All faults are about `peers`: whoever calls a member is never refused,
//! and yet a certificate decides whether his write is taken.
//!
//! etcd 3.4 reads its certificate for each handshake and its bundle at the start (etcd-io/etcd#11555), and
//! never looks at a connection again that is open. So most of what goes wrong here shows with the next cut.

mod judging;
mod member;
mod scenarios;
mod system;
mod writer;

use notafter::{multicall::Program, suite::Suite};

pub use system::{system, users};
pub use writer::Writer;

/// The system, what it is made of, and what breaks it.
pub fn suite() -> Suite {
    Suite {
        programs: vec![
            Program {
                name: "etcd-member",
                main: |config| notafter::foreign::main(&member::SERVER, &config),
                foreign: true,
            },
            Program { name: "writer", main: stack::life::main::<Writer>, foreign: false },
        ],
        systems: vec![system],
        templates: scenarios::templates(),
        zoo: scenarios::zoo(),
        users: vec![("quorum".into(), users)],
        ..Suite::default()
    }
}
