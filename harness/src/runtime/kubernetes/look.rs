//! One look at each thing that a cluster is for: whether it is so now, or why not, in words. Nothing here
//! waits for it to become so.

use std::{
    fmt::Debug,
    io,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Node, Pod, Service},
};
use kube::{
    Api, Client,
    api::{AttachParams, DeleteParams, ListParams, LogParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::manifests::IMAGE;

/// Where pods are that are made to look at.
const NAMESPACE: &str = "default";
/// A Service answers from any of its pods. With two of them it is always the same so often once in 4,096 looks.
const TURNS: u32 = 12;
/// So many come from outside at a time: where pods of one node of two do not answer, one in 16 times all of them
/// are lucky.
const VISITS: u32 = 4;

/// The API server says that it is ready.
///
/// # Errors
/// What it says instead, or why it says nothing.
pub async fn api_is_ready(client: &Client) -> Result<(), String> {
    is_served(client, "/readyz").await
}

/// The API server answers to somebody who may do everything, whether or not it is ready.
///
/// # Errors
/// What it says instead, or why it says nothing.
pub async fn api_serves(client: &Client) -> Result<(), String> {
    is_served(client, "/version").await
}

/// The API server answers to somebody with rights: it lists namespaces.
///
/// # Errors
/// Why it does not.
pub async fn api_answers(client: &Client) -> Result<(), String> {
    let api: Api<Namespace> = Api::all(client.clone());
    api.list(&ListParams::default()).await.map(drop).map_err(words)
}

/// Something is there at a path of the API, whoever serves it.
///
/// # Errors
/// What is said instead, or why nothing is.
pub async fn is_served(client: &Client, path: &str) -> Result<(), String> {
    let request = hyper::Request::get(path).body(Vec::new()).map_err(words)?;
    client.request_text(request).await.map(drop).map_err(words)
}

/// So many nodes are there, and every one is ready.
///
/// # Errors
/// How many there are, or which are not.
pub async fn nodes_are_ready(client: &Client, count: usize) -> Result<(), String> {
    let api: Api<Node> = Api::all(client.clone());
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
        (there, []) if there == count => Ok(()),
        (there, []) => Err(format!("{there} of {count} nodes have registered")),
        (_, not) => Err(format!("not ready: {}", not.join(", "))),
    }
}

/// All pods of a Deployment are available.
///
/// # Errors
/// How many are.
pub async fn is_available(client: &Client, namespace: &str, name: &str) -> Result<(), String> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let status = api.get(name).await.map_err(words)?;
    let wanted = status.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let status = status.status.unwrap_or_default();
    let available = status.available_replicas.unwrap_or(0);
    if available == wanted {
        return Ok(());
    }
    let made = status.replicas.unwrap_or(0);
    Err(format!("{available} of {wanted} pods are available, {made} were made"))
}

/// Makes a Deployment of so many pods that answer with their names, spread evenly over all nodes, and a Service in
/// front of them. A pod waits for a node that takes none at the moment: one that has just become ready is still
/// tainted for a while, and pods that went elsewhere would all be lost with that one node. What is there already is
/// left as it is.
///
/// # Errors
/// Why one cannot be made.
pub async fn create(client: &Client, name: &str, pods: u32) -> Result<(), String> {
    put::<Deployment>(&Api::namespaced(client.clone(), NAMESPACE), &answering(name, pods)).await?;
    front(client, name, name).await
}

/// Makes a Service of this name in front of the pods of a Deployment. What is there already is left as it is.
///
/// # Errors
/// Why it cannot be made.
pub async fn front(client: &Client, name: &str, deployment: &str) -> Result<(), String> {
    put::<Service>(
        &Api::namespaced(client.clone(), NAMESPACE),
        &json!({
            "metadata": {"name": name},
            "spec": {"selector": {"app": deployment}, "ports": [{"port": 80, "targetPort": 8080}]},
        }),
    )
    .await
}

/// Removes a Service. One that is not there is none to remove.
///
/// # Errors
/// Why it cannot be removed.
pub async fn remove_front(client: &Client, name: &str) -> Result<(), String> {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    match services.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(why)) if why.is_not_found() => Ok(()),
        done => done.map(drop).map_err(words),
    }
}

/// A pod of a Deployment asks for a Service by its DNS name, and is answered.
///
/// # Errors
/// Why nobody answers.
pub async fn answers_by_name(client: &Client, deployment: &str, name: &str) -> Result<(), String> {
    let pods = pods(client, deployment).await?;
    let url = format!("http://{name}.{NAMESPACE}.svc.cluster.local/");
    exec(client, &first(&pods, deployment)?.pod, &["/pause", "get", &url]).await.map(drop)
}

/// Has every pod of a Deployment replaced by a new one, as `kubectl rollout restart` has.
///
/// # Errors
/// Why it cannot be asked for.
pub async fn roll_out_again(client: &Client, namespace: &str, name: &str) -> Result<(), String> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    api.restart(name).await.map(drop).map_err(words)
}

/// Every pod of a Deployment is as it is wanted now, and available, and there is no other one.
///
/// # Errors
/// How many are.
pub async fn is_rolled_out(client: &Client, namespace: &str, name: &str) -> Result<(), String> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let one = api.get(name).await.map_err(words)?;
    let wanted = one.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let status = one.status.unwrap_or_default();
    let is_seen = status.observed_generation >= one.metadata.generation;
    let [new, available, all] =
        [status.updated_replicas, status.available_replicas, status.replicas].map(Option::unwrap_or_default);
    if is_seen && [new, available, all] == [wanted; 3] {
        return Ok(());
    }
    Err(format!("{new} of {wanted} pods are new, {available} of {all} are available"))
}

