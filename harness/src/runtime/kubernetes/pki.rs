//! Every certificate and kubeconfig of a cluster, where kubeadm puts them (kubeadm's implementation
//! details, "Certificates" and "kubeconfig files"), so that `kubeadm certs` finds what it knows.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::KeyPair;

use crate::{
    error::{Context, Result},
    pki::{Credential, Identity, Issuer, Usage, Validity},
};

/// Absolute paths in a node, and what is in them.
pub type Files = BTreeMap<String, String>;

const KUBERNETES: &str = "/etc/kubernetes";
/// Where a kubelet has its own certificates.
pub(super) const KUBELET: &str = "/var/lib/kubelet/pki";
/// The group that may do everything, as long as its binding is there.
const ADMINS: &str = "kubeadm:cluster-admins";
/// The group that may do everything, even then.
const MASTERS: &str = "system:masters";
/// The Service of the API itself: the first address of the range of Services.
const API_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));
const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);

/// The three roots of a cluster, and the key that signs the tokens of service accounts.
pub(super) struct Authorities {
    cluster: Issuer,
    etcd: Issuer,
    front_proxy: Issuer,
    accounts: KeyPair,
}

impl Authorities {
    /// All of them new, for ten years.
    pub(super) fn new() -> Result<Self> {
        let root = |name| Issuer::root(name, Validity::lasting(AUTHORITY_LIFE));
        let accounts = KeyPair::generate().context(|| "cannot mint the key of service accounts".into())?;
        Ok(Self {
            cluster: root("kubernetes")?,
            etcd: root("etcd-ca")?,
            front_proxy: root("front-proxy-ca")?,
            accounts,
        })
    }

    /// What a control-plane node has below `/etc/kubernetes`; what its kubelet has comes on top.
    pub(super) fn control_plane(&self, name: &str, address: IpAddr, validity: Validity) -> Result<Files> {
        let mut files = Files::new();
        for (path, issuer) in
            [("ca", &self.cluster), ("etcd/ca", &self.etcd), ("front-proxy-ca", &self.front_proxy)]
        {
            put(&mut files, path, issuer.credential());
        }
        let api_names = ["", ".default", ".default.svc", ".default.svc.cluster.local"];
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
        let api = Identity {
            dns_names: api_names
                .map(|rest| format!("kubernetes{rest}"))
                .into_iter()
                .chain([name.into(), "localhost".into()])
                .collect(),
            addresses: vec![API_SERVICE, address, loopback[0]],
            ..server("kube-apiserver")
        };
        let etcd = Identity {
            dns_names: vec![name.into(), "localhost".into()],
            addresses: vec![address, loopback[0], loopback[1]],
            usages: vec![Usage::ServerAuth, Usage::ClientAuth],
            ..server(name)
        };
        for (path, issuer, identity) in [
            ("apiserver", &self.cluster, api),
            (
                "apiserver-kubelet-client",
                &self.cluster,
                client("kube-apiserver-kubelet-client", Some(ADMINS)),
            ),
            ("front-proxy-client", &self.front_proxy, client("front-proxy-client", None)),
            ("apiserver-etcd-client", &self.etcd, client("kube-apiserver-etcd-client", None)),
            ("etcd/server", &self.etcd, etcd.clone()),
            ("etcd/peer", &self.etcd, etcd),
            ("etcd/healthcheck-client", &self.etcd, client("kube-etcd-healthcheck-client", None)),
        ] {
            put(&mut files, path, &issuer.issue(&identity, validity)?);
        }
        files.insert(format!("{KUBERNETES}/pki/sa.key"), self.accounts.serialize_pem());
        files.insert(format!("{KUBERNETES}/pki/sa.pub"), self.accounts.public_key_pem());
        for (file, user, group) in [
            ("admin", "kubernetes-admin", Some(ADMINS)),
            ("super-admin", "kubernetes-super-admin", Some(MASTERS)),
            ("controller-manager", "system:kube-controller-manager", None),
            ("scheduler", "system:kube-scheduler", None),
        ] {
            let path = format!("{KUBERNETES}/{file}.conf");
            files.insert(path, self.kubeconfig(user, group, address, validity)?);
        }
        Ok(files)
    }

