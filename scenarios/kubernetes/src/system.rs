//! What the system is, and what its users keep doing.

use notafter::{
    runtime::kubernetes::{self, FRONT_PROXY_CA},
    system::{Mount, Service, Span, System},
    workload::{Operation, Workload},
};
use std::time::Duration;

/// Issues what the operator and the users show to each other. Kubernetes knows nothing of it.
const USERS: &str = "users";
/// Nodes beside those with a control plane: a Service needs two to answer from another one.
pub const WORKERS: usize = 1;
/// What users do: each is one of the operator's tasks. `service` asks by name from within a pod, `traffic` comes
/// from outside and needs no control plane.
pub const OPERATIONS: [&str; 7] = ["api", "nodes", "deploy", "service", "logs", "exec", "traffic"];

/// One control plane, one worker, and an operator.
pub fn system() -> System {
    with_control_planes(1)
}

/// Three control planes, one worker, and an operator.
pub fn replicated() -> System {
    with_control_planes(3)
}

fn with_control_planes(count: usize) -> System {
    let mut system = kubernetes::system(count, WORKERS, operator());
    system.authorities.insert(0, USERS.into());
    system.with("operator", "nodes", i64::try_from(count + WORKERS).unwrap_or(i64::MAX))
}

/// The same, where kubelets ask for new client certificates by themselves, which last for minutes.
pub fn renewing() -> System {
    let mut system = system();
    for service in &mut system.services {
        if service.name.starts_with("kubelet-") {
            service.settings.insert("renews".into(), true.into());
        }
    }
    system.with("api", "audits", true).with("controller-manager", "signs_for", "10m")
}

/// The same, where nobody approves what they ask for.
pub fn unapproved() -> System {
    renewing().with("controller-manager", "approves", false)
}

/// Kubelets ask for what they present by themselves, too, and the operator approves it.
pub fn serving_renewing() -> System {
    let mut system = renewing();
    for service in &mut system.services {
        if service.name.starts_with("kubelet-") {
            service.settings.insert("bootstraps".into(), true.into());
        }
    }
    system.with("operator", "approves_serving", true)
}

/// The same, where he does not.
pub fn serving_unapproved() -> System {
    serving_renewing().with("operator", "approves_serving", false)
}

/// The same, where the operator asks for new Services by name.
pub fn named() -> System {
    system().with("operator", "named", true)
}

/// What users do beside [`OPERATIONS`] there.
pub const NAMES: &str = "names";

/// What an extension presents, and whom it lets in.
pub const SERVING: &str = "serving";
/// What users do beside [`OPERATIONS`] where there is one.
pub const EXTENDED: &str = "extension";

/// The same, with an extension: an API that is part of the cluster's, and a webhook that is asked about every new pod.
pub fn extended() -> System {
    let mut system = system().with("operator", "extended", true);
    let mut extension = kubernetes::admin("extension", "extension");
    extension.mounts.insert(SERVING.into(), Mount::of(FRONT_PROXY_CA));
    extension.serves = SERVING.into();
    extension.external = false;
    extension.settings.insert("renewal".into(), false.into());
    if let Some(api) = system.services.iter_mut().find(|service| service.name == "api") {
        api.needs.insert(extension.name.clone(), "front-proxy-client".into());
    }
    system.services.push(extension);
    system
}

fn operator() -> Service {
    let mut operator = kubernetes::admin("operator", "operator");
    operator.mounts.insert(USERS.into(), Mount::of(USERS));
    operator.serves = USERS.into();
    operator.restart.first = Span(Duration::from_millis(50));
    operator.settings.insert("renewal".into(), false.into());
    operator
}

/// Users ask whether each task of the operator succeeds.
pub fn users() -> Workload {
    asking(&OPERATIONS)
}

/// The same, of a cluster with an extension.
pub fn users_of_extended() -> Workload {
    asking(&[&OPERATIONS[..], &[EXTENDED]].concat())
}

/// The same, where the operator asks for new Services by name.
pub fn users_of_named() -> Workload {
    asking(&[&OPERATIONS[..], &[NAMES]].concat())
}

fn asking(operations: &[&str]) -> Workload {
    let operation = |name: &&str| Operation {
        name: (*name).into(),
        service: "operator".into(),
        method: "GET".into(),
        path: format!("/v1/{name}"),
        body: None,
        user_facing: true,
    };
    Workload { authority: USERS.into(), operations: operations.iter().map(operation).collect(), ledger: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_makes_sense_and_survives_toml() {
        let renewing = [renewing(), unapproved(), serving_renewing(), serving_unapproved()];
        for system in renewing.into_iter().chain([system(), named(), replicated(), extended()]) {
            system.validate().expect("valid");
            assert_eq!(System::from_toml(&system.to_toml(), "control-plane").expect("reads"), system);
        }
    }
}
