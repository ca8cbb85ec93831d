//! A cluster that is somebody's: one defect in the objects of one namespace, and everything put back.
//!
//! ```text
//! list -> plan -> consent -> keep the undo -> change -> (hold) -> put back
//! ```
//!
//! Nothing here starts or stops anything. What is changed are TLS Secrets, bundles in Secrets and `ConfigMaps`,
//! and the bundles of webhooks whose service is in the namespace: by server-side apply, with [`MANAGER`] as the
//! field manager. Who changes an object between the look and the change wins, and who does so between the
//! change and the undo, too.

mod consent;
mod holding;
mod plan;
mod undo;

use std::{future::Future, path::PathBuf, time::Duration};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

pub use self::{
    consent::{PROTECTED, consent},
    plan::{Change, Defect, Kind, Plan, Reference},
    undo::is_left,
};
use self::{holding::fields, undo::Undo};
use crate::{
    error::{Error, Result},
    inventory::kubernetes,
    run::RunFolder,
};

/// Who has changed a field, to the API server.
pub const MANAGER: &str = "notafter";
/// A request that takes longer is never answered.
const LIMIT: Duration = Duration::from_secs(30);
/// Of every kind.
const VERSION: &str = "v1";
/// So many objects a request.
const PAGE: u32 = 500;

/// A namespace of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The kubeconfig that names the cluster.
    pub kubeconfig: PathBuf,
    /// Which of its contexts.
    pub context: String,
    /// Nothing outside of it is changed.
    pub namespace: String,
}

/// A namespace that can be asked.
pub struct Existing {
    place: Place,
    client: Client,
}

/// How a change was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// It is as it was.
    AsItWas(Reference),
    /// Somebody else has changed or removed it since, and it was left alone.
    Theirs(Reference),
}

impl Existing {
    /// Gets ready to ask; nothing is asked yet.
    ///
    /// # Errors
    /// If the kubeconfig or its context cannot be used.
    pub async fn of(place: Place) -> Result<Self> {
        let client = kubernetes::Api {
            kubeconfig: place.kubeconfig.clone(),
            context: Some(place.context.clone()),
            namespace: Some(place.namespace.clone()),
        };
        let client = client.client().await?;
        Ok(Self { place, client })
    }

    /// What a defect would do. Nothing is changed.
    ///
    /// # Errors
    /// If the API server does not answer within 30 s or does not let us list, or there is no such namespace.
    pub async fn plan(&self, defect: Defect) -> Result<Plan> {
        self.namespace_is_there().await?;
        let mut objects = Vec::new();
        for kind in Kind::ALL {
            objects.extend(self.list(kind).await?);
        }
        plan::plan(&objects, &self.place.namespace, defect)
    }

    /// Keeps the undo of a plan in the run's folder, then carries it out. Somebody must have consented.
    ///
    /// # Errors
    /// If the undo cannot be kept; then nothing was changed. If an object cannot be changed, as when
    /// somebody else has done so since the plan: [`put_back`] undoes the others.
    pub async fn carry_out(&self, plan: &Plan, folder: &RunFolder) -> Result<()> {
        Undo::keep(folder, self.place.clone(), plan.changes.clone())?;
        for change in &plan.changes {
            self.apply(change, &change.will_be, Some(&change.version)).await?;
        }
        Ok(())
    }

    async fn namespace_is_there(&self) -> Result<()> {
        let name = &self.place.namespace;
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        let found = self.asked("get", name, api.get_opt(name)).await?;
        found.map(drop).ok_or_else(|| {
            Error::usage(format!("context `{}` has no namespace `{name}`", self.place.context))
                .hint("`kubectl get namespaces` shows them")
        })
    }

