//! Which client certificates the components show to the API server, by its log: those that it refuses, and those of
//! kubelets that it lets in, where it audits them. The prober calls nobody with these.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    net::IpAddr,
    path::PathBuf,
};

use ring::digest;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Nodes,
    charge::newest_log,
    component::{CLUSTER_CA, Component, node_of},
    node,
};
use crate::{
    history::Leaf,
    pki::{Credential, hex, leaf_of},
    system::{Service, System},
};

/// What stands before the serial number, in decimal, of a client certificate that the API server refuses.
const REFUSED: &str = "verifying certificate SN=";
/// What stands before the name of a node in the audit of what its kubelet did.
const NODE: &str = "\"username\":\"system:node:";
/// What stands before the digest of the certificate that it showed, in hexadecimal digits.
const DIGEST: &str = "X509SHA256=";

/// What each client has shown last.
#[derive(Default)]
pub(super) struct Shown {
    log: PathBuf,
    read: u64,
    /// Where a kubelet was let in with what, last.
    let_in: BTreeMap<String, String>,
    /// As [`crate::service::Status`] has it.
    pub clients: BTreeMap<String, BTreeMap<IpAddr, Leaf>>,
}

impl Shown {
    /// Reads on in the log of the API server on this node.
    pub(super) fn read(&mut self, on: &str, nodes: &Nodes, system: &System) {
        let pods = nodes.folder.logs().join(on).join("pods");
        let Some(log) = newest_log(&pods, Component::ApiServer.program()) else { return };
        if log != self.log {
            (self.log, self.read) = (log, 0);
        }
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        if read.is_err() {
            return;
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        for line in String::from_utf8_lossy(&bytes[..whole]).lines() {
            if let Some(serial) = serial_in(line) {
                self.refused(&serial, nodes, system);
            } else if let Some((node, print)) = let_in(line) {
                self.let_in(node, print, nodes, system);
            }
        }
    }

    /// It names them by their serial numbers, and nobody but the component holds the key.
    fn refused(&mut self, serial: &str, nodes: &Nodes, system: &System) {
        for service in &system.services {
            if let Some(installed) = installed(service, nodes)
                && installed.leaf().serial == serial
            {
                self.saw(service, installed.leaf(), nodes);
            }
        }
    }

    /// What a kubelet shows is what was installed, or what it has got itself since.
    fn let_in(&mut self, of: &str, print: &str, nodes: &Nodes, system: &System) {
        if self.let_in.get(of).is_some_and(|last| last == print) {
            return;
        }
        let is_it =
            |service: &&Service| Component::of(service) == Some(Component::Kubelet) && node_of(service) == of;
        let Some(service) = system.services.iter().find(is_it) else { return };
        let given = installed(service, nodes).map(|one| one.chain_der());
        let got = node::current_of_kubelet(&nodes.folder, of).ok().and_then(|path| std::fs::read(path).ok());
        let got = got.and_then(|pem| Some(vec![CertificateDer::pem_slice_iter(&pem).next()?.ok()?]));
        let mut shown = given.into_iter().chain(got).filter_map(|chain| chain.into_iter().next());
        let is_shown = |der: &CertificateDer<'_>| hex(digest::digest(&digest::SHA256, der).as_ref()) == print;
        if let Some(leaf) = shown.find(is_shown).and_then(|der| leaf_of(&der).ok()) {
            self.saw(service, &leaf, nodes);
            self.let_in.insert(of.to_owned(), print.to_owned());
        }
    }

    fn saw(&mut self, service: &Service, leaf: &Leaf, nodes: &Nodes) {
        if let Ok((_, member)) = nodes.member_of(service) {
            let client = format!("{}@{CLUSTER_CA}", service.name);
            self.clients.insert(client, BTreeMap::from([(member.address, leaf.clone())]));
        }
    }
}

/// That by which a service is known to its peers.
fn installed(service: &Service, nodes: &Nodes) -> Option<Credential> {
    let (mount, _) = service.mounts.iter().find(|(_, mount)| mount.authority == CLUSTER_CA)?;
    Credential::read(&nodes.folder.service(&service.name).join("credentials").join(mount)).ok()
}

/// The serial number of a client certificate that was refused, as 32 hexadecimal digits, in a line of the log
/// of an API server.
fn serial_in(line: &str) -> Option<String> {
    let (_, after) = line.split_once(REFUSED)?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(format!("{:032x}", digits.parse::<u128>().ok()?))
}

/// The node whose kubelet was let in, and the digest of what it showed, in a line of an audit.
fn let_in(line: &str) -> Option<(&str, &str)> {
    let (_, after) = line.split_once(NODE)?;
    let (node, after) = after.split_once('"')?;
    let (_, after) = after.split_once(DIGEST)?;
    Some((node, after.split('"').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_client_is_known_by_its_serial_number() {
        let line = "2026-11-27T18:00:00.0Z stderr F E1127 18:00:00.1 1 authentication.go:75] \"Unable to \
                    authenticate the request\" err=\"[verifying certificate SN=85070591730234615865843651857942052864, \
                    SKID=, AKID= failed: x509: certificate has expired or is not yet valid]\"";
        assert_eq!(serial_in(line).as_deref(), Some("40000000000000000000000000000000"));
        assert_eq!(serial_in("verifying certificate SN=none"), None);
        assert_eq!(serial_in("all is well"), None);
    }

    #[test]
    fn a_kubelet_that_is_let_in_is_known_by_the_digest_of_its_certificate() {
        let line = r#"2026-11-28T03:00:00.0Z stdout F {"kind":"Event","level":"Metadata","verb":"patch","user":{"username":"system:node:worker-1","groups":["system:nodes"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=04adf2"]}},"responseStatus":{"code":200}}"#;
        assert_eq!(let_in(line), Some(("worker-1", "04adf2")));
        assert_eq!(let_in(&line.replace("system:node", "system:serviceaccount")), None);
    }
}
