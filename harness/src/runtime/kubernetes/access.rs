//! What we ask of the API of a cluster: addons, and the conditions that make a cluster whole.

use std::{fmt::Debug, fs, path::Path, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Event, Node, Pod, Service, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client,
    api::{AttachParams, DeleteParams, ListParams, LogParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep, timeout},
};

use super::manifests::{DNS, IMAGE};
use crate::error::{Context, Error, Result};

/// From the start of the containers to the first answer of the API, on a machine that is busy.
const API_LIMIT: Duration = Duration::from_mins(1);
/// An API server that answers may still be setting up what an object needs.
const ADDON_LIMIT: Duration = Duration::from_secs(20);
/// No single look takes longer, or what it looks at hangs.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
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

/// A client with the credential of a kubeconfig.
pub(super) async fn client(path: &Path) -> Result<Client> {
    let what = || format!("cannot use the kubeconfig {}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).context(what)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context(what)?;
    Client::try_from(config).context(what)
}

/// Waits until the API is ready.
pub(super) async fn answers(client: &Client) -> Result<()> {
    holds("the API answers", API_LIMIT, || async {
        let request = hyper::Request::get("/readyz").body(Vec::new()).map_err(words)?;
        client.request_text(request).await.map(drop).map_err(words)
    })
    .await
}

/// What kubeadm puts into a new cluster: who may do everything, its own configuration, cluster DNS.
pub(super) async fn put_addons(client: &Client) -> Result<()> {
    let system = json!({"name": "coredns", "namespace": SYSTEM});
    put::<ClusterRoleBinding>(&Api::all(client.clone()), &json!({
        "metadata": {"name": "kubeadm:cluster-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"},
        ],
    }))
    .await?;
    put::<ConfigMap>(
        &Api::namespaced(client.clone(), SYSTEM),
        &json!({
            "metadata": {"name": "kubeadm-config", "namespace": SYSTEM},
            "data": {"ClusterConfiguration": KUBEADM},
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
    let object: K = serde_json::from_value(object.clone()).context(|| "an object of ours is none".into())?;
    holds("an object can be created", ADDON_LIMIT, || async {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(words(error)),
        }
    })
    .await
}

/// Writes what the cluster said of its objects, a line each, oldest first, for whoever asks why.
pub(super) async fn keep_events(client: &Client, path: &Path) -> Result<()> {
    let api: Api<Event> = Api::all(client.clone());
    let listed = timeout(LOOK_LIMIT, api.list(&ListParams::default())).await;
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
        answers(self.client).await?;
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "default");
        let services: Api<Service> = Api::namespaced(self.client.clone(), "default");
        put(&deployments, &answering(name, pods)).await?;
        put(
            &services,
            &json!({
                "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
            }),
        )
        .await?;
        let held = async {
            self.every_node_is_ready().await?;
            self.is_available(SYSTEM, "coredns").await?;
            self.is_available("default", name).await?;
            self.a_service_answers_across_nodes(name).await
        }
        .await;
        // Pods go with their Deployment; whatever went wrong comes first.
        let gone = deployments.delete(name, &DeleteParams::background()).await.map(drop);
        let gone = gone.and(services.delete(name, &DeleteParams::default()).await.map(drop));
        held.and(gone.context(|| format!("cannot remove {name} from the cluster")))
    }

    async fn every_node_is_ready(&self) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        holds("every node is ready", self.limit, || async {
            let nodes = api.list(&ListParams::default()).await.map_err(words)?.items;
            let is_ready = |node: &Node| {
                let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
                conditions.any(|it| it.type_ == "Ready" && it.status == "True")
            };
            let not: Vec<_> = nodes
                .iter()
                .filter(|node| !is_ready(node))
                .filter_map(|node| node.metadata.name.as_deref())
                .collect();
            match (nodes.len(), not.as_slice()) {
                (there, []) if there == self.nodes => Ok(()),
                (there, []) => Err(format!("{there} of {} nodes have registered", self.nodes)),
                (_, not) => Err(format!("not ready: {}", not.join(", "))),
            }
        })
        .await
    }

    async fn is_available(&self, namespace: &str, name: &str) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        holds(&format!("Deployment {name} is available"), self.limit, || async {
            let status = api.get(name).await.map_err(words)?;
            let wanted = status.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            let status = status.status.unwrap_or_default();
            let available = status.available_replicas.unwrap_or(0);
            if available == wanted {
                return Ok(());
            }
            let made = status.replicas.unwrap_or(0);
            Err(format!("{available} of {wanted} pods are available, {made} were made"))
        })
        .await
    }

    /// A pod asks for the Service by name until a pod on another node answers; and its logs are read.
    async fn a_service_answers_across_nodes(&self, name: &str) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), "default");
        let ours = ListParams::default().labels(&format!("app={name}"));
        let pods = api.list(&ours).await.context(|| "cannot list pods".into())?.items;
        let placed: Vec<(String, String)> =
            pods.into_iter().filter_map(|pod| Some((pod.metadata.name?, pod.spec?.node_name?))).collect();
        let Some((asking, here)) = placed.first() else {
            return Err(Error::new(format!("Deployment {name} is available, but has no pod")));
        };
        let elsewhere = |pod: &str| placed.iter().any(|(other, node)| other == pod && node != here);
        let alone = placed.iter().all(|(_, node)| node == here);
        let url = format!("http://{name}.default.svc.cluster.local/");
        holds(&format!("{url} answers from another node"), self.limit, || async {
            let answer = exec(&api, asking, &["/pause", "get", &url]).await?;
            let from = answer.trim();
            if elsewhere(from) || (alone && from == asking) {
                return Ok(());
            }
            Err(format!("{asking} on {here} got an answer of {from:?}"))
        })
        .await?;
        holds(&format!("the log of pod {asking} can be read"), self.limit, || async {
            let log = api.logs(asking, &LogParams::default()).await.map_err(words)?;
            if log.contains("serving as") { Ok(()) } else { Err(format!("it says {log:?}")) }
        })
        .await
    }
}

/// Pods that answer with their names.
fn answering(name: &str, pods: u32) -> Value {
    let labels = json!({"app": name});
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": labels},
                    }],
                    "containers": [{
                        "name": "answer",
                        "image": IMAGE,
                        "imagePullPolicy": "Never",
                        "command": ["/pause", "serve"],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}

/// What a command in a pod prints.
async fn exec(api: &Api<Pod>, pod: &str, command: &[&str]) -> Result<String, String> {
    let both = AttachParams::default().stdin(false).stdout(true).stderr(true);
    let mut process = api.exec(pod, command.iter().copied(), &both).await.map_err(words)?;
    let (mut said, mut complained) = (String::new(), String::new());
    if let Some(mut out) = process.stdout() {
        out.read_to_string(&mut said).await.map_err(words)?;
    }
    if let Some(mut err) = process.stderr() {
        err.read_to_string(&mut complained).await.map_err(words)?;
    }
    process.join().await.map_err(words)?;
    if said.is_empty() {
        Err(format!("`{}` in {pod}: {}", command.join(" "), complained.trim()))
    } else {
        Ok(said)
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

fn words(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
