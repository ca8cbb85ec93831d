//! What becomes of records: spooled, fetched from the history, acknowledged, stored once.

use serde_json::json;
use stack::{
    archive::Count,
    ingest::{Backfilled, Progress},
    record::{Batch, Enriched, Record},
    source::Latest,
};

use crate::net::{self, Net, eventually};

/// `[number, sent, acknowledged]` of the source, and `[number, stored, copies]` of the archive.
type SourceLedger = Vec<(u64, u64, Option<u64>)>;
type ArchiveLedger = Vec<(u64, u64, u32)>;

/// Whom records pass on their way.
const WAY: [&str; 6] = ["manager", "source", "archive", "auth", "processor", "ingest"];

/// Waits until the source has emitted so many records.
async fn emitted(source: &net::Caller, number: u64) {
    eventually(&format!("record {number} is emitted"), async || {
        let latest: Latest = source.read("/v1/latest").await;
        if latest.sent >= number { Ok(()) } else { Err(latest) }
    })
    .await;
}

/// Waits until the archive has every record up to a number, and gives how often it has each.
async fn stored(archive: &net::Caller, number: u64) -> ArchiveLedger {
    eventually(&format!("records 1 to {number} are stored"), async || {
        let ledger: ArchiveLedger = archive.read("/v1/ledger").await;
        let whole = (1..=number).all(|number| ledger.iter().any(|row| row.0 == number));
        if whole { Ok(ledger) } else { Err(ledger.len()) }
    })
    .await
}

#[tokio::test]
async fn what_was_spooled_is_stored_after_a_crash() {
    let mut net = Net::new(stack::system());
    let lost = crash_with_a_full_spool(&mut net).await;
    assert_eq!(lost, Vec::<u64>::new());
}

#[tokio::test]
async fn an_ingest_that_loses_its_spool_loses_records() {
    let mut net = Net::with("ingest", "loses_spool", true);
    let lost = crash_with_a_full_spool(&mut net).await;
    assert!(!lost.is_empty());
}

/// Kills ingestion between fsync and forwarding, and starts it again when the live feed has moved on.
/// Gives the acknowledged records that are stored nowhere when everything is up again.
async fn crash_with_a_full_spool(net: &mut Net) -> Vec<u64> {
    net.up(&WAY).await;
    net.stop("processor").await;
    let source = net.plain_caller("source");
    let ingest = net.plain_caller("ingest");
    let latest: Latest = source.read("/v1/latest").await;
    let spooled = eventually("a spool that waits", async || {
        let progress: Progress = ingest.read("/v1/status").await;
        let full = progress.high > latest.sent + 100 && progress.unacknowledged.is_empty();
        if full { Ok(progress) } else { Err(progress) }
    })
    .await;
    net.kill("ingest").await;
    // What the feed still shows would be seen again, defect or not.
    emitted(&source, spooled.high + 110).await;
    net.up(&["processor", "ingest"]).await;
    let latest: Latest = source.read("/v1/latest").await;
    let archive = net.plain_caller("archive");
    eventually("later records are stored", async || {
        let ledger: ArchiveLedger = archive.read(&format!("/v1/ledger?after={}", latest.sent)).await;
        if ledger.is_empty() { Err(()) } else { Ok(()) }
    })
    .await;
    let acknowledged: SourceLedger = source.read("/v1/ledger").await;
    let stored: ArchiveLedger = archive.read("/v1/ledger").await;
    assert!(stored.iter().all(|row| row.2 == 1), "copies");
    let acknowledged = acknowledged.iter().filter(|row| row.0 <= spooled.high && row.2.is_some());
    acknowledged.map(|row| row.0).filter(|number| stored.iter().all(|row| row.0 != *number)).collect()
}

