//! How programs that run beside a cluster call its API server.
//!
//! Where there are several they take the one that served them last; if that does not say that it is ready, the first
//! one that does. So a balancer leads them that looks at the health of whom it leads to.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use kube::Client;
use notafter::{
    pki::Credential,
    runtime::kubernetes::{self, look},
};
use stack::service::Service;
use tokio::time::timeout;

/// How long an API server may take to say that it is ready, before the next one is asked.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// The number of the API server that served this program last.
static SERVED: AtomicUsize = AtomicUsize::new(0);

/// A client of an API server, with the credential of an administrator that is there now, and with no connection from
/// before.
pub async fn client(service: &Service) -> Result<Client, String> {
    let folder = service.config.mounts.get("admin").ok_or("it has no mount `admin`")?;
    let credential = &Credential::read(folder).map_err(|error| error.to_string())?;
    let connect = async |at| kubernetes::connect(at, credential).await.map_err(|error| error.to_string());
    let all = all(service)?;
    if let [(_, only)] = all[..] {
        return connect(only).await;
    }
    let served = SERVED.load(Ordering::Relaxed);
    let mut words = Vec::new();
    for number in (served..served + all.len()).map(|number| number % all.len()) {
        let (name, at) = all[number];
        let client = connect(at).await?;
        match timeout(LOOK_LIMIT, look::api_is_ready(&client)).await {
            Ok(Ok(())) => {
                SERVED.store(number, Ordering::Relaxed);
                return Ok(client);
            }
            Ok(Err(why)) => words.push(format!("{name}: {why}")),
            Err(_) => words.push(format!("{name}: no answer in {} s", LOOK_LIMIT.as_secs())),
        }
    }
    Err(words.join("; "))
}

/// Where the first API server is, on a node that visitors come to.
pub fn first(service: &Service) -> Result<SocketAddr, String> {
    Ok(all(service)?[0].1)
}

/// Where each API server is, by its name; there is at least one.
fn all(service: &Service) -> Result<Vec<(&str, SocketAddr)>, String> {
    let is_api = |name: &str| name == "api" || name.starts_with("api-");
    let known = service.config.known.iter().filter(|(name, _)| is_api(name));
    let all: Vec<_> = known.filter_map(|(name, at)| Some((name.as_str(), at.parse().ok()?))).collect();
    if all.is_empty() { Err("nobody said where the API server is".into()) } else { Ok(all) }
}
