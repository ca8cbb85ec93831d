//! What the reference system does, on real ports with real certificates.

mod net;

use std::time::{Duration, Instant, SystemTime};

use net::{Net, eventually, set};
use notafter::{pki::Validity, service::Status};
use serde_json::{Value, json};
use stack::{
    archive::Count,
    auth::Token,
    ingest::{Backfilled, Progress},
    record::{Batch, Enriched, Record},
    service::End,
    settings::{Common, OpenConnections},
    source::Latest,
    store::Found,
    tls::{Blame, EXPIRED, Trouble},
};

/// `[number, sent, acknowledged]` of the source, and `[number, stored, copies]` of the archive.
type SourceLedger = Vec<(u64, u64, Option<u64>)>;
type ArchiveLedger = Vec<(u64, u64, u32)>;

const ALL: [&str; 9] =
    ["manager", "source", "archive", "auth", "processor", "ingest", "search", "spotlight", "gateway"];
/// Whom records pass on their way.
const WAY: [&str; 6] = ["manager", "source", "archive", "auth", "processor", "ingest"];

fn within(time: Duration) -> Validity {
    let now = SystemTime::now();
    Validity::between(now, now + time)
}

fn hour() -> Validity {
    Validity::lasting(Duration::from_hours(1))
}

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
async fn services_that_start_in_any_order_come_up_in_the_reverse_one() {
    let mut net = Net::new(stack::system());
    let mut reverse = ALL;
    reverse.reverse();
    net.up(&reverse).await;
}

#[tokio::test]
async fn a_record_of_the_source_is_found_through_the_gateway() {
    let mut net = Net::new(stack::system());
    net.up(&ALL).await;
    let gateway = net.plain_caller("gateway");
    let found: Found = eventually("record 3 is found", async || {
        let reply = gateway.get("/v1/records/3").await.map_err(|error| error.to_string())?;
        if reply.status.is_success() { reply.json() } else { Err(reply.reason()) }
    })
    .await;
    assert_eq!(found.text, Record::numbered(3, 0).text);
    let found: Vec<Found> = gateway.read("/v1/search?q=3").await;
    assert_eq!(found.iter().map(|found| found.number).collect::<Vec<_>>(), [3]);
    let analytics: Value = gateway.read("/v1/analytics").await;
    assert!(analytics["records"].as_u64() >= Some(3), "{analytics}");
    let missing = gateway.get("/v1/records/4000000000").await.expect("reachable");
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn users_log_in_hold_and_remove() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive", "auth", "search", "spotlight", "gateway"]).await;
    let gateway = net.plain_caller("gateway");
    let token: Token = gateway.send("/v1/login", &json!({"user": "analyst", "password": "analyst"})).await;
    assert!(!token.token.is_empty());
    let wrong = gateway.post("/v1/login", &json!({"user": "analyst", "password": "wrong"})).await;
    assert_eq!(wrong.expect("reachable").status, 401);
    let _: Value = gateway.send("/v1/holds", &json!({"name": "case-7", "user": "ada"})).await;
    let _: Count = gateway.send("/v1/removals", &json!({})).await;
    let _: Count = gateway.send("/v1/removals", &json!({})).await;
    let held = gateway.post("/v1/removals", &json!({"user": "ada"})).await.expect("reachable");
    assert_eq!((held.status.as_u16(), held.reason()), (409, "data of `ada` is on hold `case-7`".into()));
}

#[tokio::test]
async fn a_failing_hop_is_named_to_the_user() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive", "auth", "search", "spotlight", "gateway"]).await;
    net.stop("archive").await;
    let answer = net.plain_caller("gateway").get("/v1/search?q=3").await.expect("reachable");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.reason(), "search: archive unreachable: connection refused");
}

#[tokio::test]
async fn a_service_that_needs_others_first_ends_and_says_which_was_missing() {
    let mut net = Net::new(stack::system());
    let end = net.end_of("processor").await;
    assert_eq!(end, End::Need("manager unreachable: connection refused".into()));
    net.up(&["manager"]).await;
    let end = net.end_of("processor").await;
    assert_eq!(end, End::Need("archive unreachable: not registered".into()));
    net.up(&["archive"]).await;
    net.stop("archive").await;
    let end = net.end_of("processor").await;
    assert_eq!((end.to_string().as_str(), end.code()), ("archive unreachable: connection refused", 1));
}

