//! Every certificate, key and kubeconfig of a cluster as files, where kubeadm puts them, so that
//! `kubeadm certs` finds what it knows.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::digest;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    API_PORT, Member,
    component::{
        ACCOUNTS, CLUSTER_CA, ETCD_CA, Form, Slot, identity, identity_of_extension, is_extension, node_of,
        slot_of,
    },
};
use crate::{
    error::{Context, Error, Result},
    pki::{Credential, Pki, pem},
    system::System,
};

/// Absolute paths in a node, and what is in them.
pub type Files = BTreeMap<String, String>;

pub(super) const KUBERNETES: &str = "/etc/kubernetes";
/// Where a kubelet has its own certificates.
pub(super) const KUBELET: &str = "/var/lib/kubelet/pki";
/// The certificate and key that a kubelet shows.
pub(super) const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// The certificate and key that a kubelet presents which asks for them by itself.
const CURRENT_SERVING: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";

/// What the controller-manager signs with. It ends at its start where there is more than one certificate in it, as
/// there is in a bundle while an authority is replaced.
pub(super) const SIGNER: &str = "/etc/kubernetes/pki/ca-signing.crt";

/// New authorities for a system on these nodes, each a root as kubeadm has it, that name in certificates whom
/// kubeadm names.
pub(super) fn authorities(system: &System, members: &[Member]) -> Result<Pki> {
    let mut named = BTreeMap::new();
    for service in &system.services {
        let Some(member) = members.iter().find(|one| one.name == node_of(service)) else { continue };
        for slot in service.mounts.keys().filter_map(|mount| slot_of(service, mount)) {
            let key = (service.name.clone(), slot.mount.to_owned());
            named.insert(key, identity(service, slot, member, members));
        }
        if is_extension(system, service) {
            let key = (service.name.clone(), service.serves.clone());
            named.insert(key, identity_of_extension(&service.name));
        }
    }
    Ok(Pki::of_roots(system)?.named(named))
}

/// A credential as it lies in a node, and whom its holder trusts. `user` is the name of the user in a
/// kubeconfig, `api` where its server is.
pub(super) fn of_credential(slot: &Slot, credential: &Credential, user: &str, api: IpAddr) -> Files {
    let (chain, key) = (credential.chain_pem(), credential.key_pem());
    let pair = |path: String| {
        Files::from([(format!("{path}.crt"), chain.into()), (format!("{path}.key"), key.into())])
    };
    let bundle = credential.bundle_pem();
    let mut files = match slot.form {
        Form::Pair(path) => pair(format!("{KUBERNETES}/pki/{path}")),
        Form::OfKubelet(path) => {
            let mut files = pair(format!("{KUBELET}/{path}"));
            // One that asks for it by itself begins with what lies here.
            files.insert(CURRENT_SERVING.into(), format!("{chain}{key}"));
            files
        }
        Form::Current => {
            let credential = format!("    client-certificate: {CURRENT}\n    client-key: {CURRENT}\n");
            Files::from([
                (
                    format!("{KUBERNETES}/kubelet.conf"),
                    kubeconfig(user, SocketAddr::new(api, API_PORT), bundle, &credential),
                ),
                (CURRENT.into(), format!("{chain}{key}")),
            ])
        }
        Form::Kubeconfig(name) => {
            let text = kubeconfig_of(credential, user, SocketAddr::new(api, API_PORT));
            Files::from([(format!("{KUBERNETES}/{name}.conf"), text)])
        }
    };
    files.insert(authority_path(slot.authority, "crt"), bundle.into());
    files
}

/// The certificate and the key of an authority, and beside it whom everybody trusts. `kubeadm` takes the first of
/// those for the certificate. Of the one that signs tokens there are keys only: the API server takes a token for
/// good that any of the public ones has signed.
pub(super) fn of_authority(name: &str, issuing: &Credential) -> Result<Files> {
    if name == ACCOUNTS {
        let trusted = issuing.bundle_der().context(|| format!("the bundle of {name}"))?;
        let public = trusted.iter().map(|der| Ok(pem("PUBLIC KEY", &public_key(der)?)));
        return Ok(Files::from([
            (authority_path(name, "key"), issuing.key_pem().to_owned()),
            (authority_path(name, "pub"), public.collect::<Result<String>>()?),
        ]));
    }
    let mut files = Files::from([
        (authority_path(name, "crt"), issuing.bundle_pem().to_owned()),
        (authority_path(name, "key"), issuing.key_pem().to_owned()),
    ]);
    if name == CLUSTER_CA {
        files.insert(SIGNER.into(), issuing.chain_pem().to_owned());
    }
    Ok(files)
}

