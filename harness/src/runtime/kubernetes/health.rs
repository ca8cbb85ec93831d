//! What a component says about itself, at an endpoint as the services of every runtime have one: put together
//! from what it answers to whoever asks for its health, and from what the API server logs of its clients.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    CONTROL_PLANE, Member, Nodes, SUPER_ADMIN, access,
    component::{ACCOUNTS, Component},
    files, node,
    shown::Shown,
    tokens,
};
use crate::{
    foreign,
    history::Leaf,
    pki::Credential,
    profile::{Client, Protocol},
    runtime::issuer_folder,
    service::Status,
    system::System,
};

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(200);
/// Where a kubelet answers for its health, in plain HTTP.
const KUBELET_HEALTH: u16 = 10_248;
/// No health endpoint takes longer to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Watches one component.
pub(super) struct Watcher {
    pub component: Component,
    /// The service that it is.
    pub service: String,
    /// Its node.
    pub node: Member,
    /// Which start of it runs, from 1; 0 if none does.
    pub runs: watch::Receiver<u32>,
    pub nodes: Arc<Nodes>,
    pub system: System,
}

impl Watcher {
    /// Watches, and tells whoever asks at the endpoint, until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let (say, status) = watch::channel(not_running());
        tokio::select! {
            () = self.watch(say) => {}
            never = foreign::health::serve(listener, status) => match never {},
        }
    }

    async fn watch(mut self, say: watch::Sender<Status>) {
        let mut shown = Shown::default();
        let mut asking = None;
        loop {
            let start = *self.runs.borrow_and_update();
            let mut runs = self.runs.clone();
            // Who has ended says nothing more, however long an answer may take.
            let status = tokio::select! {
                biased;
                _ = runs.changed() => continue,
                status = self.ask(), if start > 0 => status,
                () = std::future::ready(()), if start == 0 => not_running(),
            };
            let clients = if self.component == Component::ApiServer {
                shown.read(&self.node.name, &self.nodes, &self.system);
                if status.ready
                    && let Some(leaf) = self.signs(&mut asking).await
                {
                    let signer = format!("{}@{ACCOUNTS}", self.service);
                    shown.clients.insert(signer, BTreeMap::from([(self.node.address, leaf)]));
                }
                shown.clients.clone()
            } else {
                BTreeMap::new()
            };
            let status = Status { clients, ..status };
            say.send_if_modified(|said| {
                let is_new = *said != status;
                *said = status;
                is_new
            });
            tokio::select! {
                changed = self.runs.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *self.runs.borrow() == 0 {
                        say.send_modify(|said| {
                            let clients = std::mem::take(&mut said.clients);
                            *said = Status { clients, ..not_running() };
                        });
                    }
                }
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn ask(&self) -> Status {
        let mut status = Status::default();
        let serving = match self.component {
            Component::ApiServer => {
                match self.nodes.set_up.get() {
                    None => status.waits_for.push("what kubeadm sets up: not yet".into()),
                    Some(Err(why)) => status.waits_for.push(format!("what kubeadm sets up: {why}")),
                    Some(Ok(())) => {}
                }
                self.over_tls(None, Protocol::Http("/readyz"), &mut status).await
            }
            Component::Etcd => {
                let own = self.nodes.folder.service(&self.service).join("credentials/server");
                let own = Credential::read(&own).ok();
                self.over_tls(own.as_ref(), Protocol::Http("/health"), &mut status).await
            }
            Component::ControllerManager | Component::Scheduler => {
                // What it presents it has signed itself.
                let _ = self.over_tls(None, Protocol::Http("/healthz"), &mut status).await;
                None
            }
            Component::Kubelet => {
                let health = SocketAddr::new(self.node.address, KUBELET_HEALTH);
                if let Err(why) = in_clear(health).await {
                    status.waits_for.push(format!("the kubelet: {why}"));
                }
                self.over_tls(None, Protocol::Tls, &mut status).await
            }
        };
        if let Some(leaf) = serving {
            let mount = if self.component == Component::Etcd { "server" } else { "serving" };
            if has_expired(&leaf) {
                status.waits_for.push(format!("own {mount} credential: certificate expired"));
            }
            status.credentials.insert(mount.into(), leaf);
        }
        status.ready = status.waits_for.is_empty();
        status
    }

    /// The key that signs tokens, if it is the one that was installed. Whoever asks keeps the connection as long as it
    /// works.
    async fn signs(&self, asking: &mut Option<kube::Client>) -> Option<Leaf> {
        let folder = self.nodes.folder.service(&self.service);
        let installed = Credential::read(&issuer_folder(&folder, ACCOUNTS)).ok()?;
        let client = if let Some(client) = asking.take() {
            client
        } else {
            let conf = node::on_host(&self.nodes.folder, CONTROL_PLANE, SUPER_ADMIN).ok()?;
            access::client(&conf, self.node.address).await.ok()?
        };
        let in_use = timeout(LIMIT, tokens::key_in_use(&client)).await.ok()?.ok()?;
        *asking = Some(client);
        (files::key_id(&installed).ok()? == in_use).then(|| installed.leaf().clone())
    }

    /// The certificate that is presented; what is wrong with the answer goes to the status.
    async fn over_tls(
        &self,
        own: Option<&Credential>,
        protocol: Protocol,
        status: &mut Status,
    ) -> Option<Leaf> {
        let address = SocketAddr::new(self.node.address, self.component.port());
        let seen = match Client::showing(own) {
            Ok(client) => client.once(address, protocol).await,
            Err(error) => {
                status.waits_for.push(error.to_string());
                return None;
            }
        };
        if let Err(why) = &seen.answer {
            status.waits_for.push(format!("the server: {why}"));
        }
        seen.leaf
    }
}

fn not_running() -> Status {
    Status { waits_for: vec!["its process: it does not run".into()], ..Status::default() }
}

fn has_expired(leaf: &Leaf) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).is_ok_and(|now| now > leaf.not_after)
}

/// Asks for `/healthz` in plain HTTP.
async fn in_clear(address: SocketAddr) -> Result<(), String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(LIMIT, asked).await.map_err(|_| format!("no answer in {} s", LIMIT.as_secs()))?;
    let answer = answer.map_err(|error| error.to_string())?;
    let mut lines = answer.lines();
    let status = lines.next().unwrap_or_default();
    if status.contains(" 200 ") {
        Ok(())
    } else {
        Err(format!("{status}: {}", lines.last().unwrap_or_default()))
    }
}
