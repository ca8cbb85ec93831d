//! Has charge of one component: starts, stops and kills it as people do, and tells what becomes of it.
//!
//! A static pod runs as long as its manifest is there, which its kubelet sees to; a kubelet runs as long as its
//! node does not hold it. Whoever ends by itself is started again by them, with their own backoff.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    Nodes,
    component::{Component, Settings},
    init::{HELD, Saw},
    manifests, node,
};
use crate::{
    error::{Context, Result},
    history::ProcessChange,
    supervise::{Order, Request, last_line},
};

/// How long a component may take to end. An API server lets requests go on for a while.
const END_LIMIT: Duration = Duration::from_secs(15);
/// As `terminationGracePeriodSeconds` of its pod has it.
const GRACE: Duration = Duration::from_secs(5);
/// Of each node; nobody but its node looks after it.
const PROXY: &str = "kube-proxy";
/// A line in a log of the container runtime begins with a time, a stream and a tag.
const WORDS_BEFORE: usize = 3;

/// One component, and who looks after it.
pub(super) struct Charge {
    pub component: Component,
    pub settings: Settings,
    /// The service that it is.
    pub service: String,
    /// The number of its node.
    pub member: usize,
    pub nodes: Arc<Nodes>,
    /// Which start of it runs, from 1; 0 if none does.
    pub running: watch::Sender<u32>,
    pub starts: u32,
    /// How often its manifest was put there, or its node told to go on.
    pub put: u32,
    /// Whether somebody asked it to end.
    pub asked: bool,
}

/// How a component is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As people stop it.
    Asked,
    /// Without warning.
    Killed,
}

impl Manner {
    fn signal(self) -> &'static str {
        match self {
            Self::Asked => "-TERM",
            Self::Killed => "-KILL",
        }
    }
}