    /// What every node has: the certificates of its kubelet, and the kubeconfig of its kube-proxy.
    pub(super) fn node(&self, name: &str, address: IpAddr, api: IpAddr, validity: Validity) -> Result<Files> {
        let user = format!("system:node:{name}");
        let calls =
            self.cluster.issue(&client(&user, Some("system:nodes")), validity)?.without_intermediates();
        let serves = Identity { dns_names: vec![name.into()], addresses: vec![address], ..server(&user) };
        let serves = self.cluster.issue(&serves, validity)?.without_intermediates();
        let current = format!("{KUBELET}/kubelet-client-current.pem");
        let credential = format!("    client-certificate: {current}\n    client-key: {current}\n");
        Ok(Files::from([
            (format!("{KUBERNETES}/pki/ca.crt"), self.cluster.credential().chain_pem().to_owned()),
            (current, format!("{}{}", calls.chain_pem(), calls.key_pem())),
            (format!("{KUBELET}/kubelet.crt"), serves.chain_pem().to_owned()),
            (format!("{KUBELET}/kubelet.key"), serves.key_pem().to_owned()),
            (format!("{KUBERNETES}/kubelet.conf"), self.kubeconfig_with(&user, api, &credential)),
            (
                format!("{KUBERNETES}/kube-proxy.conf"),
                self.kubeconfig("system:kube-proxy", None, api, validity)?,
            ),
        ]))
    }

    /// A kubeconfig with the credential in it.
    fn kubeconfig(&self, user: &str, group: Option<&str>, api: IpAddr, validity: Validity) -> Result<String> {
        let credential = self.cluster.issue(&client(user, group), validity)?.without_intermediates();
        let (chain, key) = (STANDARD.encode(credential.chain_pem()), STANDARD.encode(credential.key_pem()));
        let credential = format!("    client-certificate-data: {chain}\n    client-key-data: {key}\n");
        Ok(self.kubeconfig_with(user, api, &credential))
    }

    fn kubeconfig_with(&self, user: &str, api: IpAddr, credential: &str) -> String {
        let ca = STANDARD.encode(self.cluster.credential().chain_pem());
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: kubernetes\n  cluster:\n    \
             certificate-authority-data: {ca}\n    server: https://{api}:6443\ncontexts:\n- name: \
             {user}@kubernetes\n  context:\n    cluster: kubernetes\n    user: {user}\ncurrent-context: \
             {user}@kubernetes\nusers:\n- name: {user}\n  user:\n{credential}"
        )
    }
}

fn put(files: &mut Files, path: &str, credential: &Credential) {
    // kubeadm's files hold one certificate; the root of an issuer is the first of its own chain.
    let one = credential.clone().without_intermediates();
    files.insert(format!("{KUBERNETES}/pki/{path}.crt"), one.chain_pem().to_owned());
    files.insert(format!("{KUBERNETES}/pki/{path}.key"), one.key_pem().to_owned());
}

fn client(user: &str, group: Option<&str>) -> Identity {
    Identity {
        common_name: user.into(),
        organization: group.map(str::to_owned),
        usages: vec![Usage::ClientAuth],
        ..Identity::default()
    }
}

fn server(name: &str) -> Identity {
    Identity { common_name: name.into(), usages: vec![Usage::ServerAuth], ..Identity::default() }
}

#[cfg(test)]
mod tests {
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 18, 0, 2));
    /// All that `kubeadm init phase certs all` and `kubeconfig all` write, but for what a kubelet has.
    const OF_KUBEADM: [&str; 26] = [
        "admin.conf",
        "controller-manager.conf",
        "pki/apiserver-etcd-client.crt",
        "pki/apiserver-etcd-client.key",
        "pki/apiserver-kubelet-client.crt",
        "pki/apiserver-kubelet-client.key",
        "pki/apiserver.crt",
        "pki/apiserver.key",
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
        let authorities = Authorities::new().expect("random bytes");
        let year = Validity::lasting(Duration::from_hours(365 * 24));
        authorities.control_plane("control-plane", ADDRESS, year).expect("ASCII")
    }

    fn subject_and_issuer(pem: &str) -> (String, String) {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).expect("PEM");
        let certificate = pem.parse_x509().expect("a certificate");
        (certificate.subject().to_string(), certificate.issuer().to_string())
    }

    #[test]
    fn every_file_of_a_control_plane_is_where_kubeadm_puts_it() {
        let expected: Vec<_> = OF_KUBEADM.iter().map(|path| format!("{KUBERNETES}/{path}")).collect();
        assert_eq!(control_plane().into_keys().collect::<Vec<_>>(), expected);
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
    fn a_client_of_a_kubelet_is_in_the_group_that_may_do_so() {
        let file = &control_plane()["/etc/kubernetes/pki/apiserver-kubelet-client.crt"];
        assert_eq!(subject_and_issuer(file).0, "CN=kube-apiserver-kubelet-client, O=kubeadm:cluster-admins");
    }
}
