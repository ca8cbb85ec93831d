//! The extension: serves an API that the API server aggregates, and answers it about every new pod. It registers both
//! by itself, with whom the API server must trust, and again when that changes.
//!
//! ```text
//! API server --- front-proxy certificate ---> API of the extension   (mutual TLS, port 443 of its Service)
//!           \--- shows no certificate ------> its webhook            (as webhooks are asked by default, port 8443)
//! ```

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{Request, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{
    Client,
    api::{Api, ApiResource, DynamicObject, Patch, PatchParams},
};
use notafter::{pki::Credential, runtime::kubernetes::look, service::TLS_PORT};
use serde_json::{Value, json};
use stack::service::{NoSettings, Role, Service};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tower_service::Service as _;

use crate::{access, system::SERVING};

/// An object of its API.
pub const GREETING: &str = "/apis/extension.notafter.test/v1/greeting";
const GROUP: &str = "extension.notafter.test";
const VERSION: &str = "v1";
const NAMESPACE: &str = "default";
/// Where the webhook listens.
const HOOK: u16 = TLS_PORT + 1;
/// How long a client of the webhook may take for a handshake and its question.
const ASKED: Duration = Duration::from_secs(5);
/// Between two looks at what it has registered.
const LOOK: Duration = Duration::from_millis(250);

/// The extension.
#[derive(Debug)]
pub struct Extension {
    service: Arc<Service>,
}

impl Role for Extension {
    type Settings = NoSettings;

    fn open(service: Arc<Service>, NoSettings {}: NoSettings) -> Result<Self, String> {
        service.set_trouble("webhook", Some("not open yet".into()));
        service.set_trouble("registration", Some("not yet".into()));
        Ok(Self { service })
    }

    fn router(self: Arc<Self>) -> Router {
        let (group, version) = (format!("/apis/{GROUP}"), format!("/apis/{GROUP}/{VERSION}"));
        Router::new()
            .route(&group, get(async || Json(of_group())))
            .route(&version, get(async || Json(of_version())))
            .route(GREETING, get(async || Json(greeting())))
    }

    async fn work(self: Arc<Self>) {
        tokio::join!(self.answer_about_pods(), self.stay_registered());
    }
}

impl Extension {
    /// Says yes to every pod. Each question gets a handshake of its own: a connection that is open would hide what
    /// became of the certificate.
    async fn answer_about_pods(&self) {
        let at = SocketAddr::new(self.service.config.listen.ip(), HOOK);
        let listener = loop {
            match TcpListener::bind(at).await {
                Ok(listener) => break listener,
                Err(error) => {
                    self.service.set_trouble("webhook", Some(format!("cannot listen on {at}: {error}")));
                }
            }
            sleep(LOOK).await;
        };
        self.service.set_trouble("webhook", None);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(timeout(ASKED, answer(stream, self.service.clone())))),
                    Err(_) => sleep(LOOK).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Tells the API server again whenever whom it must trust has changed.
    async fn stay_registered(&self) {
        let mut registered = String::new();
        loop {
            let done = async {
                let folder = self.service.config.mounts.get(SERVING).ok_or("it has no mount `serving`")?;
                let bundle = Credential::read(folder).map_err(|error| error.to_string())?;
                let bundle = bundle.bundle_pem().to_owned();
                if bundle != registered {
                    register(&access::client(&self.service).await?, self.service.config.listen, &bundle)
                        .await?;
                    self.service.log.say("registered with what must be trusted now");
                    registered = bundle;
                }
                Ok::<(), String>(())
            };
            let done = done.await;
            if let Err(why) = &done {
                self.service.log.say(&format!("not registered: {why}"));
            }
            self.service.set_trouble("registration", done.err());
            sleep(LOOK).await;
        }
    }
}

/// Answers one question about a pod.
async fn answer(stream: TcpStream, service: Arc<Service>) {
    let Some(in_use) = service.mounts.get(SERVING).and_then(|mount| mount.in_use()) else { return };
    let shown = in_use.server.cert_resolver.clone();
    let tls = ServerConfig::builder_with_provider(in_use.server.crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth().with_cert_resolver(shown));
    let accepted = match tls {
        Ok(tls) => TlsAcceptor::from(Arc::new(tls)).accept(stream).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match accepted {
        Ok(stream) => {
            let router = Router::new().route("/admit", post(admit));
            let answer = service_fn(move |request: Request<_>| router.clone().call(request));
            let one = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
            // Whoever asks is told, or gives up.
            let _ = one.await;
        }
        Err(why) => service.log.say(&format!("the API server turned away from the webhook: {why}")),
    }
}

async fn admit(Json(review): Json<Value>) -> Json<Value> {
    let uid = review["request"]["uid"].clone();
    let response = json!({"uid": uid, "allowed": true});
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}

fn of_group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": [version],
        "preferredVersion": version,
    })
}

fn of_version() -> Value {
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [],
    })
}

fn greeting() -> Value {
    json!({"kind": "Greeting", "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {"name": "greeting"}})
}

/// Puts everything into the cluster by which the API server finds the extension and knows whom to trust.
async fn register(client: &Client, listen: SocketAddr, bundle: &str) -> Result<(), String> {
    for (namespaced, plural, object) in objects(listen, bundle) {
        let (api_version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
        let (api_version, kind) = (api_version.unwrap_or_default(), kind.unwrap_or_default());
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api: Api<DynamicObject> = if namespaced {
            Api::namespaced_with(client.clone(), NAMESPACE, &resource)
        } else {
            Api::all_with(client.clone(), &resource)
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let applied = api.patch(name, &PatchParams::apply("extension").force(), &Patch::Apply(&object)).await;
        applied.map_err(|error| format!("{plural} {name}: {}", look::words(error)))?;
    }
    Ok(())
}

/// Whether it is in a namespace, what several are called, and the object.
fn objects(listen: SocketAddr, bundle: &str) -> [(bool, &'static str, Value); 4] {
    let trusted = STANDARD.encode(bundle);
    let ports = [("api", 443, listen.port()), ("webhook", HOOK, HOOK)];
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "extension"},
        // Without a selector: it leads out of the cluster.
        "spec": {"ports": ports.map(|(name, port, to)| json!({"name": name, "port": port, "targetPort": to}))},
    });
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "extension", "labels": {"kubernetes.io/service-name": "extension"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [listen.ip()], "conditions": {"ready": true}}],
        "ports": ports.map(|(name, _, to)| json!({"name": name, "port": to, "protocol": "TCP"})),
    });
    let aggregated = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("{VERSION}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "service": {"name": "extension", "namespace": NAMESPACE, "port": 443},
            "caBundle": trusted,
            "groupPriorityMinimum": 1000,
            "versionPriority": 10,
        },
    });
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "extension"},
        "webhooks": [{
            "name": format!("pods.{GROUP}"),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 3,
            // Cluster DNS and the like must come up without it.
            "namespaceSelector": {"matchExpressions": [{
                "key": "kubernetes.io/metadata.name",
                "operator": "NotIn",
                "values": ["kube-system"],
            }]},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            "clientConfig": {
                "service": {"name": "extension", "namespace": NAMESPACE, "path": "/admit", "port": HOOK},
                "caBundle": trusted,
            },
        }],
    });
    [
        (true, "services", service),
        (true, "endpointslices", endpoints),
        (false, "apiservices", aggregated),
        (false, "validatingwebhookconfigurations", webhook),
    ]
}