/// Opens a port of every node to those outside of the cluster who want what a Deployment has. Where that is done
/// already nothing changes.
///
/// # Errors
/// Why it cannot be opened.
pub async fn open(client: &Client, name: &str, port: u16) -> Result<(), String> {
    let (services, outside) = (Api::namespaced(client.clone(), NAMESPACE), format!("{name}-outside"));
    // Its port is taken, which would be said first if it were made again.
    if services.get_opt(&outside).await.map_err(words)?.is_some() {
        return Ok(());
    }
    put::<Service>(
        &services,
        &json!({
            "metadata": {"name": outside},
            "spec": {
                "type": "NodePort",
                "selector": {"app": name},
                "ports": [{"port": 80, "targetPort": 8080, "nodePort": port}],
            },
        }),
    )
    .await
}

/// Removes what [`create`] made; its pods go with it, a moment later.
///
/// # Errors
/// Why it cannot be removed.
pub async fn remove(client: &Client, name: &str) -> Result<(), String> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let gone = deployments.delete(name, &DeleteParams::background()).await.map(drop);
    gone.and(services.delete(name, &DeleteParams::default()).await.map(drop)).map_err(words)
}

/// A pod behind a Service asks for it by its DNS name, and one on another node answers. Where all of them are
/// on one node, the one that asks may answer.
///
/// # Errors
/// Who answered instead, or why nobody did.
pub async fn answers_across_nodes(client: &Client, name: &str) -> Result<(), String> {
    let pods = pods(client, name).await?;
    let Placed { pod: asking, node: here } = first(&pods, name)?;
    let elsewhere = |pod: &str| pods.iter().any(|other| other.pod == pod && other.node != *here);
    let alone = pods.iter().all(|other| other.node == *here);
    let url = format!("http://{name}.{NAMESPACE}.svc.cluster.local/");
    let mut last = String::new();
    for _ in 0..TURNS {
        let answer = exec(client, asking, &["/pause", "get", &url]).await?;
        let from = answer.trim();
        if elsewhere(from) || (alone && from == asking) {
            return Ok(());
        }
        from.clone_into(&mut last);
    }
    Err(format!("{asking} on {here} got {TURNS} answers, none from another node, the last of {last:?}"))
}

/// Whoever comes from outside to a port of a node is answered by a pod, on whatever node that is. Nobody asks
/// the API server.
///
/// # Errors
/// Why one was not.
pub async fn answers_outside(node: IpAddr, port: u16) -> Result<(), String> {
    let at = SocketAddr::new(node, port);
    for _ in 0..VISITS {
        match visit(at).await {
            Ok(from) if !from.is_empty() => {}
            Ok(_) => return Err(format!("{at}: an empty answer")),
            Err(error) => return Err(format!("{at}: {error}")),
        }
    }
    Ok(())
}

async fn visit(at: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

/// A command runs in every pod of a Deployment, and what it prints comes back.
///
/// # Errors
/// Why it does not.
pub async fn exec_works(client: &Client, name: &str) -> Result<(), String> {
    let pods = pods(client, name).await?;
    first(&pods, name)?;
    for Placed { pod, .. } in &pods {
        let answer = exec(client, pod, &["/pause", "get", "http://127.0.0.1:8080/"]).await?;
        if answer.trim() != pod {
            return Err(format!("{pod} printed {answer:?}"));
        }
    }
    Ok(())
}

/// The logs of all pods of a Deployment can be read.
///
/// # Errors
/// Why they cannot, or what one says instead.
pub async fn logs_read(client: &Client, name: &str) -> Result<(), String> {
    let pods = pods(client, name).await?;
    first(&pods, name)?;
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    for Placed { pod, .. } in &pods {
        let log = api.logs(pod, &LogParams::default()).await.map_err(words)?;
        if !log.contains("serving as") {
            return Err(format!("the log of {pod} says {log:?}"));
        }
    }
    Ok(())
}

/// A pod, and the node that it is on.
struct Placed {
    pod: String,
    node: String,
}

async fn pods(client: &Client, name: &str) -> Result<Vec<Placed>, String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let ours = ListParams::default().labels(&format!("app={name}"));
    let pods = api.list(&ours).await.map_err(words)?.items;
    let placed = |pod: Pod| Some(Placed { pod: pod.metadata.name?, node: pod.spec?.node_name? });
    Ok(pods.into_iter().filter_map(placed).collect())
}

fn first<'p>(pods: &'p [Placed], name: &str) -> Result<&'p Placed, String> {
    pods.first().ok_or_else(|| format!("Deployment {name} has no pod"))
}

/// Creates an object; one that is there already is left as it is.
pub(super) async fn put<K>(api: &Api<K>, object: &Value) -> Result<(), String>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object.clone()).map_err(words)?;
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(words(error)),
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
                    // A question may come before a node knows where cluster DNS is, and is lost. Who asks again after
                    // 5 s, as usual, measures himself.
                    "dnsConfig": {"options": [{"name": "timeout", "value": "1"}]},
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule",
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
async fn exec(client: &Client, pod: &str, command: &[&str]) -> Result<String, String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
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

/// An error and its causes, each said once.
pub fn words(error: impl std::error::Error) -> String {
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
