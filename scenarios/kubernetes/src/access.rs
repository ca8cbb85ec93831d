//! How programs that run beside a cluster call its API server.

use std::net::SocketAddr;

use kube::Client;
use notafter::{pki::Credential, runtime::kubernetes};
use stack::service::Service;

/// A client with no connection yet, and the credential of an administrator that is there now.
pub async fn client(service: &Service) -> Result<Client, String> {
    let folder = service.config.mounts.get("admin").ok_or("it has no mount `admin`")?;
    let credential = Credential::read(folder).map_err(|error| error.to_string())?;
    kubernetes::connect(api(service)?, &credential).await.map_err(|error| error.to_string())
}

/// Where the API server is.
pub fn api(service: &Service) -> Result<SocketAddr, String> {
    let known = service.config.known.get("api").and_then(|address| address.parse().ok());
    known.ok_or_else(|| "nobody said where the API server is".into())
}
