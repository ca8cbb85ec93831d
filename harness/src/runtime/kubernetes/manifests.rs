//! What runs in a cluster, as data: static pods of the control plane, configurations, addons.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    Member,
    component::{Component, PEER_PORT, Settings},
    control_planes,
    files::{Files, SIGNER},
};
use crate::error::{Context, Result};

/// The only image that pods have; programs come from the node's `/usr/local/bin`.
pub(super) const IMAGE: &str = "notafter.test/pause:1";
/// Where cluster DNS answers.
pub(super) const DNS: &str = "10.96.0.10";
const PODS: &str = "10.244.0.0/16";
/// Where Services are.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// Says what the API server writes down.
pub(super) const AUDIT: &str = "/etc/kubernetes/audit-policy.yaml";
/// That kubelets said how their nodes are, which each does every few seconds, and nothing else.
pub(super) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [system:nodes]
  verbs: [patch]
  resources: [{group: \"\", resources: [nodes/status]}]
- level: None
";
const PKI: &str = "/etc/kubernetes/pki";
/// As often as 2 s, as usual, but for those who come up with the API server, which refuses the first who ask. How long
/// a lease lasts stays as it is.
const ASKS_FOR_LEASE: &str = "--leader-elect-retry-period=500ms";

/// The range of addresses that the pods of a node have.
pub(super) fn pods_of(node: usize) -> String {
    format!("10.244.{node}.0/24")
}

/// Where kubeadm puts the manifest of a static pod.
pub(super) fn path_of(pod: &str) -> String {
    format!("/etc/kubernetes/manifests/{pod}.yaml")
}

/// The static pods of a control-plane node, one of these, where kubeadm puts them.
pub(super) fn control_plane(node: &Member, members: &[Member]) -> Result<Files> {
    let pods = Component::ALL.into_iter().filter(|component| *component != Component::Kubelet);
    let settings = Settings::default();
    pods.map(|pod| Ok((path_of(pod.program()), static_pod(pod, &settings, node, members, 0)?))).collect()
}

/// The manifest of a static pod. `start` is how often it was put there before: a kubelet takes one with another
/// number for another pod, which has not crashed yet.
pub(super) fn static_pod(
    component: Component,
    settings: &Settings,
    node: &Member,
    members: &[Member],
    start: u32,
) -> Result<String> {
    let (pod, address) = (component.program(), node.address);
    let arguments = match component {
        Component::Etcd => etcd(node, members),
        Component::ApiServer => api_server(address, settings),
        Component::ControllerManager => controller_manager(settings),
        Component::Scheduler | Component::Kubelet => scheduler(),
    };
    serde_saphyr::to_string(&pod_of(pod, address, &arguments, start))
        .context(|| format!("cannot write the manifest of {pod}"))
}

/// What a node is told of itself before its programs start, with the settings of its kubelet. `patience` is how
/// long that waits at most before it starts again what crashed; five minutes if nobody says. `looks` is how often it
/// looks whether what its pods have mounted was replaced; every minute if nobody says.
pub(super) fn node(
    node: &Member,
    settings: &Settings,
    patience: Option<Duration>,
    looks: Option<Duration>,
) -> Result<Files> {
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{PKI}/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "rotateCertificates": settings.renews,
        "serverTLSBootstrap": settings.bootstraps,
        // Whoever watches its health does so from outside.
        "healthzBindAddress": "0.0.0.0",
        "staticPodPath": "/etc/kubernetes/manifests",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failSwapOn": false,
        "failCgroupV1": false,
        // A container may not make itself less likely to be killed.
        "oomScoreAdj": 0,
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": "/etc/kubelet-resolv.conf",
        "nodeStatusUpdateFrequency": "2s",
        // The disk of whoever runs this is none of the cluster's business.
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1Mi", "imagefs.available": "1Mi"},
    });
    if !settings.bootstraps {
        kubelet["tlsCertFile"] = "/var/lib/kubelet/pki/kubelet.crt".into();
        kubelet["tlsPrivateKeyFile"] = "/var/lib/kubelet/pki/kubelet.key".into();
    }
    if let Some(patience) = patience {
        kubelet["featureGates"] = json!({"KubeletCrashLoopBackOffMax": true});
        kubelet["crashLoopBackOff"] =
            json!({"maxContainerRestartPeriod": format!("{}s", patience.as_secs())});
    }
    if let Some(looks) = looks {
        kubelet["syncFrequency"] = format!("{}ms", looks.as_millis()).into();
    }
    let kubelet =
        serde_saphyr::to_string(&kubelet).context(|| "cannot write the kubelet's configuration".into())?;
    let network = json!({
        "cniVersion": "0.3.1",
        "name": "notafter",
        "plugins": [
            {
                "type": "ptp",
                // Whoever is called sees which pod calls, on another node, too.
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": pods_of(node.number)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    Ok(Files::from([
        ("/var/lib/kubelet/config.yaml".into(), kubelet),
        ("/etc/cni/net.d/10-notafter.conflist".into(), network.to_string()),
    ]))
}

fn pod_of(name: &str, address: IpAddr, arguments: &[String], start: u32) -> Value {
    let endpoint = format!("{address}:6443");
    let program = format!("/usr/local/bin/{name}");
    let command: Vec<&str> =
        [program.as_str()].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let folders = [
        ("bin", "/usr/local/bin", true),
        // The whole folder: a file that is mounted alone never sees its successor.
        ("kubernetes", "/etc/kubernetes", true),
        ("etcd", "/var/lib/etcd", false),
    ];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"component": name, "tier": "control-plane"},
            // Where kubeadm looks for the address of its API.
            "annotations": {
                "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": endpoint,
                "notafter.test/start": start.to_string(),
            },
        },
        "spec": {
            "hostNetwork": true,
            // 30 s, as usual, are more than whoever asks for a restart waits.
            "terminationGracePeriodSeconds": 5,
            "priorityClassName": "system-node-critical",
            "containers": [{
                "name": name,
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "command": command,
                "volumeMounts": folders.map(|(name, path, read_only)| {
                    json!({"name": name, "mountPath": path, "readOnly": read_only})
                }),
            }],
            "volumes": folders.map(|(name, path, _)| json!({"name": name, "hostPath": {"path": path}})),
        },
    })
}

