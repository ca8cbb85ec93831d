//! The account of every record: sent, acknowledged, stored, found again.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    error::Result,
    history::{Micros, Record, Recorder, What},
    http::Client,
    system::Span,
};

/// How many records are looked for at once.
const AT_ONCE: usize = 16;

/// How often a record is looked for before it counts as not found.
const ASKED: u32 = 5;

/// Where the account is read. The services that keep it answer in JSON:
/// `sent` gives `[[number, sent, acknowledged or null], …]`, `stored` gives
/// `[[number, stored, copies], …]`, times in microseconds since the Unix epoch; both take `after`, the
/// last number that is not wanted. `latest` gives `{"sent": number}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// What was sent, and what of it was acknowledged.
    pub sent: Endpoint,
    /// The number of the last record sent.
    pub latest: Endpoint,
    /// What is stored.
    pub stored: Endpoint,
    /// Whether a user finds a record: 200 for `{number}`, or not.
    pub found: Endpoint,
    /// A record stored later than this after it was sent is late.
    pub late: Span,
}

/// A path of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The service's name.
    pub service: String,
    /// The path, beginning with a slash.
    pub path: String,
}

#[derive(Deserialize)]
struct Latest {
    sent: u64,
}

impl Ledger {
    /// The number of the last record sent.
    ///
    /// # Errors
    /// If the source does not answer.
    pub async fn latest(&self, client: &Client) -> Result<u64> {
        Ok(client.get::<Latest>(&self.latest.service, &self.latest.path).await?.sent)
    }

    /// How many of the records up to `horizon` are not stored yet.
    ///
    /// # Errors
    /// If one of the two sides does not answer.
    pub async fn missing(&self, client: &Client, horizon: u64) -> Result<u64> {
        let stored = self.read_stored(client).await?;
        let sent = self.read_sent(client).await?;
        let missing = sent.range(..=horizon).filter(|(number, _)| !stored.contains_key(number)).count();
        Ok(missing as u64)
    }

    /// Writes the final account of every record up to `horizon` into the history.
    ///
    /// # Errors
    /// If one of the two sides does not answer.
    pub async fn close(&self, client: &Client, recorder: &Recorder, horizon: u64) -> Result<()> {
        let clock = recorder.clock();
        let sent = self.read_sent(client).await?;
        let stored = self.read_stored(client).await?;
        let looks = sent.range(..=horizon).map(|(&number, &(sent, acked))| {
            let path = self.found.path.replace("{number}", &number.to_string());
            let stored = stored.get(&number).copied();
            async move {
                let found = finds(client, &self.found.service, &path).await;
                Record {
                    number,
                    sent: since_zero(clock, sent),
                    acked: acked.map(|at| since_zero(clock, at)),
                    stored: stored.map(|(at, _)| since_zero(clock, at)),
                    copies: stored.map_or(0, |(_, copies)| copies),
                    found,
                }
            }
        });
        let mut records = stream::iter(looks).buffered(AT_ONCE);
        while let Some(record) = records.next().await {
            recorder.record(What::Record(record));
        }
        Ok(())
    }

    async fn read_sent(&self, client: &Client) -> Result<BTreeMap<u64, (u64, Option<u64>)>> {
        let path = format!("{}?after=0", self.sent.path);
        let rows: Vec<(u64, u64, Option<u64>)> = client.get(&self.sent.service, &path).await?;
        Ok(rows.into_iter().map(|(number, sent, acked)| (number, (sent, acked))).collect())
    }

    async fn read_stored(&self, client: &Client) -> Result<BTreeMap<u64, (u64, u32)>> {
        let path = format!("{}?after=0", self.stored.path);
        let rows: Vec<(u64, u64, u32)> = client.get(&self.stored.service, &path).await?;
        Ok(rows.into_iter().map(|(number, stored, copies)| (number, (stored, copies))).collect())
    }
}

/// Whether the record is there. No answer is none: then it is asked again.
async fn finds(client: &Client, service: &str, path: &str) -> bool {
    for _ in 0..ASKED {
        match client.request(&hyper::Method::GET, service, path, None).await {
            Ok((status, _)) if !status.is_server_error() => return status.as_u16() == 200,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    false
}

fn since_zero(clock: Clock, unix_micros: u64) -> Micros {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(unix_micros);
    at.duration_since(clock.wall_at_zero()).map_or(0, crate::clock::micros)
}
