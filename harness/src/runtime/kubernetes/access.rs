//! What we ask of the API of a cluster: addons, and the conditions that make a cluster whole.

use std::{
    fmt::Debug,
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Event, Service, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    API_PORT, files, look,
    manifests::{DNS, IMAGE},
};
use crate::{
    error::{Context, Error, Result},
    pki::Credential,
};

/// From the start of the containers to the first answer of the API, on a machine that is busy.
const API_LIMIT: Duration = Duration::from_mins(1);
/// An API server that answers may still be setting up what an object needs.
const ADDON_LIMIT: Duration = Duration::from_secs(20);
/// From the first answer of the API to nodes and names, on a machine that is busy.
const SETTLED: Duration = Duration::from_mins(2);
/// No single look takes longer, or what it looks at hangs.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// Nobody waits longer for evidence, which an API that is down does not give.
const EVENTS_LIMIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SYSTEM: &str = "kube-system";
const COREFILE: &str = "\
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    cache 30
    loadbalance
}
";
const KUBEADM: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: kubernetes
certificatesDir: /etc/kubernetes/pki
encryptionAlgorithm: ECDSA-P256
kubernetesVersion: v1.34.4
networking:
  dnsDomain: cluster.local
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/16
";

/// A client of the API server at this address, with the credential of a kubeconfig.
pub(super) async fn client(path: &Path, api: IpAddr) -> Result<Client> {
    let what = || format!("cannot use the kubeconfig {}", path.display());
    let mut kubeconfig = Kubeconfig::read_from(path).context(what)?;
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.server = Some(format!("https://{}", SocketAddr::new(api, API_PORT)));
    }
    with(kubeconfig, what).await
}

/// A client that shows a credential at this address.
pub(super) async fn connect(api: SocketAddr, credential: &Credential) -> Result<Client> {
    let what = || format!("cannot call the API server at {api}");
    let kubeconfig = Kubeconfig::from_yaml(&files::kubeconfig_of(credential, "user", api)).context(what)?;
    with(kubeconfig, what).await
}

async fn with(kubeconfig: Kubeconfig, what: impl Fn() -> String) -> Result<Client> {
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context(&what)?;
    // An answer that something does not work is one. Whoever waits asks again himself.
    config.default_retry = false;
    Client::try_from(config).context(&what)
}

/// Waits until there is an API, ready or not.
pub(super) async fn serves(client: &Client) -> Result<()> {
    holds("the API answers", API_LIMIT, || look::api_serves(client)).await
}

/// Waits until the API is ready.
pub(super) async fn answers(client: &Client) -> Result<()> {
    holds("the API is ready", API_LIMIT, || look::api_is_ready(client)).await
}

/// Waits until a cluster can take pods that know each other by name.
pub(super) async fn settled(client: &Client, nodes: usize) -> Result<()> {
    holds("every node is ready", SETTLED, || look::nodes_are_ready(client, nodes)).await?;
    holds("cluster DNS is available", SETTLED, || look::is_available(client, SYSTEM, "coredns")).await
}

