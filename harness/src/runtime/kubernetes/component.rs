//! The components of a cluster, as services of a system: which programs they are, and which credentials kubeadm
//! gives to each (kubeadm's implementation details, "Certificates" and "kubeconfig files").

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::Deserialize;

use super::{CONTROL_PLANE, Member, endpoint};
use crate::{
    error::{Context, Result},
    pki::{Identity, Usage},
    system::{Backoff, Mount, Service, Span, Speaks, System},
};

/// Issues what everybody shows to the API server, what it presents, and what kubelets present.
pub const CLUSTER_CA: &str = "kubernetes";
/// Issues what etcd presents, and what is shown to it.
pub const ETCD_CA: &str = "etcd-ca";
/// Issues what the API server shows to aggregated APIs.
pub const FRONT_PROXY_CA: &str = "front-proxy-ca";
/// Signs the tokens of service accounts: a pair of keys, which whoever trusts it has without a certificate.
pub const ACCOUNTS: &str = "service-accounts";
/// The service that is the kubelet of a node has this before the node's name.
const KUBELET_OF: &str = "kubelet-";
/// The group that may do everything, as long as its binding is there.
const ADMINS: &str = "kubeadm:cluster-admins";
/// The group that may do everything, even then.
const MASTERS: &str = "system:masters";
/// The group of all nodes.
const NODES: &str = "system:nodes";
/// The Service of the API itself: the first address of the range of Services.
const API_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// Where members of etcd meet.
pub(super) const PEER_PORT: u16 = 2380;

/// What a component can be told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(super) struct Settings {
    /// Of a kubelet: whether it asks for a new client certificate by itself before the one that it has ends.
    pub renews: bool,
    /// Of a kubelet: whether it asks for what it presents by itself, too, and somebody has to approve that.
    pub bootstraps: bool,
    /// Of the API server: whether it says in its log which certificate each kubelet shows that it lets in.
    pub audits: bool,
    /// Of the controller-manager: whether it approves what kubelets ask for.
    pub approves: bool,
    /// Of the controller-manager: how long what it signs lasts.
    pub signs_for: Span,
}

impl Default for Settings {
    /// As Kubernetes has it, but for kubelets: most of ours show what people install.
    fn default() -> Self {
        let year = std::time::Duration::from_hours(365 * 24);
        Self { renews: false, bootstraps: false, audits: false, approves: true, signs_for: Span(year) }
    }
}

impl Settings {
    pub(super) fn of(service: &Service) -> Result<Self> {
        let read = service.settings.clone().try_into();
        read.context(|| format!("the settings of {} make no sense", service.name))
    }
}

/// What a service of such a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kubelet,
}

/// How a credential is written down, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As `PATH.crt` and `PATH.key` below `/etc/kubernetes/pki`.
    Pair(&'static str),
    /// As `PATH.crt` and `PATH.key` where a kubelet has its own.
    OfKubelet(&'static str),
    /// Certificate and key in one file where a kubelet has its own, and a kubeconfig that points there.
    Current,
    /// In a kubeconfig below `/etc/kubernetes`.
    Kubeconfig(&'static str),
}

/// A credential of a component.
pub(super) struct Slot {
    pub mount: &'static str,
    pub authority: &'static str,
    pub form: Form,
}

const fn slot(mount: &'static str, authority: &'static str, form: Form) -> Slot {
    Slot { mount, authority, form }
}

const ETCD: [Slot; 3] = [
    slot("server", ETCD_CA, Form::Pair("etcd/server")),
    slot("peer", ETCD_CA, Form::Pair("etcd/peer")),
    slot("healthcheck-client", ETCD_CA, Form::Pair("etcd/healthcheck-client")),
];
const API_SERVER: [Slot; 4] = [
    slot("serving", CLUSTER_CA, Form::Pair("apiserver")),
    slot("etcd-client", ETCD_CA, Form::Pair("apiserver-etcd-client")),
    slot("kubelet-client", CLUSTER_CA, Form::Pair("apiserver-kubelet-client")),
    slot("front-proxy-client", FRONT_PROXY_CA, Form::Pair("front-proxy-client")),
];
const CONTROLLER_MANAGER: [Slot; 1] =
    [slot("kubeconfig", CLUSTER_CA, Form::Kubeconfig("controller-manager"))];
const SCHEDULER: [Slot; 1] = [slot("kubeconfig", CLUSTER_CA, Form::Kubeconfig("scheduler"))];
const KUBELET: [Slot; 3] = [
    slot("serving", CLUSTER_CA, Form::OfKubelet("kubelet")),
    slot("client", CLUSTER_CA, Form::Current),
    // That of the node's kube-proxy, which has no certificate that anybody sees.
    slot("proxy", CLUSTER_CA, Form::Kubeconfig("kube-proxy")),
];
/// What people have who administrate the cluster.
const ADMIN: [Slot; 2] = [
    slot("admin", CLUSTER_CA, Form::Kubeconfig("admin")),
    slot("super-admin", CLUSTER_CA, Form::Kubeconfig("super-admin")),
];

impl Component {
    pub(super) const ALL: [Self; 5] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kubelet];

    /// The component that a service is; none if it is something else.
    pub(super) fn of(service: &Service) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.program() == service.program)
    }

    /// The name of its program, and of its static pod if it is one.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
        }
    }

    /// Where it listens.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Etcd => 2379,
            Self::ApiServer => super::API_PORT,
            Self::ControllerManager => 10_257,
            Self::Scheduler => 10_259,
            Self::Kubelet => 10_250,
        }
    }

    fn slots(self) -> &'static [Slot] {
        match self {
            Self::Etcd => &ETCD,
            Self::ApiServer => &API_SERVER,
            Self::ControllerManager => &CONTROLLER_MANAGER,
            Self::Scheduler => &SCHEDULER,
            Self::Kubelet => &KUBELET,
        }
    }
}

