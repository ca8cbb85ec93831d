//! Who is refused, what an open connection is worth, and what becomes of a credential that is replaced.

use std::time::{Duration, Instant, SystemTime};

use notafter::{pki::Validity, service::Status};
use stack::{
    settings::{Common, OpenConnections},
    tls::{Blame, EXPIRED, Trouble},
};

use crate::{
    hour,
    net::{Net, eventually, set},
};

fn within(time: Duration) -> Validity {
    let now = SystemTime::now();
    Validity::between(now, now + time)
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