/// What kubeadm puts into a new cluster: who may do everything, its own configuration, cluster DNS. `endpoint` is what
/// leads to several API servers, if there are several.
pub(super) async fn put_addons(client: &Client, endpoint: Option<IpAddr>) -> Result<()> {
    let system = json!({"name": "coredns", "namespace": SYSTEM});
    let endpoint = endpoint.map(|address| format!("controlPlaneEndpoint: {address}:{API_PORT}\n"));
    let kubeadm = format!("{KUBEADM}{}", endpoint.unwrap_or_default());
    put::<ClusterRoleBinding>(&Api::all(client.clone()), &json!({
        "metadata": {"name": "kubeadm:cluster-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"},
        ],
    }))
    .await?;
    put::<ClusterRoleBinding>(
        &Api::all(client.clone()),
        &json!({
            "metadata": {"name": "kubeadm:node-autoapprove-certificate-rotation"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
        }),
    )
    .await?;
    put::<ConfigMap>(
        &Api::namespaced(client.clone(), SYSTEM),
        &json!({
            "metadata": {"name": "kubeadm-config", "namespace": SYSTEM},
            "data": {"ClusterConfiguration": kubeadm},
        }),
    )
    .await?;
    put::<ServiceAccount>(&Api::namespaced(client.clone(), SYSTEM), &json!({"metadata": system})).await?;
    put::<ClusterRole>(&Api::all(client.clone()), &json!({
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"],
             "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    }))
    .await?;
    put::<ClusterRoleBinding>(&Api::all(client.clone()), &json!({
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": SYSTEM}],
    }))
    .await?;
    put::<ConfigMap>(
        &Api::namespaced(client.clone(), SYSTEM),
        &json!({
            "metadata": system,
            "data": {"Corefile": COREFILE},
        }),
    )
    .await?;
    put::<Service>(
        &Api::namespaced(client.clone(), SYSTEM),
        &json!({
            "metadata": {"name": "kube-dns", "namespace": SYSTEM},
            "spec": {
                "clusterIP": DNS,
                "selector": {"k8s-app": "kube-dns"},
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        }),
    )
    .await?;
    put::<Deployment>(&Api::namespaced(client.clone(), SYSTEM), &dns()).await
}

fn dns() -> Value {
    let labels = json!({"k8s-app": "kube-dns"});
    json!({
        "metadata": {"name": "coredns", "namespace": SYSTEM, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "containers": [{
                        "name": "coredns",
                        "image": IMAGE,
                        "imagePullPolicy": "Never",
                        "command": ["/usr/local/bin/coredns", "-conf", "/etc/coredns/Corefile"],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                        "volumeMounts": [
                            {"name": "bin", "mountPath": "/usr/local/bin", "readOnly": true},
                            {"name": "config", "mountPath": "/etc/coredns", "readOnly": true},
                        ],
                    }],
                    "volumes": [
                        {"name": "bin", "hostPath": {"path": "/usr/local/bin"}},
                        {"name": "config", "configMap": {"name": "coredns"}},
                    ],
                },
            },
        },
    })
}

/// Creates an object; one that is there already is left as it is.
async fn put<K>(api: &Api<K>, object: &Value) -> Result<()>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    holds("an object can be created", ADDON_LIMIT, || look::put(api, object)).await
}

/// Writes what the cluster said of its objects, a line each, oldest first, for whoever asks why.
pub(super) async fn keep_events(client: &Client, path: &Path) -> Result<()> {
    let api: Api<Event> = Api::all(client.clone());
    let listed = timeout(EVENTS_LIMIT, api.list(&ListParams::default())).await;
    let listed = listed.context(|| "the API does not tell its events".into())?;
    let mut lines: Vec<String> =
        listed.context(|| "cannot list events".into())?.items.iter().map(line_of).collect();
    lines.sort();
    fs::write(path, lines.concat()).context(|| format!("cannot write {}", path.display()))
}

fn line_of(event: &Event) -> String {
    let at = event.last_timestamp.as_ref().map(|at| at.0.to_string());
    let at = at.or_else(|| event.event_time.as_ref().map(|at| at.0.to_string())).unwrap_or_default();
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    let about = &event.involved_object;
    let (kind, name) = (word(&about.kind), word(&about.name));
    format!("{at} {} {kind}/{name}: {}\n", word(&event.reason), word(&event.message))
}

/// What a cluster that is whole does.
pub(super) struct Conditions<'a> {
    pub client: &'a Client,
    pub nodes: usize,
    /// For each condition.
    pub limit: Duration,
}

impl Conditions<'_> {
    /// All of them. What it makes in the cluster has this name, and is removed.
    pub(super) async fn all(&self, name: &str, pods: u32) -> Result<()> {
        let Self { client, nodes, limit } = *self;
        answers(client).await?;
        holds("a Deployment and a Service can be created", ADDON_LIMIT, || look::create(client, name, pods))
            .await?;
        let held = async {
            holds("every node is ready", limit, || look::nodes_are_ready(client, nodes)).await?;
            for (namespace, name) in [(SYSTEM, "coredns"), ("default", name)] {
                let what = format!("Deployment {name} is available");
                holds(&what, limit, || look::is_available(client, namespace, name)).await?;
            }
            let what = format!("Service {name} answers by its name from another node");
            holds(&what, limit, || look::answers_across_nodes(client, name)).await?;
            holds(&format!("the logs of pods of {name} can be read"), limit, || look::logs_read(client, name))
                .await
        }
        .await;
        // Whatever went wrong comes first.
        let gone = look::remove(client, name).await;
        held.and(gone.map_err(|why| Error::new(format!("cannot remove {name} from the cluster: {why}"))))
    }
}

/// Looks until it holds, or until the limit: then says what was seen last.
async fn holds<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + limit;
    loop {
        let why = match timeout(LOOK_LIMIT, look()).await {
            Ok(Ok(seen)) => return Ok(seen),
            Ok(Err(why)) => why,
            Err(_) => format!("no answer in {} s", LOOK_LIMIT.as_secs()),
        };
        if Instant::now() >= end {
            return Err(Error::new(format!("after {} s this does not hold: {what}: {why}", limit.as_secs())));
        }
        sleep(LOOK_EVERY).await;
    }
}