#[tokio::test]
async fn a_gap_is_fetched_from_the_history() {
    let mut net = Net::new(stack::system());
    net.up(&WAY).await;
    net.stop("ingest").await;
    let source = net.plain_caller("source");
    let latest: Latest = source.read("/v1/latest").await;
    emitted(&source, latest.sent + more_than_the_feed_holds()).await;
    net.up(&["ingest"]).await;
    let ingest = net.plain_caller("ingest");
    let progress = eventually("ingest notices its gap", async || {
        let progress: Progress = ingest.read("/v1/status").await;
        if progress.gaps.is_empty() { Err(progress) } else { Ok(progress) }
    })
    .await;
    let backfilled: Backfilled = ingest.send("/v1/backfill", &json!({"from": 1})).await;
    assert_eq!(backfilled.fetched, progress.gaps.iter().map(|(from, to)| to - from + 1).sum::<u64>());
    let ledger = stored(&net.plain_caller("archive"), progress.high).await;
    assert!(ledger.iter().all(|row| row.2 == 1));
    let again: Backfilled = ingest.send("/v1/backfill", &json!({})).await;
    assert_eq!(again.fetched, 0);
}

#[tokio::test]
async fn whoever_takes_in_for_the_first_time_begins_with_the_history() {
    let mut net = Net::new(stack::system());
    net.up(&WAY[..5]).await;
    // By now the first records have left the live feed.
    let past = more_than_the_feed_holds();
    emitted(&net.plain_caller("source"), past).await;
    net.up(&["ingest"]).await;
    stored(&net.plain_caller("archive"), past).await;
}

/// So many records take longer to come than they stay in the live feed.
fn more_than_the_feed_holds() -> u64 {
    let stack::source::Settings { rate, live_window } = stack::source::Settings::default();
    u64::from(rate) * live_window.0.as_secs() * 3 / 2
}

/// A spool that can be written but not synced: `/dev/null`.
fn spool_that_never_syncs(net: &Net) {
    let data = net.data("ingest");
    std::fs::create_dir_all(&data).expect("folder");
    std::os::unix::fs::symlink("/dev/null", data.join("spool")).expect("link");
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_synced() {
    let mut net = Net::new(stack::system());
    spool_that_never_syncs(&net);
    net.up(&WAY[..5]).await;
    net.start(&["ingest"]);
    eventually("ingest complains about its spool", async || {
        let status = net.status("ingest").await.unwrap_or_default();
        if status.waits_for.iter().any(|wait| wait.starts_with("spool: ")) { Ok(()) } else { Err(status) }
    })
    .await;
    let source = net.plain_caller("source");
    emitted(&source, 20).await;
    let ledger: SourceLedger = source.read("/v1/ledger").await;
    assert_eq!(ledger.iter().find(|row| row.2.is_some()), None);
}

#[tokio::test]
async fn an_ingest_that_acknowledges_first_acknowledges_what_is_not_synced() {
    let mut net = Net::with("ingest", "acknowledges_before_it_stores", true);
    spool_that_never_syncs(&net);
    net.up(&WAY).await;
    let source = net.plain_caller("source");
    eventually("something is acknowledged", async || {
        let latest: Latest = source.read("/v1/latest").await;
        if latest.acked > 0 { Ok(()) } else { Err(latest) }
    })
    .await;
}

fn batch() -> Batch<Enriched> {
    Batch { records: (1..=3).map(|number| Enriched::from(Record::numbered(number, 1))).collect() }
}

#[tokio::test]
async fn an_archive_takes_a_record_once_unless_told_otherwise() {
    for (idempotent, copies) in [(true, 1), (false, 2)] {
        let mut net = Net::with("archive", "idempotent", idempotent);
        net.up(&["manager", "archive"]).await;
        let archive = net.plain_caller("archive");
        let first: Count = archive.send("/v1/records", &batch()).await;
        let _: Count = archive.send("/v1/records", &batch()).await;
        assert_eq!(first.count, 3);
        let ledger: ArchiveLedger = archive.read("/v1/ledger?after=1").await;
        assert_eq!(ledger.iter().map(|row| (row.0, row.2)).collect::<Vec<_>>(), [(2, copies), (3, copies)]);
    }
}