#[tokio::test]
async fn a_service_with_an_expired_node_certificate_is_refused_by_the_manager() {
    let mut net = Net::new(stack::system());
    net.up(&["manager"]).await;
    net.install("archive", "node", Validity::ended(Duration::from_secs(5)));
    assert_eq!(net.end_of("archive").await, End::Need("manager refused: certificate expired".into()));
    net.start(&["archive"]);
    eventually("archive says what it waits for", async || {
        let status = net.status("archive").await.unwrap_or_default();
        let says = |line: &str| status.waits_for.iter().any(|wait| wait == line);
        let both = says("manager: certificate expired") && says("own node credential: certificate expired");
        if both && !status.ready { Ok(()) } else { Err(status) }
    })
    .await;
    net.install("archive", "node", hour());
    net.ready("archive").await;
}

#[tokio::test]
async fn an_unknown_setting_ends_a_service_by_name() {
    let net = Net::with("archive", "fails_opne", true);
    let end = net.end_of("archive").await;
    assert_eq!(end.code(), 64);
    assert!(end.to_string().starts_with("unknown setting `fails_opne`; one of: "), "{end}");
}

#[tokio::test]
async fn a_manager_that_restarts_forgets_nobody() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    net.stop("archive").await;
    net.stop("manager").await;
    net.up(&["manager"]).await;
    let node = net.issue("tester", "node", hour());
    let manager = net.caller_with("manager", &node, &Common::default());
    let services: Vec<stack::client::Registration> = manager.read("/v1/services").await;
    assert_eq!(services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), ["archive"]);
}

