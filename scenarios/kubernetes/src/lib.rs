//! The control plane of a real Kubernetes and its certificates: etcd, API server, controller-manager, scheduler
//! and kubelets as kubeadm lays them out, an operator who works with the cluster, and users who ask the operator.
//!
//! "The API is back" is no recovery here. A cluster has recovered when its API answers, every node is ready, a
//! *new* Deployment becomes available, a Service answers by its name from another node, and logs and exec work.

mod access;
mod extension;
mod judging;
mod operator;
mod scenarios;
mod system;

use notafter::{multicall::Program, suite::Suite};

pub use extension::Extension;
pub use operator::Operator;
pub use system::{system, users};

/// The system, what it is made of, and what breaks it.
pub fn suite() -> Suite {
    Suite {
        programs: vec![
            Program { name: "operator", main: stack::life::main::<Operator>, foreign: false },
            Program { name: "extension", main: stack::life::main::<Extension>, foreign: false },
        ],
        systems: vec![system],
        templates: scenarios::templates(),
        zoo: scenarios::zoo(),
        users: vec![("control-plane".into(), users)],
        ..Suite::default()
    }
}
