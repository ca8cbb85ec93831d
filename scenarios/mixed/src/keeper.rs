//! The keeper: stores what is published, once, and says so to whoever published it.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Message};
use axum::{Json, Router, extract::State, routing::get};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack::{
    client::HopError,
    reply::Answer,
    service::{NoSettings, Role, Service},
};
use tokio::time::sleep;

use crate::{
    bus::{Bus, NATS, SUBJECT},
    database::{Database, POSTGRES},
};

/// What it answers when a record is stored; anything else is why it is not.
pub const STORED: &str = "stored";
/// Before it calls NATS again.
const PAUSE: Duration = Duration::from_millis(50);
/// A record that is there counts how often it has come.
const STORE: &str = "\
INSERT INTO records (number, sent, stored, copies)
VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 1)
ON CONFLICT (number) DO UPDATE SET copies = records.copies + 1";

/// A record on its way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Its number.
    pub number: i64,
    /// When it was sent, Unix microseconds.
    pub sent: i64,
}

/// The keeper.
#[derive(Debug)]
pub struct Keeper {
    service: Arc<Service>,
    bus: Bus,
    database: Database,
}

impl Role for Keeper {
    type Settings = NoSettings;

    const CALLS_OTHERWISE: &[&str] = &[NATS, POSTGRES];

    fn open(service: Arc<Service>, _: NoSettings) -> Result<Self, String> {
        let (bus, database) = (Bus::new(service.clone()), Database::new(service.clone()));
        Ok(Self { service, bus, database })
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new().route("/v1/count", get(count)).with_state(self)
    }

    async fn work(self: Arc<Self>) {
        tokio::join!(self.bus.keep(), self.database.keep(), self.listen());
    }
}

async fn count(State(it): State<Arc<Keeper>>) -> Answer<Value> {
    let records = it.count().await.map_err(|error| it.service.failure(&error))?;
    Ok(Json(json!({ "records": records })))
}

impl Keeper {
    async fn count(&self) -> Result<i64, HopError> {
        let client = self.database.client()?;
        let row = self.database.answer(client.query_one("SELECT count(*) FROM records", &[])).await?;
        Ok(row.get(0))
    }

    /// Takes what is published, over one connection after another, for ever.
    async fn listen(&self) {
        loop {
            if let Ok(client) = self.bus.client() {
                tokio::select! {
                    () = self.take(&client) => {}
                    () = self.bus.lost(&client) => {}
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn take(&self, client: &Client) {
        let Ok(mut messages) = client.subscribe(SUBJECT).await else { return };
        while let Some(message) = messages.next().await {
            let answer = match self.store(&message).await {
                Ok(()) => STORED.to_owned(),
                Err(why) => why,
            };
            if let Some(reply) = message.reply {
                // Whoever asked gives up by itself.
                let _ = client.publish(reply, answer.into()).await;
            }
        }
    }

    async fn store(&self, message: &Message) -> Result<(), String> {
        let record: Published =
            serde_json::from_slice(&message.payload).map_err(|error| format!("no record: {error}"))?;
        let stored = async {
            let client = self.database.client()?;
            self.database.answer(client.execute(STORE, &[&record.number, &record.sent])).await
        };
        stored.await.map(drop).map_err(|error| error.to_string())
    }
}