/// What members of etcd are told where there are several.
const OF_SEVERAL: [&str; 3] = [
    // 100 ms and 1 s, as usual, are less than one waits for a core now and then where three control planes share two.
    "--heartbeat-interval=300",
    "--election-timeout=3000",
    // Whoever is asked in the place of another member comes from this machine, which no certificate names.
    "--peer-skip-client-san-verification=true",
];

fn etcd(node: &Member, members: &[Member]) -> Vec<String> {
    let (name, address) = (&node.name, node.address);
    let peer = |member: &Member| format!("{}=https://{}:{PEER_PORT}", member.name, member.address);
    let peers: Vec<_> = control_planes(members).map(peer).collect();
    let several: &[&str] = if peers.len() > 1 { &OF_SEVERAL } else { &[] };
    let clients = format!("https://127.0.0.1:2379,https://{address}:2379");
    let always = vec![
        format!("--name={name}"),
        "--data-dir=/var/lib/etcd".into(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls=https://{address}:2379"),
        format!("--listen-peer-urls=https://{address}:{PEER_PORT}"),
        format!("--initial-advertise-peer-urls=https://{address}:{PEER_PORT}"),
        format!("--initial-cluster={}", peers.join(",")),
        "--listen-metrics-urls=http://127.0.0.1:2381".into(),
        "--client-cert-auth=true".into(),
        format!("--cert-file={PKI}/etcd/server.crt"),
        format!("--key-file={PKI}/etcd/server.key"),
        format!("--trusted-ca-file={PKI}/etcd/ca.crt"),
        "--peer-client-cert-auth=true".into(),
        format!("--peer-cert-file={PKI}/etcd/peer.crt"),
        format!("--peer-key-file={PKI}/etcd/peer.key"),
        format!("--peer-trusted-ca-file={PKI}/etcd/ca.crt"),
        // It need not outlive a power cut: its volume does not, either.
        "--unsafe-no-fsync=true".into(),
    ];
    always.into_iter().chain(several.iter().map(|one| (*one).to_owned())).collect()
}

fn api_server(address: IpAddr, settings: &Settings) -> Vec<String> {
    let audit = [format!("--audit-policy-file={AUDIT}"), "--audit-log-path=-".into()];
    let audit = audit.into_iter().filter(|_| settings.audits);
    let always = [
        format!("--advertise-address={address}"),
        "--secure-port=6443".into(),
        "--allow-privileged=true".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--enable-bootstrap-token-auth=true".into(),
        format!("--client-ca-file={PKI}/ca.crt"),
        "--etcd-servers=https://127.0.0.1:2379".into(),
        format!("--etcd-cafile={PKI}/etcd/ca.crt"),
        format!("--etcd-certfile={PKI}/apiserver-etcd-client.crt"),
        format!("--etcd-keyfile={PKI}/apiserver-etcd-client.key"),
        format!("--kubelet-certificate-authority={PKI}/ca.crt"),
        format!("--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt"),
        format!("--kubelet-client-key={PKI}/apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP,Hostname".into(),
        format!("--proxy-client-cert-file={PKI}/front-proxy-client.crt"),
        format!("--proxy-client-key-file={PKI}/front-proxy-client.key"),
        "--requestheader-allowed-names=front-proxy-client".into(),
        format!("--requestheader-client-ca-file={PKI}/front-proxy-ca.crt"),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={PKI}/sa.pub"),
        format!("--service-account-signing-key-file={PKI}/sa.key"),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--tls-cert-file={PKI}/apiserver.crt"),
        format!("--tls-private-key-file={PKI}/apiserver.key"),
    ];
    always.into_iter().chain(audit).collect()
}

fn controller_manager(settings: &Settings) -> Vec<String> {
    let conf = "/etc/kubernetes/controller-manager.conf";
    let unwanted = if settings.approves { "" } else { ",-certificatesigningrequest-approving-controller" };
    vec![
        format!("--controllers=*{unwanted}"),
        format!("--cluster-signing-duration={}s", settings.signs_for.0.as_secs()),
        format!("--kubeconfig={conf}"),
        format!("--authentication-kubeconfig={conf}"),
        format!("--authorization-kubeconfig={conf}"),
        // Whoever watches its health does so from outside.
        "--bind-address=0.0.0.0".into(),
        format!("--client-ca-file={PKI}/ca.crt"),
        format!("--cluster-cidr={PODS}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--cluster-signing-cert-file={SIGNER}"),
        format!("--cluster-signing-key-file={PKI}/ca.key"),
        format!("--requestheader-client-ca-file={PKI}/front-proxy-ca.crt"),
        format!("--root-ca-file={PKI}/ca.crt"),
        format!("--service-account-private-key-file={PKI}/sa.key"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=true".into(),
        ASKS_FOR_LEASE.into(),
        // 20 a second, as usual, are what its forty controllers wait for when they start: 4 of the 22 s of a cluster.
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
        // A kubelet says every 2 s that it is there. 50 s, as usual, are more than whoever waits for a lost node has.
        "--node-monitor-grace-period=16s".into(),
        "--node-monitor-period=1s".into(),
    ]
}

fn scheduler() -> Vec<String> {
    let conf = "/etc/kubernetes/scheduler.conf";
    vec![
        format!("--kubeconfig={conf}"),
        format!("--authentication-kubeconfig={conf}"),
        format!("--authorization-kubeconfig={conf}"),
        // Whoever watches its health does so from outside.
        "--bind-address=0.0.0.0".into(),
        "--leader-elect=true".into(),
        ASKS_FOR_LEASE.into(),
    ]
}
