//! Asks the API server of a Kubernetes for every object that may hold a certificate.
//!
//! It reads and never writes. What it may not list is a [`Source`] with a problem, and stops nothing.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    core::{Request, Status, params::ListParams},
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    Decoded, Source,
    endpoint::Target,
    scan::{self, Scanned},
};
use crate::error::{Error, Result};

/// Kinds whose objects belong to a namespace.
const NAMESPACED: [&str; 2] = ["secrets", "configmaps"];
/// Kinds whose objects belong to the whole cluster, by the group of the API that has them.
const OF_THE_CLUSTER: [(&str, &str); 5] = [
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("apiregistration.k8s.io", "apiservices"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("certificates.k8s.io", "certificatesigningrequests"),
];
/// So many objects a request, as kubectl asks: a Secret may have a megabyte.
const PAGE: u32 = 500;
/// A page that takes longer never comes.
const LIMIT: Duration = Duration::from_secs(30);

/// A cluster by its kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    /// Which of its contexts; none is its current one.
    pub context: Option<String>,
    /// Only objects of this namespace; none is every namespace, and what belongs to the whole cluster.
    pub namespace: Option<String>,
}

/// What an API server told, and where it can be asked for its own certificate.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The objects that hold something.
    pub scanned: Scanned,
    /// The server itself.
    pub server: Option<Target>,
}

impl Api {
    /// Asks for everything.
    ///
    /// # Errors
    /// If the kubeconfig or its context cannot be used, or the server is not reached within 30 s.
    pub async fn ask(&self, passwords: &[String]) -> Result<Told> {
        let config = self.config().await?;
        let client = self.client_of(config.clone())?;
        let (host, port) = (config.cluster_url.host(), config.cluster_url.port_u16().unwrap_or(443));
        let server = host.and_then(|host| Target::parse(&format!("{host}:{port}")).ok()?);
        let at = config.cluster_url.to_string();
        let mut told = Told { server, ..Told::default() };
        for (path, kind) in self.collections() {
            match timeout(LIMIT, list(&client, &path)).await {
                Ok(Ok(pages)) => {
                    let decoding = {
                        let passwords = passwords.to_vec();
                        // The Secrets of a large cluster keep a core busy for a while.
                        tokio::task::spawn_blocking(move || scan::objects(&pages, &passwords))
                    };
                    let mut scanned = decoding.await.map_err(Error::bug)?;
                    told.scanned.files += scanned.files;
                    told.scanned.sources.append(&mut scanned.sources);
                }
                Ok(Err(kube::Error::Api(status))) => told.scanned.sources.push(unlisted(kind, &status)),
                Ok(Err(error)) => return Err(self.unreached(&at).because(root(&error))),
                Err(_) => return Err(self.unreached(&at).because(format!("no answer in {LIMIT:?}"))),
            }
        }
        Ok(told)
    }

    /// Somebody who can ask it. Nothing is asked yet.
    ///
    /// # Errors
    /// If the kubeconfig or its context cannot be used.
    pub async fn client(&self) -> Result<Client> {
        self.client_of(self.config().await?)
    }

    fn client_of(&self, config: Config) -> Result<Client> {
        Client::try_from(config).map_err(|error| {
            Error::usage(format!("{}: its context cannot be used", self.kubeconfig.display())).because(error)
        })
    }

    async fn config(&self) -> Result<Config> {
        let place = self.kubeconfig.display();
        let file = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| {
            Error::usage(format!("{place} cannot be used as a kubeconfig"))
                .because(error)
                .hint("`kubectl config view --raw` prints one")
        })?;
        let known: Vec<_> = file.contexts.iter().map(|context| context.name.clone()).collect();
        let wanted = self.context.clone().or_else(|| file.current_context.clone()).unwrap_or_default();
        if !known.contains(&wanted) {
            let what = match &self.context {
                Some(context) => format!("{place} has no context `{context}`"),
                None => format!("{place} has no current context"),
            };
            return Err(Error::usage(what).hint(format!("--context takes one of: {}", known.join(", "))));
        }
        let options = KubeConfigOptions { context: Some(wanted.clone()), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(file, &options).await.map_err(|error| {
            Error::usage(format!("{place}: context `{wanted}` cannot be used")).because(error)
        })?;
        // Who asks again and again must not wait where nobody answers.
        (config.read_timeout, config.default_retry) = (Some(LIMIT), false);
        Ok(config)
    }

    /// Path and kind of each collection that is asked for.
    fn collections(&self) -> Vec<(String, &'static str)> {
        let namespace = self.namespace.as_ref().map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let namespaced = NAMESPACED.iter().map(|kind| (format!("/api/v1{namespace}/{kind}"), *kind));
        let others = OF_THE_CLUSTER.iter().filter(|_| self.namespace.is_none());
        namespaced.chain(others.map(|(group, kind)| (format!("/apis/{group}/v1/{kind}"), *kind))).collect()
    }

    fn unreached(&self, at: &str) -> Error {
        Error::new(format!("the API server at {at} was not reached")).hint(format!(
            "`kubectl --kubeconfig {} get --raw /readyz` says whether it answers",
            self.kubeconfig.display()
        ))
    }
}

/// Every page of a collection, as the server wrote it.
async fn list(client: &Client, path: &str) -> kube::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Page {
        metadata: Option<Metadata>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(rename = "continue")]
        next: Option<String>,
    }
    let (mut pages, mut asked) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let request = Request::new(path).list(&asked).map_err(kube::Error::BuildRequest)?;
        let text = client.request_text(request).await?;
        let page: Page = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
        pages.push(text);
        match page.metadata.and_then(|metadata| metadata.next).filter(|next| !next.is_empty()) {
            Some(next) => asked = asked.continue_token(&next),
            None => return Ok(pages),
        }
    }
}

/// A kind that the server does not let us list.
fn unlisted(kind: &str, status: &Status) -> Source {
    let problems = vec![format!("cannot be listed: {}", status.message)];
    Source { at: kind.into(), found: Decoded { problems, ..Decoded::default() }, ..Source::default() }
}

/// What was at the bottom of it: everything above says only who was asked by whom.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