#[tokio::test]
async fn the_manager_sees_which_node_certificate_is_in_use() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let leaf = net.install("archive", "node", hour());
    eventually("the manager sees the new node certificate", async || {
        let status = net.status("manager").await.unwrap_or_default();
        let shown = status.clients.get("archive@platform");
        if shown.is_some_and(|from| from.values().any(|one| *one == leaf)) { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test]
async fn what_a_refused_client_has_shown_is_told_with_where_it_called_from() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let ended = net.issue("tester", "workload", Validity::ended(Duration::from_hours(1)));
    // It calls from the manager's address.
    let caller = net.caller_with("archive", &ended, &Common::default());
    caller.get("/live").await.expect_err("its certificate has expired");
    eventually("the archive has seen it", async || {
        let status = net.status("archive").await.unwrap_or_default();
        let shown = status.clients.get("tester@mesh").cloned().unwrap_or_default();
        let own = shown.get(&net.address("manager", 0).ip());
        if own == Some(ended.leaf()) { Ok(()) } else { Err(shown) }
    })
    .await;
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

#[tokio::test]
async fn an_expired_client_certificate_is_refused() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let caller = net.caller("archive", Validity::ended(Duration::from_secs(5)), &Common::default());
    let error = caller.get("/live").await.expect_err("refused");
    assert_eq!(error.to_string(), "archive refused: certificate expired");
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_refused() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let node = net.issue("tester", "node", hour()).with_bundle(net.mesh.bundle());
    let error =
        net.caller_with("archive", &node, &Common::default()).get("/live").await.expect_err("refused");
    assert_eq!(error.to_string(), "archive refused: unknown issuer");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_unless_the_server_fails_open() {
    let mut net = Net::with("archive", "fails_open", true);
    net.up(&["manager", "archive", "processor"]).await;
    let error = net.ask_without_certificate("processor").await.expect_err("refused");
    assert_eq!(Trouble::of(&error), Trouble { blame: Blame::Peer, words: "no certificate".into() });
    let answer = net.ask_without_certificate("archive").await.expect("served");
    assert_eq!(answer, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_server_that_fails_open_takes_any_certificate() {
    let mut net = Net::with("archive", "fails_open", true);
    net.up(&["manager", "archive"]).await;
    let expired = net.caller("archive", Validity::ended(Duration::from_secs(5)), &Common::default());
    assert_eq!(expired.get("/live").await.expect("served").status, 200);
    let node = net.issue("tester", "node", hour()).with_bundle(net.mesh.bundle());
    let foreign = net.caller_with("archive", &node, &Common::default());
    assert_eq!(foreign.get("/live").await.expect("served").status, 200);
}

/// A client that goes on with a connection whose certificates have expired.
fn uncut() -> Common {
    Common { open_connections: OpenConnections::OutliveExpiry, ..Common::default() }
}

/// Opens a connection, waits until the client's certificate has ended, and asks once more on it.
async fn ask_past_expiry(net: &Net, settings: &Common) -> Result<u16, stack::client::HopError> {
    let caller = net.caller("archive", within(Duration::from_secs(2)), settings);
    caller.get("/live").await.expect("served");
    let shown = eventually("the connection is seen", async || {
        let status = net.status("archive").await.unwrap_or_default();
        let shown = status.clients.get("tester@mesh").and_then(|from| from.values().next());
        shown.cloned().ok_or(status)
    })
    .await;
    eventually("the certificate ends", async || {
        if stack::credentials::has_expired(&shown) { Ok(()) } else { Err(()) }
    })
    .await;
    caller.get("/live").await.map(|reply| reply.status.as_u16())
}

#[tokio::test]
async fn a_server_cuts_an_open_connection_at_expiry() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let error = ask_past_expiry(&net, &uncut()).await.expect_err("cut");
    assert_eq!((error.trouble.blame, error.trouble.words.as_ref()), (Blame::Peer, EXPIRED));
}

#[tokio::test]
async fn a_client_leaves_an_open_connection_at_expiry() {
    let mut net = Net::with("archive", "open_connections", "outlive-expiry");
    net.up(&["manager", "archive"]).await;
    let error = ask_past_expiry(&net, &Common::default()).await.expect_err("a new connection is refused");
    assert_eq!((error.trouble.blame, error.trouble.words.as_ref()), (Blame::Peer, EXPIRED));
}

#[tokio::test]
async fn pools_past_expiry_are_served_past_expiry() {
    let mut net = Net::with("archive", "pools_past_expiry", true);
    net.up(&["manager", "archive"]).await;
    let pools = Common { pools_past_expiry: true, ..Common::default() };
    assert_eq!(ask_past_expiry(&net, &pools).await, Ok(200));
}

#[tokio::test]
async fn a_replaced_credential_is_taken_into_use() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let leaf = net.install("archive", "workload", hour());
    net.uses("archive", "workload", &leaf).await;
    net.plain_caller("archive").get("/live").await.expect("served");
}

#[tokio::test]
async fn a_key_of_another_certificate_leaves_the_last_good_pair_in_use() {
    let mut net = Net::new(stack::system());
    net.up(&["manager", "archive"]).await;
    let before = net.status("archive").await.expect("answers").credentials["workload"].clone();
    let (one, other) = (net.issue("archive", "workload", hour()), net.issue("archive", "workload", hour()));
    let mount = net.mount("archive", "workload");
    std::fs::create_dir(mount.join("..torn")).expect("folder");
    for (name, text) in
        [("tls.crt", one.chain_pem()), ("tls.key", other.key_pem()), ("ca.crt", one.bundle_pem())]
    {
        std::fs::write(mount.join("..torn").join(name), text).expect("written");
    }
    std::os::unix::fs::symlink("..torn", mount.join("link")).expect("link");
    std::fs::rename(mount.join("link"), mount.join("..data")).expect("swap");
    // A later change of the other mount is seen after this one.
    let node = net.install("archive", "node", hour());
    net.uses("archive", "node", &node).await;
    eventually("both mounts were looked at", async || {
        let status: Status = net.status("archive").await.unwrap_or_default();
        if status.credentials["workload"] == before { Ok(()) } else { Err(status) }
    })
    .await;
    net.plain_caller("archive").get("/live").await.expect("served");
    let leaf = net.install("archive", "workload", hour());
    net.uses("archive", "workload", &leaf).await;
}

#[tokio::test]
async fn credentials_are_renewed_before_they_expire_and_no_request_fails() {
    // A third of it is for the renewal, on a machine that does something else as well.
    let mut net = Net::with("manager", "lifetime", "9s");
    for service in ["manager", "archive", "search"] {
        net.install(service, "node", within(Duration::from_secs(9)));
    }
    net.up(&["manager", "archive", "search"]).await;
    let search = net.plain_caller("search");
    let first = net.status("archive").await.expect("answers").credentials;
    let begun = Instant::now();
    loop {
        let answer = search.get("/v1/records/1").await.expect("reachable");
        assert_eq!(answer.status, 404, "{}", answer.reason());
        let now = net.status("archive").await.expect("answers").credentials;
        if first.values().all(stack::credentials::has_expired) {
            for (mount, leaf) in &first {
                assert_ne!(now[mount].serial, leaf.serial, "{mount}");
            }
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{first:?}");
    }
    for service in ["manager", "archive", "search"] {
        assert!(net.status(service).await.expect("answers").ready, "{service}");
    }
}

#[tokio::test]
async fn without_renewal_a_service_is_not_ready_once_its_credential_has_expired() {
    let mut system = stack::system();
    set(&mut system, "archive", "renewal", false);
    set(&mut system, "manager", "lifetime", "1s");
    let mut net = Net::new(system);
    net.up(&["manager"]).await;
    net.start(&["archive"]);
    eventually("archive waits for a credential", async || {
        let status = net.status("archive").await.unwrap_or_default();
        let waits =
            status.waits_for.iter().any(|wait| wait == "own workload credential: certificate expired");
        if waits { Ok(()) } else { Err(status) }
    })
    .await;
}
