//! A server as people meet it: alone, and with a visitor who stands for its users.

use std::collections::BTreeMap;

use notafter::{
    profile::{Protocol, Server},
    system::{Mount, Service, Speaks, System},
    workload::{Operation, Workload},
};
use toml::Table;

/// Issues what the server and its visitor show to each other, and the mount where they have it.
const MESH: &str = "mesh";
/// Who stands for the users.
pub const VISITOR: &str = "visitor";

/// `server-of-NAME`.
pub fn name_of(server: &Server) -> String {
    format!("server-of-{}", server.name)
}

/// The system `server-of-NAME`: the server under its own name, and a visitor from outside.
pub fn with(server: &Server) -> System {
    // Nobody here issues certificates.
    let settings = Table::from_iter([("renewal".into(), false.into())]);
    System {
        name: name_of(server),
        authorities: vec![MESH.into()],
        services: vec![
            Service { speaks: speaks(server), ..service(server.name) },
            Service {
                needs: BTreeMap::from([(server.name.into(), MESH.into())]),
                external: true,
                settings,
                ..service(VISITOR)
            },
        ],
    }
}

/// What a server is asked, to know that it serves.
pub fn speaks(server: &Server) -> Speaks {
    match server.protocol {
        // Where etcd answers to everybody, it says how it is.
        Protocol::Http("/health") => Speaks::Etcd,
        Protocol::Http(_) | Protocol::Tls => Speaks::Http,
        Protocol::Redis => Speaks::Redis,
        Protocol::Nats => Speaks::Nats,
        Protocol::Mqtt => Speaks::Mqtt,
        Protocol::Amqp => Speaks::Amqp,
        Protocol::Postgres => Speaks::Postgres,
    }
}

/// Users come through the visitor, each with a handshake of his own.
pub fn users() -> Workload {
    let served = Operation {
        name: "served".into(),
        service: VISITOR.into(),
        method: "GET".into(),
        path: "/v1/served".into(),
        body: None,
        user_facing: true,
    };
    Workload { authority: MESH.into(), operations: vec![served], ledger: None }
}

fn service(name: &str) -> Service {
    Service {
        mounts: BTreeMap::from([(MESH.into(), Mount::of(MESH))]),
        well_known: true,
        ..Service::new(name, name, MESH)
    }
}

#[cfg(test)]
mod tests {
    use notafter::{runtime::Runtime, suite::Settings};

    use super::*;
    use crate::SERVERS;

    #[test]
    fn nodes_of_kubernetes_have_nginx_and_every_other_server_says_so() {
        for template in crate::suite().templates {
            let scenario = template.scenario(&Settings::default());
            let server = scenario.servers[0].name;
            match scenario.lacking(Runtime::Kubernetes) {
                None => assert_eq!(server, "nginx"),
                Some(why) => assert_eq!(
                    why,
                    format!(
                        "runtime kubernetes cannot run {server}: of servers that others wrote its nodes have nginx \
                         alone"
                    )
                ),
            }
            assert_eq!(scenario.lacking(Runtime::Processes), None);
        }
    }

    #[test]
    fn the_system_of_every_server_makes_sense_and_survives_toml() {
        for server in &SERVERS {
            let system = with(server);
            system.validate().expect("valid");
            assert_eq!(System::from_toml(&system.to_toml(), server.name).expect("reads"), system);
        }
    }

    #[test]
    fn every_server_is_asked_what_it_speaks() {
        for server in &SERVERS {
            match (speaks(server).protocol(), server.protocol) {
                // Of HTTP the paths may differ.
                (Protocol::Http(_), Protocol::Http(_)) => {}
                (asked, spoken) => assert_eq!(asked, spoken, "{}", server.name),
            }
        }
    }
}
