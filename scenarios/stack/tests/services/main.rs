//! What the reference system does, on real ports with real certificates.

mod credentials;
mod net;
mod records;

use std::time::Duration;

use net::{Net, eventually};
use notafter::pki::Validity;
use serde_json::{Value, json};
use stack::{archive::Count, auth::Token, record::Record, service::End, settings::Common, store::Found};

const ALL: [&str; 9] =
    ["manager", "source", "archive", "auth", "processor", "ingest", "search", "spotlight", "gateway"];
fn hour() -> Validity {
    Validity::lasting(Duration::from_hours(1))
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
