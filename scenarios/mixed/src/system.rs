//! What the system is, and what its users keep doing.

use std::{collections::BTreeMap, time::Duration};

use notafter::{
    system::{Mount, Service, Span, Speaks, System},
    workload::{Endpoint, Ledger, Operation, Workload},
};
use toml::Table;

/// Issues what users and nginx show to each other, and the mount where nginx has it.
pub const EDGE: &str = "edge";
/// Issues what everybody else shows to each other, and the mount where they have it.
pub const MESH: &str = "mesh";

/// nginx, two services of ours, `PostgreSQL` and NATS, and a visitor who stands for the users.
pub fn system() -> System {
    System {
        name: "mixed".into(),
        authorities: vec![EDGE.into(), MESH.into()],
        services: vec![
            Service { speaks: Speaks::Postgres, ..service("postgres", "postgresql", &[]) },
            Service { speaks: Speaks::Nats, ..service("nats", "nats", &[]) },
            ours("keeper", &["postgres", "nats"]),
            ours("records", &["postgres", "nats", "keeper"]),
            Service {
                serves: EDGE.into(),
                mounts: BTreeMap::from([mount(EDGE), mount(MESH)]),
                settings: Table::from_iter([("verify_clients".into(), "on".into())]),
                ..service("nginx", "proxy", &["records"])
            },
            Service {
                serves: EDGE.into(),
                mounts: BTreeMap::from([mount(EDGE)]),
                needs: BTreeMap::from([("nginx".into(), EDGE.into())]),
                external: true,
                ..ours("visitor", &[])
            },
        ],
    }
}

fn ours(name: &str, needs: &[&str]) -> Service {
    // Nobody here issues certificates.
    let settings = Table::from_iter([("renewal".into(), false.into())]);
    Service { settings, ..service(name, name, needs) }
}

fn service(name: &str, program: &str, needs: &[&str]) -> Service {
    Service {
        needs: needs.iter().map(|need| ((*need).into(), MESH.into())).collect(),
        mounts: BTreeMap::from([mount(MESH)]),
        well_known: true,
        ..Service::new(name, program, MESH)
    }
}

fn mount(authority: &str) -> (String, Mount) {
    (authority.into(), Mount::of(authority))
}

/// Users publish records, read what was published a second ago, and ask how many there are, all through nginx;
/// what was acknowledged is on the ledger.
pub fn users() -> Workload {
    let endpoint = |path: &str| Endpoint { service: "nginx".into(), path: path.into() };
    let operation = |name: &str, method: &str, path: &str| Operation {
        name: name.into(),
        service: "nginx".into(),
        method: method.into(),
        path: path.into(),
        body: None,
        user_facing: true,
    };
    Workload {
        authority: EDGE.into(),
        operations: vec![
            operation("publish", "POST", "/v1/records"),
            operation("read", "GET", "/v1/records/{recent}"),
            operation("count", "GET", "/v1/count"),
        ],
        ledger: Some(Ledger {
            sent: endpoint("/v1/ledger"),
            latest: endpoint("/v1/latest"),
            stored: endpoint("/v1/stored"),
            found: endpoint("/v1/records/{number}"),
            late: Span(Duration::from_secs(1)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_makes_sense_and_survives_toml() {
        let system = system();
        system.validate().expect("valid");
        assert_eq!(System::from_toml(&system.to_toml(), "mixed").expect("reads"), system);
    }

    #[test]
    fn every_certificate_is_shown_to_somebody_who_tells() {
        // What a server presents the prober sees; what a client shows only a service of ours tells.
        let system = system();
        for service in system.own() {
            for (mount, of) in &service.mounts {
                let is_asked = |hop: &notafter::system::Hop| {
                    hop.server == service.name
                        && system.entrance(hop).is_some_and(|(shown, _)| shown == *mount)
                };
                let tells = |need: &String| !["postgres", "nats"].contains(&need.as_str());
                let is_told = service.needs.iter().any(|(need, shown)| shown == mount && tells(need));
                assert!(
                    system.hops().iter().any(is_asked) || is_told,
                    "{}/{mount} ({})",
                    service.name,
                    of.authority
                );
            }
        }
    }
}
