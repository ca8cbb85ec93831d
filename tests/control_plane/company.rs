//! A company in a cluster: two namespaces with a certificate each, a bundle, and a webhook.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use notafter::pki::{Authority, Credential, Identity, Validity};
use serde_json::{Value, json};

use super::ControlPlane;

/// A service's credential.
pub fn credential(authority: &Authority, name: &str, lasting: Duration) -> Credential {
    authority.issue(&Identity::service(name), Validity::lasting(lasting)).expect("a credential")
}

/// It as a TLS Secret.
pub fn secret(name: &str, credential: &Credential) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
           "stringData": {"tls.crt": credential.chain_pem(), "tls.key": credential.key_pem()}})
}

/// `shop` has a certificate that ends soon and a bundle, `bank` one that does not, and a webhook trusts the
/// authority of both.
pub async fn company() -> ControlPlane {
    let plane = ControlPlane::start().await;
    let mesh = Authority::new("mesh").expect("an authority");
    for (namespace, minutes) in [("shop", 30), ("bank", 500_000)] {
        plane.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await;
        let credential = credential(&mesh, &format!("web-of-{namespace}"), Duration::from_mins(minutes));
        plane
            .create(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret("web-tls", &credential))
            .await;
    }
    let bundle = json!({"metadata": {"name": "trust"}, "data": {"ca.crt": mesh.bundle(), "motd": "hello"}});
    plane.create("/api/v1/namespaces/shop/configmaps", &bundle).await;
    let webhook = json!({
        "metadata": {"name": "policy"},
        "webhooks": [{
            "name": "policy.shop.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:1/", "caBundle": STANDARD.encode(mesh.bundle())},
            "failurePolicy": "Ignore",
        }],
    });
    plane.create("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", &webhook).await;
    plane
}