/// Where the credential in a mount of a service belongs; none if no node has it.
pub(super) fn slot_of(service: &Service, mount: &str) -> Option<&'static Slot> {
    let slots = Component::of(service).map_or(&ADMIN[..], Component::slots);
    slots.iter().find(|slot| slot.mount == mount)
}

/// Whether a component calls a service that is none: it runs beside the cluster, and its API is part of that of the
/// cluster.
pub(super) fn is_extension(system: &System, service: &Service) -> bool {
    let calls = |other: &Service| Component::of(other).is_some() && other.needs.contains_key(&service.name);
    Component::of(service).is_none() && system.services.iter().any(calls)
}

/// What an extension presents to the API server, which calls it by the name of its Service.
pub(super) fn identity_of_extension(name: &str) -> Identity {
    let names = ["", ".default", ".default.svc", ".default.svc.cluster.local"];
    Identity { dns_names: names.map(|rest| format!("{name}{rest}")).into(), ..server(name) }
}

/// The node that a service belongs to: a kubelet has its name, and any other component of a control plane its number.
pub(super) fn node_of(service: &Service) -> String {
    let number = service.name.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(1);
    match Component::of(service) {
        Some(Component::Kubelet) => service.name.strip_prefix(KUBELET_OF).unwrap_or(&service.name).into(),
        Some(_) => nth(CONTROL_PLANE, number),
        None => CONTROL_PLANE.into(),
    }
}

/// Whether a node has what lies in a slot of a service: its own. What people call the API server with lies on every
/// node with a control plane; how to set up a cluster, where that is done.
pub(super) fn is_on(service: &Service, slot: &Slot, node: &str) -> bool {
    node_of(service) == node || (slot.form == Form::Kubeconfig("admin") && has_control_plane(node))
}

/// Whether a node of this name has a control plane.
pub(super) fn has_control_plane(node: &str) -> bool {
    node.strip_prefix(CONTROL_PLANE).is_some_and(|number| number.is_empty() || number.starts_with('-'))
}

