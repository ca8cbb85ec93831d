//! From a certificate that nears its end to its owner's web hook.

use std::time::{Duration, SystemTime};

use alerting::{
    process::Process,
    server::Server,
    tools::{alertmanager, prometheus, sample, watch},
    wait::until,
    webhook::Webhook,
};
use notafter::{
    inventory::{Owners, rules},
    pki::Validity,
};
use serde::Deserialize;

use crate::{Claims, Held, authority, folder, issue, must};

pub fn trials() -> Claims {
    vec![
        ("a_page_comes_before_the_end_and_stays_until_the_renewal", || Box::pin(comes_and_stays())),
        ("a_watcher_that_is_gone_is_an_alert_of_its_own", || Box::pin(watcher_gone())),
    ]
}

/// How long the certificate lasts, and how long before its end somebody wants to be told.
const LASTS: Duration = Duration::from_secs(45);
const LEAD: Duration = Duration::from_secs(20);
/// No notice takes longer on a starved machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PAGE: &str = "CertificateEnds";
const OWNERS: &str =
    "\"archive\" = \"anna\"\n\"127.0.0.1:*\" = \"anna\"\n\"notafter watch\" = \"platform\"\n";

/// `root -> issuing -> archive`: the leaf, and only the leaf, ends.
async fn comes_and_stays() -> Held {
    let folder = folder()?;
    let folder = folder.path();
    let mesh = authority()?;
    let credential = issue(&mesh, "archive", Validity::lasting(LASTS))?;
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(credential.leaf().not_after.unsigned_abs() + 1);
    let serving = Server::of(credential).start("127.0.0.1:0").await?;
    let endpoint = serving.address.to_string();

    let hook = Webhook::start().await?;
    let manager = alertmanager(folder, hook.address, "anna").await?;
    let watcher = watch(folder, &[&endpoint], OWNERS).await?;
    let prometheus = prometheus(folder, &text(LEAD)?, watcher.address, manager.address).await?;

    let firing = hook.first(PATIENCE, "a page", |notice| notice.is("firing", PAGE, &endpoint)).await?;
    must(firing.to == "anna", || format!("it is anna's: {firing:#?}"))?;
    must(firing.received < end, || format!("too late, the end was {end:?}: {firing:#?}"))?;
    must(firing.received >= end - LEAD, || format!("too early, the end is {end:?}: {firing:#?}"))?;
    let summary = firing.annotations.get("summary").map_or("", String::as_str);
    must(summary.starts_with("archive ends in ") && summary.ends_with(&format!("({endpoint})")), || {
        format!("unexpected words: {firing:#?}")
    })?;

    // What served it is gone with it.
    until(PATIENCE, "the end", async || must(SystemTime::now() > end, || "it is still valid".into())).await?;
    drop(serving);
    until(PATIENCE, "an error of the server", async || {
        let metrics = watcher.get("/metrics").await?;
        let gone = sample(&metrics, &format!("x509_cert_error{{endpoint=\"{endpoint}\"")) == Some(1.0);
        must(gone && !metrics.contains("x509_cert_not_after{"), || metrics)
    })
    .await?;
    fires_on(&prometheus, &endpoint).await?;
    let resolved = |notice: &alerting::webhook::Notice| notice.is("resolved", PAGE, &endpoint);
    must(!hook.received().iter().any(resolved), || format!("it is not over: {:#?}", hook.received()))?;

    let renewed = issue(&mesh, "archive", Validity::lasting(Duration::from_hours(1)))?;
    let _serving = Server::of(renewed).start(&endpoint).await?;
    hook.first(PATIENCE, "that it is over", resolved).await.map(drop)
}

/// A watcher that ends takes all of its series with it.
async fn watcher_gone() -> Held {
    let folder = folder()?;
    let folder = folder.path();
    let credential = issue(&authority()?, "archive", Validity::lasting(Duration::from_hours(1)))?;
    let serving = Server::of(credential).start("127.0.0.1:0").await?;
    let endpoint = serving.address.to_string();
    let hook = Webhook::start().await?;
    let manager = alertmanager(folder, hook.address, "anna").await?;
    let watcher = watch(folder, &[&endpoint], OWNERS).await?;
    // With an hour of lead, the alert about the certificate shows that the watcher is heard.
    let prometheus =
        prometheus(folder, &text(Duration::from_hours(2))?, watcher.address, manager.address).await?;
    hook.first(PATIENCE, "a page", |notice| notice.is("firing", PAGE, &endpoint)).await?;
    watcher.kill().await?;
    let blind = |notice: &alerting::webhook::Notice| notice.is("firing", "CertificateWatcherBlind", "");
    let notice = hook.first(2 * PATIENCE, "a dead-man's alert", blind).await?;
    must(notice.labels.get("owner").is_some_and(|owner| owner == "platform"), || format!("{notice:#?}"))?;
    // What it saw last is not forgotten.
    fires_on(&prometheus, &endpoint).await
}

/// Two evaluations later the page is still there.
async fn fires_on(prometheus: &Process, endpoint: &str) -> Held {
    let mut last = None;
    for _ in 0..3 {
        let evaluated = until(PATIENCE, "an evaluation", async || {
            let group = group(prometheus).await?;
            let new = last.as_ref() != Some(&group.last_evaluation);
            if new { Ok(group) } else { Err(group.last_evaluation) }
        });
        let group = evaluated.await?;
        let alerts = group.rules.iter().flat_map(|rule| &rule.alerts);
        let fires = |alert: &Alert| {
            alert.state == "firing"
                && alert.labels.get("alertname").is_some_and(|name| name == PAGE)
                && alert.labels.get("endpoint").is_some_and(|at| at == endpoint)
        };
        must(alerts.into_iter().any(fires), || format!("the page has vanished: {group:#?}"))?;
        last = Some(group.last_evaluation);
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Groups,
}

#[derive(Debug, Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    rules: Vec<Rule>,
    last_evaluation: String,
}

#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(default)]
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    labels: std::collections::BTreeMap<String, String>,
    state: String,
}

async fn group(prometheus: &Process) -> Result<Group, String> {
    let text = prometheus.get("/api/v1/rules").await?;
    let answer: Answer = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    let mut groups = answer.data.groups.into_iter();
    groups.find(|group| group.name == "notafter-certificates").ok_or(text)
}

fn text(lead: Duration) -> Result<String, String> {
    let owners = Owners::from_toml(OWNERS, "owners.toml").map_err(|error| error.to_string())?;
    rules(lead, &owners).map_err(|error| error.to_string())
}
