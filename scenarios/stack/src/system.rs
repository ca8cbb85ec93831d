//! What the reference system is: services, what each needs, the credentials that each uses.

use std::collections::BTreeMap;

use notafter::system::{Filled, Mount, Service, System};

/// The mount with the certificate of the node that a service runs on: its identity towards the
/// manager.
const NODE: &str = "node";
/// The mount with the certificate of the service itself: its identity towards all others.
const WORKLOAD: &str = "workload";
/// Issues node certificates.
const PLATFORM: &str = "platform";
/// Issues workload certificates.
const MESH: &str = "mesh";

/// The reference system: services that start in any order, reload on change and renew by
/// themselves.
pub fn system() -> System {
    System {
        name: "stack".into(),
        authorities: vec![PLATFORM.into(), MESH.into()],
        services: vec![
            manager(),
            source(),
            service("archive", &[]),
            service("auth", &["archive"]),
            service("processor", &["archive"]),
            service("ingest", &["source", "auth", "processor"]),
            service("search", &["archive"]),
            service("spotlight", &["archive"]),
            service("gateway", &["auth", "search", "spotlight"]),
        ],
    }
}

/// The same where every certificate is a TLS Secret of Kubernetes: the manager gives nobody one, and nobody renews his
/// own.
pub fn with_secrets() -> System {
    let mut system = system();
    system.name = "stack-with-secrets".into();
    for service in &mut system.services {
        for mount in service.mounts.values_mut() {
            (mount.filled, mount.secret) = (Filled::Beforehand, true);
        }
        for setting in ["enrols", "renewal"] {
            service.settings.insert(setting.into(), false.into());
        }
    }
    system
}

/// The container management system: everybody is told where it is, and it holds both issuing keys.
fn manager() -> Service {
    Service {
        needs: BTreeMap::new(),
        serves: NODE.into(),
        mounts: BTreeMap::from([mount(NODE, PLATFORM, Filled::Beforehand)]),
        issues: vec![PLATFORM.into(), MESH.into()],
        well_known: true,
        ..service("manager", &[])
    }
}

/// The collaboration platform: somebody else's.
fn source() -> Service {
    Service {
        needs: BTreeMap::new(),
        mounts: BTreeMap::from([mount(WORKLOAD, MESH, Filled::Beforehand)]),
        well_known: true,
        external: true,
        ..service("source", &[])
    }
}

/// A service that shows its node certificate to the manager and its workload certificate to its
/// other needs.
fn service(name: &str, needs: &[&str]) -> Service {
    let others = needs.iter().map(|need| ((*need).to_owned(), WORKLOAD.to_owned()));
    Service {
        needs: others.chain([("manager".to_owned(), NODE.to_owned())]).collect(),
        mounts: BTreeMap::from([
            mount(NODE, PLATFORM, Filled::Beforehand),
            mount(WORKLOAD, MESH, Filled::ByItself),
        ]),
        ..Service::new(name, name, WORKLOAD)
    }
}

fn mount(name: &str, authority: &str, filled: Filled) -> (String, Mount) {
    (name.into(), Mount { filled, ..Mount::of(authority) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_makes_sense_and_survives_toml() {
        for system in [system(), with_secrets()] {
            system.validate().expect("valid");
            assert_eq!(System::from_toml(&system.to_toml(), "stack").expect("reads"), system);
        }
    }

    #[test]
    fn every_need_comes_earlier_in_the_list() {
        let system = system();
        for (place, service) in system.services.iter().enumerate() {
            for need in service.needs.keys() {
                let earlier = system.services[..place].iter().any(|other| &other.name == need);
                assert!(earlier, "{} needs {need}", service.name);
            }
        }
    }

    #[test]
    fn every_service_has_its_program() {
        for service in system().services {
            assert!(crate::programs().iter().any(|program| program.name == service.program));
        }
    }
}
