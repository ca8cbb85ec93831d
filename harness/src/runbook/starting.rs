//! Starting services in an order, and finding out that they do not come up.

use std::{collections::HashMap, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep};

use crate::{
    context::Context,
    error::{Error, Result},
    history::{Event, ProcessChange, Stuck, Tail, Way, What},
    http::Plain,
    service::Status,
    supervise::Order,
};

/// A service that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a service is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(4);
/// A health endpoint that takes longer does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// After so many crashes nobody waits for another one.
const CRASHES: u32 = 2;

/// Restarts services one after another, each ready before the next.
pub(crate) async fn restart_each(context: &Context, services: &[String]) -> Result<()> {
    for service in services {
        restart_together(context, std::slice::from_ref(service)).await?;
    }
    Ok(())
}

/// Restarts services at once, which is no order that anybody tries, and waits until all are ready.
pub(crate) async fn restart_together(context: &Context, services: &[String]) -> Result<()> {
    let mut readiness = Readiness::from_now(context);
    try_join_all(services.iter().map(|service| context.cluster.order(service, Order::Restart))).await?;
    readiness.wait(services).await.map_err(|stuck| not_up(&stuck))
}

/// Restarts services all at once, and waits until all are ready.
pub(super) async fn restart_all(context: &Context, services: &[String]) -> Result<()> {
    let mut readiness = Readiness::from_now(context);
    let restarts = services.iter().map(|service| context.cluster.order(service, Order::Restart));
    context.recorder.record(order_tried(1, services, Way::AtOnce));
    try_join_all(restarts).await?;
    let up = readiness.wait(services).await;
    context.recorder.record(What::OrderEnded { attempt: 1, stuck: up.as_ref().err().cloned() });
    up.map_err(|stuck| not_up(&stuck))
}

/// Stops everything and starts it in one order after another, until one works.
pub(super) async fn try_orders(context: &Context, orders: &[Vec<String>], think: Duration) -> Result<()> {
    let mut last = None;
    for (attempt, order) in (1_u32..).zip(orders) {
        if attempt > 1 {
            tokio::time::sleep(think).await;
        }
        let stops = order.iter().map(|service| context.cluster.order(service, Order::Stop));
        try_join_all(stops).await?;
        context.recorder.record(order_tried(attempt, order, Way::InTurn));
        let stuck = start_each(context, order).await?;
        context.recorder.record(What::OrderEnded { attempt, stuck: stuck.clone() });
        match stuck {
            None => return Ok(()),
            stuck => last = stuck,
        }
    }
    Err(last.map_or_else(|| Error::new("there is no order to try"), |stuck| not_up(&stuck)))
}

fn order_tried(attempt: u32, order: &[String], way: Way) -> What {
    What::OrderTried { attempt, order: order.to_vec(), groups: Vec::new(), way }
}

/// Starts each service once the one before it is ready; gives the one that did not come up.
async fn start_each(context: &Context, order: &[String]) -> Result<Option<Stuck>> {
    for service in order {
        let mut readiness = Readiness::from_now(context);
        context.cluster.order(service, Order::Start).await?;
        if let Err(stuck) = readiness.wait(std::slice::from_ref(service)).await {
            return Ok(Some(stuck));
        }
    }
    Ok(None)
}

/// Waits for services to be ready. It asks them itself: who restarts quickly enough looks to a
/// distant observer as if it had been ready all the time.
struct Readiness<'a> {
    context: &'a Context,
    tail: Tail,
    crashes: HashMap<String, Crashes>,
}

/// How often a service ended by itself, and what it said last.
#[derive(Default)]
struct Crashes {
    count: u32,
    words: String,
}

impl<'a> Readiness<'a> {
    /// Counts crashes from now on: begin before the order to start.
    fn from_now(context: &'a Context) -> Self {
        Self { context, tail: Tail::from_now(&context.recorder), crashes: HashMap::new() }
    }

    /// Until all are ready at once, one crashes too often, or patience ends.
    async fn wait(&mut self, services: &[String]) -> Result<(), Stuck> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Self { tail, crashes, .. } = self;
            tail.look(|event| count_crash(crashes, event));
            let stuck = |service: &String, why: &str| Stuck { service: service.clone(), why: why.to_owned() };
            for service in services {
                if let Some(crashes) = crashes.get(service).filter(|crashes| crashes.count >= CRASHES) {
                    return Err(stuck(service, &crashes.words));
                }
            }
            let asked = join_all(services.iter().map(|service| self.unready(service))).await;
            let Some((service, why)) = services.iter().zip(asked).find_map(|(one, why)| Some((one, why?)))
            else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(stuck(service, &why));
            }
            sleep(LOOK).await;
        }
    }

    /// Why a service is not ready now; none if it is.
    async fn unready(&self, service: &str) -> Option<String> {
        let asked = async {
            let address = self.context.cluster.health(service)?;
            Plain::new(address).get::<Status>("/status", ANSWER_LIMIT).await
        };
        match asked.await {
            Ok(status) if status.ready => None,
            Ok(status) => Some(format!("it waits for {}", status.waits_for.join(", "))),
            Err(error) => Some(format!("its health endpoint does not answer: {error}")),
        }
    }
}

fn count_crash(services: &mut HashMap<String, Crashes>, event: &Event) {
    let What::Process { service, change: ProcessChange::Exited { asked: false, code, signal, last_words } } =
        &event.what
    else {
        return;
    };
    let crashes = services.entry(service.clone()).or_default();
    crashes.count += 1;
    crashes.words = match (code, signal) {
        (Some(code), _) => format!("it exits with code {code}, '{last_words}'"),
        (None, Some(_)) => format!("a signal ended it, '{last_words}'"),
        (None, None) => format!("it ended, '{last_words}'"),
    };
}

fn not_up(stuck: &Stuck) -> Error {
    Error::new(format!("{} does not come up: {}", stuck.service, stuck.why))
}
