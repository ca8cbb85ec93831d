//! The names that `kubeadm certs check-expiration` gives to the files of a control plane.

use std::collections::HashSet;

/// Below the folder of the control plane: where, and what kubeadm calls it.
const NAMES: [(&str, &str); 15] = [
    ("admin.conf", "admin.conf"),
    ("super-admin.conf", "super-admin.conf"),
    ("controller-manager.conf", "controller-manager.conf"),
    ("scheduler.conf", "scheduler.conf"),
    ("kubelet.conf", "kubelet.conf"),
    ("pki/apiserver.crt", "apiserver"),
    ("pki/apiserver-etcd-client.crt", "apiserver-etcd-client"),
    ("pki/apiserver-kubelet-client.crt", "apiserver-kubelet-client"),
    ("pki/ca.crt", "ca"),
    ("pki/front-proxy-ca.crt", "front-proxy-ca"),
    ("pki/front-proxy-client.crt", "front-proxy-client"),
    ("pki/etcd/ca.crt", "etcd-ca"),
    ("pki/etcd/healthcheck-client.crt", "etcd-healthcheck-client"),
    ("pki/etcd/peer.crt", "etcd-peer"),
    ("pki/etcd/server.crt", "etcd-server"),
];

/// What makes a folder a control plane's.
const MARK: &str = "pki/apiserver.crt";

/// The control planes among what was read.
#[derive(Default)]
pub(super) struct Layouts {
    folders: HashSet<String>,
}

impl Layouts {
    /// Finds them by the certificate that each has.
    pub fn among<'a>(places: impl Iterator<Item = &'a str>) -> Self {
        Self { folders: places.filter_map(|place| place.strip_suffix(MARK)).map(str::to_owned).collect() }
    }

    /// What kubeadm calls the leaf, or the authority, of a file.
    pub fn name(&self, place: &str) -> Option<&'static str> {
        if self.folders.is_empty() {
            return None;
        }
        let known = NAMES
            .iter()
            .find(|(file, _)| place.strip_suffix(file).is_some_and(|folder| self.folders.contains(folder)));
        known.map(|(_, name)| *name)
    }
}
