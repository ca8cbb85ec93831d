//! TLS Secrets of workloads, as Kubernetes has them: written by somebody, delivered by a kubelet, read by whoever has
//! them mounted. They have expired, are rotated, torn, or not there when a pod starts.
//!
//! ```text
//! harness --> Secret --> kubelet --> folder in the pod, replaced as a whole --> service
//! ```
//!
//! What a folder that is written by hand can do, one that a kubelet writes cannot, and the other way round: two files
//! always belong to the same Secret, but that one may be torn already; a new one comes seconds later; and whose Secret
//! is not there is not started at all.

mod nginx;
mod reference;
mod shape;

use notafter::suite::Suite;

/// The systems, and what breaks their Secrets.
pub fn suite() -> Suite {
    Suite {
        programs: stack::programs().into_iter().chain(servers::suite().programs).collect(),
        systems: vec![stack::with_secrets, nginx::system],
        templates: reference::templates().into_iter().chain(nginx::templates()).collect(),
        zoo: reference::zoo().into_iter().chain(nginx::zoo()).collect(),
        users: vec![(stack::with_secrets().name, stack::workload), (nginx::system().name, servers::users)],
        ..Suite::default()
    }
}