/// What the one with this number, from 1, of several of a kind is called.
fn nth(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

/// So many nodes with a control plane, one or three, so many workers, and somebody who works with them: see [`admin`].
/// Of three, the services of the first are called as if it were the only one, and those of the others `api-2`, `api-3`.
/// An API server calls the etcd of its own node, and the etcds are the members of one cluster.
///
/// Controllers, schedulers and kubelets call the API server, too, but nobody calls it in their place: what they
/// show is known from the server's log, where it refuses them.
pub fn system(control_planes: usize, workers: usize, admin: Service) -> System {
    let numbers = || 1..=control_planes;
    let nodes = numbers().map(|number| nth(CONTROL_PLANE, number));
    let nodes = nodes.chain((1..=workers).map(|number| format!("worker-{number}")));
    let kubelets = nodes.map(|node| format!("{KUBELET_OF}{node}"));
    let kubelets: Vec<Service> = kubelets.map(|name| service(&name, Component::Kubelet)).collect();
    let calls = kubelets.iter().map(|kubelet| (kubelet.name.clone(), "kubelet-client".to_owned()));
    let etcds = numbers().map(|number| etcd(number, control_planes));
    let apis = numbers().map(|number| Service {
        needs: calls.clone().chain([(nth("etcd", number), "etcd-client".into())]).collect(),
        issues: vec![ACCOUNTS.into()],
        well_known: true,
        ..service(&nth("api", number), Component::ApiServer)
    });
    let controller_managers = numbers().map(|number| Service {
        // It signs with one of them. The others are where kubeadm leaves them, too: `kubeadm certs renew`
        // issues from there, on each node from the same.
        issues: [CLUSTER_CA, ETCD_CA, FRONT_PROXY_CA].map(Into::into).into(),
        ..service(&nth("controller-manager", number), Component::ControllerManager)
    });
    let schedulers = numbers().map(|number| service(&nth("scheduler", number), Component::Scheduler));
    let mut services: Vec<Service> = etcds.chain(apis).chain(controller_managers).chain(schedulers).collect();
    services.extend(kubelets);
    let needs = numbers().map(|number| (nth("api", number), "admin".into())).collect();
    services.push(Service { needs, ..admin });
    // The last one is what those show who must not get in.
    let authorities = [ACCOUNTS, ETCD_CA, FRONT_PROXY_CA, CLUSTER_CA].map(Into::into).into();
    System { name: "control-plane".into(), authorities, services }
}

/// One of so many members of etcd. They meet at a door of their own.
fn etcd(number: usize, members: usize) -> Service {
    let mut member = service(&nth("etcd", number), Component::Etcd);
    let others = (1..=members).filter(|other| *other != number);
    member.needs = others.map(|other| (nth("etcd", other), "peer".into())).collect();
    if !member.needs.is_empty() {
        member.doors.insert("peer".into(), PEER_PORT);
    }
    member
}

/// Somebody with the credentials of an administrator: a program that runs beside the cluster, and calls its
/// API server. It is nobody's to break.
pub fn admin(name: &str, program: &str) -> Service {
    Service {
        needs: BTreeMap::from([("api".into(), "admin".into())]),
        mounts: mounts(&ADMIN),
        external: true,
        ..plain(name, program, "admin")
    }
}

fn service(name: &str, component: Component) -> Service {
    let Slot { mount: serves, form, .. } = component.slots()[0];
    // Controllers present what they sign themselves, to those who ask for their health.
    let presents = !matches!(form, Form::Kubeconfig(_));
    Service {
        doors: presents.then(|| (serves.to_owned(), component.port())).into_iter().collect(),
        speaks: match component {
            Component::Etcd => Speaks::Etcd,
            Component::Kubelet => Speaks::Kubelet,
            // Nobody calls a controller.
            _ => Speaks::ApiServer,
        },
        mounts: mounts(component.slots()),
        // What it gets by itself names its node.
        called: name.strip_prefix(KUBELET_OF).map(str::to_owned),
        ..plain(name, component.program(), serves)
    }
}

fn plain(name: &str, program: &str, serves: &str) -> Service {
    let seconds = |count| Span(std::time::Duration::from_secs(count));
    Service {
        // That of a kubelet, which is not ours to choose.
        restart: Backoff { first: seconds(10), cap: seconds(300), reset_after: seconds(600) },
        ..Service::new(name, program, serves)
    }
}

fn mounts(slots: &[Slot]) -> BTreeMap<String, Mount> {
    let mount = |slot: &Slot| (slot.mount.to_owned(), Mount::of(slot.authority));
    slots.iter().map(mount).collect()
}

/// Whom the certificate in a slot of a service on this node, one of these, names, in kubeadm's words. Who calls the API
/// server or etcd may do so by the name of the service, too, as `certSANs` of kubeadm would have it.
pub(super) fn identity(service: &Service, slot: &Slot, node: &Member, members: &[Member]) -> Identity {
    let (name, address) = (node.name.as_str(), node.address);
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let names = |names: &[&str]| names.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    match (Component::of(service), slot.mount) {
        (Some(Component::ApiServer), "serving") => Identity {
            dns_names: ["", ".default", ".default.svc", ".default.svc.cluster.local"]
                .map(|rest| format!("kubernetes{rest}"))
                .into_iter()
                .chain(names(&[name, "localhost", &service.name]))
                .collect(),
            addresses: [API_SERVICE, address, loopback[0]]
                .into_iter()
                .chain(endpoint::shared(members))
                .collect(),
            ..server("kube-apiserver")
        },
        (Some(Component::ApiServer), "kubelet-client") => {
            client("kube-apiserver-kubelet-client", Some(ADMINS))
        }
        (Some(Component::ApiServer), "etcd-client") => client("kube-apiserver-etcd-client", None),
        (Some(Component::Etcd), "healthcheck-client") => client("kube-etcd-healthcheck-client", None),
        (Some(Component::Etcd), _) => Identity {
            dns_names: names(&[name, "localhost", &service.name]),
            addresses: vec![address, loopback[0], loopback[1]],
            usages: vec![Usage::ServerAuth, Usage::ClientAuth],
            ..server(name)
        },
        (Some(Component::Kubelet), "serving") => Identity {
            dns_names: names(&[name]),
            addresses: vec![address],
            // One that renews it by itself would do so at once, whatever its age, if it lacked what it asks for.
            organization: Some(NODES.into()),
            ..server(&format!("system:node:{name}"))
        },
        (Some(Component::Kubelet), "client") => client(&format!("system:node:{name}"), Some(NODES)),
        (Some(Component::Kubelet), _) => client("system:kube-proxy", None),
        (Some(component @ (Component::ControllerManager | Component::Scheduler)), _) => {
            client(&format!("system:{}", component.program()), None)
        }
        (Some(Component::ApiServer), other) => client(other, None),
        (None, "super-admin") => client("kubernetes-super-admin", Some(MASTERS)),
        (None, _) => client("kubernetes-admin", Some(ADMINS)),
    }
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
    use super::*;

    #[test]
    fn the_system_makes_sense_and_survives_toml() {
        let system = system(1, 2, admin("admin", "admin"));
        system.validate().expect("valid");
        assert_eq!(System::from_toml(&system.to_toml(), "control-plane").expect("reads"), system);
        let kubelet = system.service("kubelet-worker-2").expect("there are two");
        assert_eq!(node_of(kubelet), "worker-2");
        assert_eq!((kubelet.port(), kubelet.serves.as_str()), (10_250, "serving"));
    }

    fn ports_of(system: &System) -> Vec<(String, u16)> {
        let ports = system.hops().into_iter().map(|hop| (hop.to_string(), system.entrance(&hop)));
        ports.filter_map(|(hop, entrance)| Some((hop, entrance?.1))).collect()
    }

    #[test]
    fn of_three_each_has_its_node_and_an_api_server_calls_the_etcd_beside_it() {
        let system = system(3, 1, admin("admin", "admin"));
        system.validate().expect("valid");
        assert_eq!(System::from_toml(&system.to_toml(), "control-plane").expect("reads"), system);
        let node = |name: &str| node_of(system.service(name).expect("it is there"));
        assert_eq!(
            ["etcd", "controller-manager", "controller-manager-2", "kubelet-control-plane-3", "admin"]
                .map(node),
            ["control-plane", "control-plane", "control-plane-2", "control-plane-3", "control-plane"]
        );
        let ports = ports_of(&system);
        for (client, server, port) in [
            ("etcd", "etcd-2", PEER_PORT),
            ("etcd-3", "etcd", PEER_PORT),
            ("api-2", "etcd-2", 2379),
            ("api-3", "kubelet-control-plane", 10_250),
            ("admin", "api-3", 6443),
        ] {
            let hop = format!("{client} -> {server}");
            assert!(ports.contains(&(hop.clone(), port)), "{hop} at {port} in {ports:?}");
        }
        assert!(!ports.iter().any(|(hop, _)| hop == "api-2 -> etcd"), "{ports:?}");
    }

    #[test]
    fn who_is_called_is_called_where_it_listens() {
        let ports = ports_of(&system(1, 1, admin("admin", "admin")));
        let expected = [
            ("api -> etcd", 2379),
            ("api -> kubelet-control-plane", 10_250),
            ("api -> kubelet-worker-1", 10_250),
            ("admin -> api", 6443),
        ];
        assert_eq!(ports, expected.map(|(hop, port)| (hop.to_owned(), port)));
    }
}