    /// Every object of a kind, with its kind.
    async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let api = self.api(kind);
        let (mut objects, mut asked) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let page = self.asked("list", kind.plural(), api.list(&asked)).await?;
            for object in page.items {
                // An item of a list does not say what it is.
                let mut object = serde_json::to_value(object).map_err(Error::bug)?;
                (object["apiVersion"], object["kind"]) = (api_version(kind).into(), kind.name().into());
                objects.push(object);
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => asked = asked.continue_token(&next),
                None => return Ok(objects),
            }
        }
    }

    /// Sets fields of an object; `version` is the one that it must have.
    async fn apply(&self, change: &Change, fields: &Value, version: Option<&str>) -> Result<()> {
        let Reference { kind, namespace, name } = &change.object;
        let mut body = fields.clone();
        body["apiVersion"] = api_version(*kind).into();
        body["kind"] = kind.name().into();
        body["metadata"] = json!({"name": name, "namespace": namespace, "resourceVersion": version});
        let (api, how) = (self.api(*kind), PatchParams::apply(MANAGER).force());
        let patch = Patch::Apply(&body);
        self.asked("change", &change.object.to_string(), api.patch(name, &how, &patch)).await.map(drop)
    }

    /// Undoes one change.
    async fn undo(&self, change: &Change) -> Result<PutBack> {
        let Reference { kind, name, .. } = &change.object;
        let (api, what) = (self.api(*kind), change.object.to_string());
        let Some(now) = self.asked("get", &what, api.get_opt(name)).await? else {
            return Ok(PutBack::Theirs(change.object.clone()));
        };
        let now = serde_json::to_value(now).map_err(Error::bug)?;
        let there = fields(&now, &change.will_be);
        if there == change.was {
            return Ok(PutBack::AsItWas(change.object.clone()));
        }
        if there != change.will_be {
            return Ok(PutBack::Theirs(change.object.clone()));
        }
        let version = now["metadata"]["resourceVersion"].as_str();
        self.apply(change, &change.was, version).await?;
        // Who applies a field owns it; it goes back to whoever owned it before.
        let owners = json!({"metadata": {"managedFields": change.managers}});
        let (how, patch) = (PatchParams::default(), Patch::Merge(&owners));
        self.asked("give back", &what, api.patch(name, &how, &patch)).await?;
        Ok(PutBack::AsItWas(change.object.clone()))
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let kinds = GroupVersionKind::gvk(kind.group(), VERSION, kind.name());
        let resource = ApiResource::from_gvk_with_plural(&kinds, kind.plural());
        if kind.is_namespaced() {
            Api::namespaced_with(self.client.clone(), &self.place.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    async fn asked<T>(
        &self,
        verb: &str,
        what: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T> {
        let failed = || Error::new(format!("cannot {verb} {what} in context `{}`", self.place.context));
        match timeout(LIMIT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(failed()
                .because(status.message.clone())
                .hint("somebody else changed it in the same moment; try again")),
            Ok(Err(kube::Error::Api(status))) => Err(failed().because(status.message.clone())),
            Ok(Err(error)) => Err(failed().because(kubernetes::root(&error))),
            Err(_) => Err(failed().because(format!("no answer in {LIMIT:?}"))),
        }
    }
}

/// `v1`, or with the group in front.
fn api_version(kind: Kind) -> String {
    let group = kind.group();
    if group.is_empty() { VERSION.to_owned() } else { format!("{group}/{VERSION}") }
}

/// Puts back what a run has changed, the latest first. Idempotent.
///
/// # Errors
/// If the cluster is not reached, or something cannot be put back: what is left to do stays in the run's
/// folder, and the others are put back all the same.
pub async fn put_back(folder: &RunFolder) -> Result<Vec<PutBack>> {
    let Some(mut undo) = Undo::open(folder)? else { return Ok(Vec::new()) };
    let existing = Existing::of(undo.place().clone()).await?;
    let (mut done, mut failed) = (Vec::new(), None);
    for (number, change) in undo.left() {
        match existing.undo(&change).await.and_then(|how| undo.undone(number).map(|()| how)) {
            Ok(how) => done.push(how),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None => Ok(done),
        Some(error) => Err(error.hint(format!("`notafter heal {}` tries again", folder.id()))),
    }
}

#[cfg(test)]
mod tests;
