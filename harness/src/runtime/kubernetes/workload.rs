//! Has charge of one service that runs as a Deployment of one pod: scales it, deletes its pod, and hears from
//! inside of the pod what becomes of its process.
//!
//! The first process of the pod is this executable. It starts the service once and ends with it, so it is the
//! kubelet that starts a crashed one again, with its own backoff.

use std::{future::pending, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{look::words, secrets::Secrets};
use crate::{
    error::{Context, Error, Result},
    history::ProcessChange,
    runtime::containers::control::Line,
    supervise::{Order, Request},
};

/// Where all pods of a system are.
pub(super) const NAMESPACE: &str = "default";
/// How long a pod may take to come or to go, on a busy machine; whoever gave the order waits a little longer.
const LIMIT: Duration = Duration::from_secs(18);

/// One Deployment, and who looks after it.
pub(super) struct Workload {
    /// The service that it is, and the name of its Deployment.
    pub service: String,
    pub client: Client,
    /// Where its pods call when they begin.
    pub door: UnixListener,
    /// What its kubelet delivers to its pods.
    pub secrets: Secrets,
    /// Whether it is to have a pod.
    pub wanted: bool,
    pub starts: u32,
    /// Whether somebody asked it to end.
    pub asked: bool,
}

/// What there is to say to a pod, and to hear from it.
struct Inside {
    orders: mpsc::Sender<Request>,
    changes: mpsc::UnboundedReceiver<ProcessChange>,
    /// Whether its service runs.
    runs: bool,
}

impl Inside {
    fn of(stream: UnixStream) -> Self {
        let (orders, requests) = mpsc::channel(4);
        let (say, changes) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // Nobody listens to a pod whose successor has called.
            let told = move |change| drop(say.send(change));
            // A line that breaks ends; that is what matters of it.
            let _ = Line::new(stream).carry(requests, told).await;
        });
        Self { orders, changes, runs: false }
    }
}

impl Workload {
    /// Obeys orders and tells changes until the orders end.
    pub(super) async fn keep(
        mut self,
        mut orders: mpsc::Receiver<Request>,
        mut changed: impl FnMut(ProcessChange),
    ) {
        let mut inside = None;
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, answer)) = order else { return };
                    let done = self.obey(order, &mut inside, &mut changed).await;
                    // Whoever asked may have given up waiting.
                    let _ = answer.send(done.map_err(|error| error.to_string()));
                }
                () = self.listen(&mut inside, &mut changed) => {}
            }
        }
    }

    async fn obey(
        &mut self,
        order: Order,
        inside: &mut Option<Inside>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        match order {
            Order::Start => self.begin(inside, changed).await,
            Order::Stop => self.end(false, inside, changed).await,
            Order::End => self.end(true, inside, changed).await,
            Order::Restart => {
                self.end(false, inside, changed).await?;
                self.begin(inside, changed).await
            }
            Order::Kill | Order::Reload | Order::Pause | Order::Resume => {
                self.say(order, inside.as_ref()).await
            }
        }
    }

    /// Lets it run, and waits until it does. One that the kubelet keeps waiting gets a pod that has not crashed.
    /// Whose Secret is not there has a pod that waits for it, and comes when it is: nobody waits for that here.
    async fn begin(
        &mut self,
        inside: &mut Option<Inside>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        let runs = |inside: &Option<Inside>| inside.as_ref().is_some_and(|it| it.runs);
        if runs(inside) {
            return Ok(());
        }
        self.secrets.put().await?;
        if self.wanted {
            let ours = ListParams::default().labels(&format!("app={}", self.service));
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
            let gone = pods.delete_collection(&DeleteParams::default(), &ours).await;
            gone.context(|| format!("cannot delete the pods of {}", self.service))?;
        } else {
            self.scale(1).await?;
            self.wanted = true;
        }
        if self.secrets.lacks_some() {
            return Ok(());
        }
        self.until(runs, inside, changed).await.context(|| format!("{} does not begin", self.service))
    }

    /// Ends it, and waits for that.
    async fn end(
        &mut self,
        at_once: bool,
        inside: &mut Option<Inside>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        self.asked = inside.as_ref().is_some_and(|it| it.runs);
        self.scale(0).await?;
        self.wanted = false;
        if at_once && self.asked {
            // It may have ended by now.
            let _ = self.say(Order::Kill, inside.as_ref()).await;
        }
        let gone = self.until(Option::is_none, inside, changed).await;
        self.asked = false;
        gone.context(|| format!("{} does not end", self.service))
    }

    /// Says something to the pod that is there.
    async fn say(&self, order: Order, inside: Option<&Inside>) -> Result<()> {
        let gone = || Error::new(format!("{} does not run", self.service));
        let inside = inside.filter(|it| it.runs).ok_or_else(gone)?;
        let (answer, done) = oneshot::channel();
        inside.orders.send((order, answer)).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())?.map_err(Error::new)
    }

    async fn scale(&self, replicas: u32) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let scaled = deployments.patch_scale(&self.service, &PatchParams::default(), &patch).await;
        let failed =
            |error| Error::new(format!("cannot scale {} to {replicas}: {}", self.service, words(error)));
        scaled.map(drop).map_err(failed)
    }

    /// Listens until it is so.
    async fn until(
        &mut self,
        is_so: impl Fn(&Option<Inside>) -> bool,
        inside: &mut Option<Inside>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        let waited = timeout(LIMIT, async {
            while !is_so(inside) {
                self.listen(inside, changed).await;
            }
        });
        waited.await.map_err(|_| Error::new(format!("not in {} s", LIMIT.as_secs())))
    }

    /// Hears the next thing: of the pod that is there, or that there is another one. Meanwhile its Secrets are kept.
    async fn listen(&mut self, inside: &mut Option<Inside>, changed: &mut impl FnMut(ProcessChange)) {
        let heard = async {
            match inside.as_mut() {
                Some(it) => it.changes.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            // The last words of one pod come before the first of the next.
            biased;
            heard = heard => match heard {
                Some(change) => self.take(change, inside, changed),
                None => self.lost(inside, changed),
            },
            called = self.door.accept() => {
                if let Ok((stream, _)) = called {
                    self.lost(inside, changed);
                    *inside = Some(Inside::of(stream));
                }
            }
            () = self.secrets.keep() => {}
        }
    }

    fn take(
        &mut self,
        change: ProcessChange,
        inside: &mut Option<Inside>,
        changed: &mut impl FnMut(ProcessChange),
    ) {
        let runs = matches!(change, ProcessChange::Spawned { .. });
        if let Some(inside) = inside {
            inside.runs = runs;
        }
        changed(match change {
            ProcessChange::Spawned { pid, .. } => {
                self.starts += 1;
                ProcessChange::Spawned { pid, restarts: self.starts - 1 }
            }
            ProcessChange::Exited { code, signal, asked, last_words } => {
                ProcessChange::Exited { code, signal, asked: asked || self.asked, last_words }
            }
            other => other,
        });
    }

    /// The pod is gone, and its service with it.
    fn lost(&self, inside: &mut Option<Inside>, changed: &mut impl FnMut(ProcessChange)) {
        if inside.take().is_some_and(|it| it.runs) {
            let last_words = if self.asked { String::new() } else { "its pod is gone".into() };
            changed(ProcessChange::Exited { code: None, signal: None, asked: self.asked, last_words });
        }
    }
}
