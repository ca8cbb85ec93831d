//! What the system is, and what its users keep doing.

use std::{collections::BTreeMap, time::Duration};

use notafter::{
    system::{Mount, Service, Span, Speaks, System},
    workload::{Endpoint, Ledger, Operation, Workload},
};
use toml::Table;

/// Issues what members and clients show to each other.
const CLIENTS: &str = "clients";
/// Issues what members show to each other.
pub const PEERS: &str = "peers";
/// The members.
pub const MEMBERS: [&str; 3] = ["one", "two", "three"];
/// Where members talk among themselves, as everywhere.
const PEER_PORT: u16 = 2380;

/// Three members of etcd and a writer. With `pre_vote`, as etcd 3.5 has it by default: whoever comes back asks
/// whether he would be elected before he calls for an election.
pub fn system() -> System {
    let mut services: Vec<Service> = MEMBERS.into_iter().map(member).collect();
    services.push(writer());
    System { name: "quorum".into(), authorities: vec![PEERS.into(), CLIENTS.into()], services }
}

fn member(name: &str) -> Service {
    let others = MEMBERS.into_iter().filter(|other| *other != name);
    Service {
        needs: others.map(|other| (other.into(), "peer".into())).collect(),
        doors: BTreeMap::from([("peer".into(), PEER_PORT)]),
        speaks: Speaks::Etcd,
        mounts: BTreeMap::from([mount("client", CLIENTS), mount("peer", PEERS)]),
        settings: Table::from_iter([("pre_vote".into(), true.into())]),
        ..service(name, "etcd-member")
    }
}

fn writer() -> Service {
    // A member that does not answer is left for the next one well before a user gives up.
    let settings = [("request_timeout".into(), "700ms".into()), ("renewal".into(), false.into())];
    Service {
        needs: MEMBERS.into_iter().map(|member| (member.into(), "client".into())).collect(),
        mounts: BTreeMap::from([mount("client", CLIENTS)]),
        settings: Table::from_iter(settings),
        ..service("writer", "writer")
    }
}

fn service(name: &str, program: &str) -> Service {
    Service { well_known: true, ..Service::new(name, program, "client") }
}

fn mount(name: &str, authority: &str) -> (String, Mount) {
    (name.into(), Mount::of(authority))
}

/// Users write, and keep a lease; what was acknowledged is on the ledger.
pub fn users() -> Workload {
    let endpoint = |path: &str| Endpoint { service: "writer".into(), path: path.into() };
    let post = |name: &str, path: &str| Operation {
        name: name.into(),
        service: "writer".into(),
        method: "POST".into(),
        path: path.into(),
        body: None,
        user_facing: true,
    };
    Workload {
        authority: CLIENTS.into(),
        operations: vec![post("write", "/v1/writes"), post("lease", "/v1/lease")],
        ledger: Some(Ledger {
            sent: endpoint("/v1/ledger"),
            latest: endpoint("/v1/latest"),
            stored: endpoint("/v1/stored"),
            found: endpoint("/v1/writes/{number}"),
            late: Span(Duration::from_secs(5)),
        }),
    }
}

/// The same, and somebody watches whether the leader stays.
pub fn watched() -> Workload {
    let mut users = users();
    users.operations.push(Operation {
        name: "leader".into(),
        service: "writer".into(),
        method: "GET".into(),
        path: "/v1/leader".into(),
        body: None,
        user_facing: false,
    });
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_makes_sense_and_survives_toml() {
        let system = system();
        system.validate().expect("valid");
        assert_eq!(System::from_toml(&system.to_toml(), "quorum").expect("reads"), system);
    }

    #[test]
    fn members_meet_at_their_own_door_and_the_writer_does_not() {
        let system = system();
        let at = |hop: &notafter::system::Hop| system.entrance(hop).expect("an entrance");
        for hop in system.hops() {
            let expected =
                if hop.client == "writer" { ("client".into(), 8443) } else { ("peer".into(), PEER_PORT) };
            assert_eq!(at(&hop), expected, "{hop}");
        }
    }
}