/// By what a token names the key that signed it, its `kid`: what an API server makes of the public key.
pub(super) fn key_id(issuing: &Credential) -> Result<String> {
    let chain = issuing.chain_der();
    let own = chain.first().ok_or_else(|| Error::new("an issuer without a certificate"))?;
    Ok(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &public_key(own)?)))
}

/// The public key of a certificate, as it is written down alone (RFC 5280, `SubjectPublicKeyInfo`).
fn public_key(certificate: &[u8]) -> Result<Vec<u8>> {
    let (_, read) = X509Certificate::from_der(certificate).context(|| "cannot read a certificate".into())?;
    Ok(read.public_key().raw.to_vec())
}

fn authority_path(name: &str, extension: &str) -> String {
    let path = match name {
        CLUSTER_CA => "ca",
        ETCD_CA => "etcd/ca",
        ACCOUNTS => "sa",
        other => other,
    };
    format!("{KUBERNETES}/pki/{path}.{extension}")
}

/// A kubeconfig with the credential in it.
pub(super) fn kubeconfig_of(credential: &Credential, user: &str, api: SocketAddr) -> String {
    let text = format!(
        "    client-certificate-data: {}\n    client-key-data: {}\n",
        STANDARD.encode(credential.chain_pem()),
        STANDARD.encode(credential.key_pem())
    );
    kubeconfig(user, api, credential.bundle_pem(), &text)
}

