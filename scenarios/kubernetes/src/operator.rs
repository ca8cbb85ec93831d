//! The operator: does again and again what people do with a cluster, each with its own cadence, and answers for
//! users whether it works.
//!
//! A task such as a Deployment takes seconds, so nobody waits for one: whoever asks is told what came of the last
//! try, which fails when it takes longer than people would wait. Every try shakes hands anew, as users do who
//! come with a connection of their own; controllers and kubelets do not.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use notafter::runtime::kubernetes::look;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack::{
    reply::{Answer, Failure},
    service::{Role, Service},
};
use tokio::time::{sleep, timeout};

use crate::{access, extension::GREETING};

/// The Deployment whose pods are there all the time, one for each node.
const STANDING: &str = "standing";
/// Where he is asked to replace whoever holds a token.
pub const FRESH_TOKENS: &str = "/v1/fresh-tokens";
/// The Deployment that is cluster DNS, and where it is.
const DNS: &str = "coredns";
const SYSTEM: &str = "kube-system";
/// How long its new pod may take, on a machine that is busy.
const REPLACED: Duration = Duration::from_mins(1);
/// Where they answer on every node to those outside.
const OUTSIDE: u16 = 30_080;
/// How long a new Deployment may take to become available, on a machine that is busy.
const DEPLOYED: Duration = Duration::from_secs(10);
/// How long it may take until a new Service is known everywhere.
const FOUND: Duration = Duration::from_secs(4);
/// Between two looks at what kubelets ask for.
const APPROVED: Duration = Duration::from_millis(500);
/// Between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(100);

/// What the operator can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many nodes the cluster has.
    pub nodes: u32,
    /// Whether the cluster has an extension, whose API is asked as well.
    pub extended: bool,
    /// Whether he asks for new Services by name.
    pub named: bool,
    /// Whether he approves what kubelets ask for to present: no controller of Kubernetes does.
    pub approves_serving: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { nodes: 1, extended: false, named: false, approves_serving: false }
    }
}

/// The operator.
#[derive(Debug)]
pub struct Operator {
    service: Arc<Service>,
    settings: Settings,
    tasks: [Task; 9],
}

/// Something that is done again and again.
#[derive(Debug)]
struct Task {
    name: &'static str,
    /// From the end of one try to the next.
    pause: Duration,
    /// How long a try may take.
    patience: Duration,
    /// What came of the last one.
    last: Mutex<Result<(), String>>,
}

impl Task {
    const fn new(name: &'static str, pause_ms: u64, patience_s: u64) -> Self {
        let (pause, patience) = (Duration::from_millis(pause_ms), Duration::from_secs(patience_s));
        Self { name, pause, patience, last: Mutex::new(Ok(())) }
    }

    /// Tries for ever.
    async fn repeat<F: Future<Output = Result<(), String>>>(&self, body: impl Fn(u64) -> F) {
        for number in 0.. {
            let late = |_| Err(format!("no end after {} s", self.patience.as_secs()));
            let done = timeout(self.patience, body(number)).await.unwrap_or_else(late);
            self.ended(done);
            sleep(self.pause).await;
        }
    }

    fn ended(&self, done: Result<(), String>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = done;
    }