impl Charge {
    /// Obeys orders and tells changes until the orders end.
    pub(super) async fn keep(
        mut self,
        mut orders: mpsc::Receiver<Request>,
        mut saw: mpsc::UnboundedReceiver<Saw>,
        mut changed: impl FnMut(ProcessChange),
    ) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, answer)) = order else { return };
                    let done = self.obey(order, &mut saw, &mut changed).await;
                    // Whoever asked may have given up waiting.
                    let _ = answer.send(done.map_err(|error| error.to_string()));
                }
                Some(seen) = saw.recv() => self.take(&seen, &mut changed),
            }
        }
    }

    async fn obey(
        &mut self,
        order: Order,
        saw: &mut mpsc::UnboundedReceiver<Saw>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        match order {
            Order::Start => self.begin(),
            Order::Stop => self.end(Manner::Asked, saw, changed).await,
            Order::End => self.end(Manner::Killed, saw, changed).await,
            // Whoever is ended alone is started again by its kubelet, at first at once. Without its manifest a
            // kubelet first takes the pod away from the API, and if that needs the pod, both wait for the other.
            Order::Restart if self.component != Component::Kubelet && self.runs() => {
                // Whoever has ended by itself a moment ago needs none, and is seen to have ended.
                let _ = self.signal("-TERM").await;
                if self.ended(GRACE, saw, changed).await.is_err() {
                    // Whoever has ended at last needs none.
                    let _ = self.signal("-KILL").await;
                }
                self.ended(END_LIMIT, saw, changed).await
            }
            Order::Restart => {
                self.end(Manner::Asked, saw, changed).await?;
                if self.component == Component::Kubelet {
                    // It has a kubeconfig of this service, and its node starts it again.
                    let _ = self.signal_to("-TERM", PROXY).await;
                }
                self.begin()
            }
            Order::Kill => self.signal("-KILL").await,
            Order::Reload => self.signal("-HUP").await,
            Order::Pause => self.signal("-STOP").await,
            Order::Resume => self.signal("-CONT").await,
        }
    }

    /// Lets it run. It does a while later.
    fn begin(&mut self) -> Result<()> {
        let member = &self.nodes.members[self.member];
        if self.component == Component::Kubelet {
            remove(&self.held())?;
            self.put += 1;
            // From the second time on its node has what it needs.
            return if self.put == 1 { self.nodes.begin(self.member, &self.settings) } else { Ok(()) };
        }
        if self.settings.audits {
            node::put(&self.nodes.folder, &member.name, manifests::AUDIT, manifests::AUDIT_POLICY)?;
        }
        let path = manifests::path_of(self.component.program());
        let manifest =
            manifests::static_pod(self.component, &self.settings, member, &self.nodes.members, self.put)?;
        self.put += 1;
        node::put(&self.nodes.folder, &member.name, &path, &manifest)
    }

    /// Ends it, and waits for that.
    async fn end(
        &mut self,
        manner: Manner,
        saw: &mut mpsc::UnboundedReceiver<Saw>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        let runs = self.runs();
        if self.component == Component::Kubelet {
            let held = self.held();
            let above = held.parent().unwrap_or(&held);
            let written = fs::create_dir_all(above).and_then(|()| fs::write(&held, ""));
            written.context(|| format!("cannot write {}", held.display()))?;
            if runs {
                self.signal(manner.signal()).await?;
            }
        } else {
            let member = &self.nodes.members[self.member];
            let path = manifests::path_of(self.component.program());
            let manifest = node::on_host(&self.nodes.folder, &member.name, &path)?;
            remove(&manifest)?;
            // Where its kubelet is ended with it, nobody else would.
            if manner == Manner::Killed && runs {
                // It may have ended by now.
                let _ = self.signal(manner.signal()).await;
            }
        }
        self.ended(END_LIMIT, saw, changed).await
    }

    fn runs(&self) -> bool {
        *self.running.borrow() > 0
    }

    /// Waits until it has ended, which somebody asked for.
    async fn ended(
        &mut self,
        limit: Duration,
        saw: &mut mpsc::UnboundedReceiver<Saw>,
        changed: &mut impl FnMut(ProcessChange),
    ) -> Result<()> {
        self.asked = self.runs();
        let ended = async {
            while self.runs() {
                let Some(seen) = saw.recv().await else { return };
                self.take(&seen, changed);
            }
        };
        let waited = timeout(limit, ended).await;
        self.asked = false;
        waited.context(|| format!("{} does not end in {} s", self.service, limit.as_secs()))
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        self.signal_to(signal, self.component.program()).await
    }

    async fn signal_to(&self, signal: &str, program: &str) -> Result<()> {
        let member = &self.nodes.members[self.member];
        node::signal(&self.nodes.docker, member, signal, program).await
    }

    fn take(&mut self, saw: &Saw, changed: &mut impl FnMut(ProcessChange)) {
        match saw {
            Saw::Began { pid, .. } => {
                changed(ProcessChange::Spawned { pid: *pid, restarts: self.starts });
                self.starts += 1;
                self.running.send_replace(self.starts);
            }
            Saw::Ended { .. } => {
                self.running.send_replace(0);
                let last_words = self.last_words().unwrap_or_default();
                let asked = std::mem::take(&mut self.asked);
                changed(ProcessChange::Exited { code: None, signal: None, asked, last_words });
            }
        }
    }

    /// What it said last. Of a static pod that is in the newest log of its container.
    fn last_words(&self) -> Option<String> {
        let logs = self.nodes.folder.logs().join(&self.nodes.members[self.member].name);
        let program = self.component.program();
        if self.component == Component::Kubelet {
            return last_line(&logs.join(format!("{program}.log")));
        }
        let line = last_line(&newest_log(&logs.join("pods"), program)?)?;
        Some(line.splitn(WORDS_BEFORE + 1, ' ').last().unwrap_or_default().to_owned())
    }

    fn held(&self) -> PathBuf {
        let member = &self.nodes.members[self.member];
        self.nodes.folder.service(&member.name).join(HELD).join(self.component.program())
    }
}

/// Removes a file. One that is not there is none to remove.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The newest log of a static pod, in the folder that has those of all pods of a node.
pub(super) fn newest_log(pods: &Path, program: &str) -> Option<PathBuf> {
    let ours = format!("kube-system_{program}-");
    let folders = fs::read_dir(pods).ok()?.flatten();
    let folders = folders.filter(|it| it.file_name().to_string_lossy().starts_with(&ours));
    let logs = folders.filter_map(|it| fs::read_dir(it.path().join(program)).ok()).flatten().flatten();
    let made = |log: &fs::DirEntry| log.metadata().and_then(|data| data.modified()).ok();
    logs.max_by_key(made).map(|log| log.path())
}