fn kubeconfig(user: &str, api: SocketAddr, bundle: &str, credential: &str) -> String {
    let ca = STANDARD.encode(bundle);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: kubernetes\n  cluster:\n    \
         certificate-authority-data: {ca}\n    server: https://{api}\ncontexts:\n- name: \
         {user}@kubernetes\n  context:\n    cluster: kubernetes\n    user: {user}\ncurrent-context: \
         {user}@kubernetes\nusers:\n- name: {user}\n  user:\n{credential}"
    )
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use x509_parser::pem::parse_x509_pem;

    use super::*;
    use crate::{
        pki::Validity,
        runtime::kubernetes::{CONTROL_PLANE, component, mint},
    };

    /// All that `kubeadm init phase certs all` and `kubeconfig all` write, with what a kubelet has after it, and what
    /// people put there who replace an authority.
    const OF_KUBEADM: [&str; 29] = [
        "admin.conf",
        "controller-manager.conf",
        "kube-proxy.conf",
        "kubelet.conf",
        "pki/apiserver-etcd-client.crt",
        "pki/apiserver-etcd-client.key",
        "pki/apiserver-kubelet-client.crt",
        "pki/apiserver-kubelet-client.key",
        "pki/apiserver.crt",
        "pki/apiserver.key",
        "pki/ca-signing.crt",
        "pki/ca.crt",
        "pki/ca.key",
        "pki/etcd/ca.crt",
        "pki/etcd/ca.key",
        "pki/etcd/healthcheck-client.crt",
        "pki/etcd/healthcheck-client.key",
        "pki/etcd/peer.crt",
        "pki/etcd/peer.key",
        "pki/etcd/server.crt",
        "pki/etcd/server.key",
        "pki/front-proxy-ca.crt",
        "pki/front-proxy-ca.key",
        "pki/front-proxy-client.crt",
        "pki/front-proxy-client.key",
        "pki/sa.key",
        "pki/sa.pub",
        "scheduler.conf",
        "super-admin.conf",
    ];

    fn control_plane() -> Files {
        let address = IpAddr::V4(Ipv4Addr::new(172, 18, 0, 2));
        let (name, container) = (CONTROL_PLANE.to_owned(), String::new());
        let members = [Member { name, number: 0, address, container }];
        let system = component::system(1, 0, component::admin("admin", "admin"));
        let pki = authorities(&system, &members).expect("random bytes");
        let year = Validity::lasting(Duration::from_hours(365 * 24));
        mint(&system, &pki, &members, &members[0], year).expect("ASCII")
    }

    fn subject_and_issuer(pem: &str) -> (String, String) {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).expect("PEM");
        let certificate = pem.parse_x509().expect("a certificate");
        (certificate.subject().to_string(), certificate.issuer().to_string())
    }

    #[test]
    fn every_file_of_a_control_plane_is_where_kubeadm_puts_it() {
        let files = control_plane();
        let found = files.keys().filter(|path| path.starts_with(KUBERNETES));
        let expected: Vec<_> = OF_KUBEADM.iter().map(|path| format!("{KUBERNETES}/{path}")).collect();
        assert_eq!(found.cloned().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_certificate_is_signed_by_the_root_that_kubeadm_would_take() {
        let files = control_plane();
        for (path, issuer) in [
            ("apiserver", "CN=kubernetes"),
            ("ca", "CN=kubernetes"),
            ("apiserver-etcd-client", "CN=etcd-ca"),
            ("etcd/server", "CN=etcd-ca"),
            ("front-proxy-client", "CN=front-proxy-ca"),
        ] {
            let file = &files[&format!("{KUBERNETES}/pki/{path}.crt")];
            assert_eq!(subject_and_issuer(file).1, issuer, "of {path}");
            assert_eq!(file.matches("BEGIN CERTIFICATE").count(), 1, "in {path}");
        }
    }

    #[test]
    fn who_signs_is_one_certificate_and_the_first_of_those_who_are_trusted() {
        let old = crate::pki::Authority::root(CLUSTER_CA).expect("an authority");
        let new = old.successor(crate::pki::Overlap::TrustBoth).expect("another");
        let files = of_authority(CLUSTER_CA, new.issuer().credential()).expect("keys");
        let (signer, trusted) = (&files[SIGNER], &files["/etc/kubernetes/pki/ca.crt"]);
        let count = |pem: &str| pem.matches("BEGIN CERTIFICATE").count();
        assert_eq!((count(signer), count(trusted)), (1, 2));
        assert_eq!(subject_and_issuer(signer), subject_and_issuer(trusted));
    }

    #[test]
    fn tokens_are_signed_with_the_new_key_and_the_old_one_is_trusted_beside_it_while_there_is_an_overlap() {
        let keys = |authority: &crate::pki::Authority| {
            let credential = authority.issuer().credential().clone();
            let files = of_authority(ACCOUNTS, &credential).expect("keys");
            let [signing, public] =
                ["key", "pub"].map(|it| files[&format!("{KUBERNETES}/pki/sa.{it}")].clone());
            let signing = rcgen::KeyPair::from_pem(&signing).expect("a key").public_key_pem();
            (signing.replace('\r', ""), public, key_id(&credential).expect("a name"))
        };
        let old = crate::pki::Authority::root(ACCOUNTS).expect("an authority");
        let mut new = old.successor(crate::pki::Overlap::TrustBoth).expect("another");
        let ((old_key, old_public, old_id), (new_key, both, new_id)) = (keys(&old), keys(&new));
        assert_eq!((&old_public, old_id != new_id), (&old_key, true));
        assert_eq!(both, format!("{new_key}{old_key}"));
        new.end_overlap().expect("a bundle");
        assert_eq!(keys(&new), (new_key.clone(), new_key, new_id));
    }

    #[test]
    fn a_client_of_a_kubelet_is_in_the_group_that_may_do_so_and_a_server_is_not() {
        let files = control_plane();
        let subject = |path: &str| subject_and_issuer(&files[&format!("/etc/kubernetes/pki/{path}.crt")]).0;
        let client = "CN=kube-apiserver-kubelet-client, O=kubeadm:cluster-admins";
        assert_eq!(subject("apiserver-kubelet-client"), client);
        assert_eq!(subject("apiserver"), "CN=kube-apiserver");
    }
}