    fn last(&self) -> Result<(), String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Role for Operator {
    type Settings = Settings;

    fn open(service: Arc<Service>, settings: Settings) -> Result<Self, String> {
        let tasks = [
            Task::new("api", 100, 3),
            Task::new("nodes", 250, 5),
            Task::new("deploy", 500, 13),
            Task::new("service", 400, 10),
            Task::new("logs", 250, 5),
            Task::new("exec", 250, 5),
            Task::new("traffic", 100, 5),
            Task::new("extension", 250, 5),
            Task::new("names", 500, 10),
        ];
        for task in &tasks {
            task.ended(Err("not tried yet".into()));
        }
        Ok(Self { service, settings, tasks })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/{task}", get(works))
            .route(FRESH_TOKENS, post(give_fresh_tokens))
            .with_state(self)
    }

    async fn work(self: Arc<Self>) {
        let [api, nodes, deploy, service, logs, exec, traffic, extension, names] = &self.tasks;
        let count = self.settings.nodes;
        let it = &*self;
        let own = async {
            it.stand().await;
            tokio::join!(
                service.repeat(async |_| look::answers_across_nodes(
                    &access::client(&it.service).await?,
                    STANDING
                )
                .await),
                logs.repeat(async |_| look::logs_read(&access::client(&it.service).await?, STANDING).await),
                exec.repeat(async |_| look::exec_works(&access::client(&it.service).await?, STANDING).await),
                traffic
                    .repeat(async |_| look::answers_outside(access::first(&it.service)?.ip(), OUTSIDE).await),
                async {
                    if it.settings.named {
                        names.repeat(|number| it.name(number)).await;
                    }
                },
            );
        };
        let extended = async {
            if it.settings.extended {
                extension
                    .repeat(async |_| look::is_served(&access::client(&it.service).await?, GREETING).await)
                    .await;
            }
        };
        tokio::join!(
            api.repeat(async |_| look::api_answers(&access::client(&it.service).await?).await),
            nodes.repeat(async |_| look::nodes_are_ready(
                &access::client(&it.service).await?,
                count as usize
            )
            .await),
            deploy.repeat(|number| it.deploy(number)),
            own,
            extended,
            it.approve(),
        );
    }
}

/// Whether the last try of a task succeeded.
async fn works(State(it): State<Arc<Operator>>, Path(name): Path<String>) -> Answer<Value> {
    let task = it.tasks.iter().find(|task| task.name == name);
    let task = task.ok_or_else(|| Failure::missing(format!("no task `{name}`")))?;
    task.last().map_err(|why| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
    Ok(Json(json!({ "works": name })))
}

/// Has pods replaced that hold a token: cluster DNS does, which asks the API server with it for every new Service.
async fn give_fresh_tokens(State(it): State<Arc<Operator>>) -> Answer<Value> {
    let done = async {
        let client = access::client(&it.service).await?;
        look::roll_out_again(&client, SYSTEM, DNS).await?;
        let until = Instant::now() + REPLACED;
        while let Err(why) = look::is_rolled_out(&client, SYSTEM, DNS).await {
            if Instant::now() > until {
                return Err(format!("{DNS} after {} s: {why}", REPLACED.as_secs()));
            }
            sleep(LOOK).await;
        }
        Ok(())
    };
    done.await.map_err(|why| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
    Ok(Json(json!({ "replaced": DNS })))
}

/// Approves every request of a kubelet for a certificate to present. That a node asks for itself only is seen to by
/// who signs it.
async fn approve_serving(client: &Client) -> Result<(), String> {
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let asked = ListParams::default().fields("spec.signerName=kubernetes.io/kubelet-serving");
    let requests = api.list(&asked).await.map_err(look::words)?;
    let decided = |one: &CertificateSigningRequest| {
        one.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|all| !all.is_empty())
    };
    let names =
        requests.items.iter().filter(|one| !decided(one)).filter_map(|one| one.metadata.name.as_deref());
    for name in names {
        let approval = json!({"status": {"conditions": [{
            "type": "Approved",
            "status": "True",
            "reason": "OfANode",
            "message": "the operator approves what kubelets present",
        }]}});
        let approved = api.patch_approval(name, &PatchParams::default(), &Patch::Merge(approval)).await;
        approved.map_err(|error| format!("{name}: {}", look::words(error)))?;
    }
    Ok(())
}

impl Operator {
    /// Approves what kubelets ask for to present, if he does, for ever.
    async fn approve(&self) {
        if !self.settings.approves_serving {
            return;
        }
        loop {
            let done = async { approve_serving(&access::client(&self.service).await?).await };
            if let Err(why) = done.await {
                self.service.log.say(&format!("requests of kubelets: {why}"));
            }
            sleep(APPROVED).await;
        }
    }

    /// Makes the pods that are there all the time, once all nodes are.
    async fn stand(&self) {
        let count = self.settings.nodes;
        loop {
            let made = async {
                let client = access::client(&self.service).await?;
                look::nodes_are_ready(&client, count as usize).await?;
                look::create(&client, STANDING, count).await?;
                look::open(&client, STANDING, OUTSIDE).await?;
                look::is_available(&client, "default", STANDING).await
            };
            match made.await {
                Ok(()) => return,
                Err(why) => self.service.log.say(&format!("pods of {STANDING}: {why}")),
            }
            sleep(LOOK).await;
        }
    }

    /// A pod asks for a new Service by its name: for the one that was made with the last try, because whoever asks too
    /// early is told for a while that there is none. It is removed then.
    async fn name(&self, number: u64) -> Result<(), String> {
        let client = access::client(&self.service).await?;
        look::front(&client, &format!("name-{number}"), STANDING).await?;
        let Some(before) = number.checked_sub(1).map(|before| format!("name-{before}")) else {
            return Err("no new Service yet".into());
        };
        let until = Instant::now() + FOUND;
        let asked = loop {
            match look::answers_by_name(&client, STANDING, &before).await {
                Err(_) if Instant::now() < until => sleep(LOOK).await,
                done => break done,
            }
        };
        asked.and(look::remove_front(&client, &before).await)
    }

    /// A new Deployment becomes available. It is removed with the next try.
    async fn deploy(&self, number: u64) -> Result<(), String> {
        let name = format!("new-{number}");
        let client = access::client(&self.service).await?;
        if let Some(before) = number.checked_sub(1) {
            // One that could not be made cannot be removed.
            let _ = look::remove(&client, &format!("new-{before}")).await;
        }
        look::create(&client, &name, 1).await?;
        let until = Instant::now() + DEPLOYED;
        while let Err(why) = look::is_available(&client, "default", &name).await {
            if Instant::now() > until {
                return Err(format!("{name} after {} s: {why}", DEPLOYED.as_secs()));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}
