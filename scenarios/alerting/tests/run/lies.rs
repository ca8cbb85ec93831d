//! Monitors that lie: what each says of a server or a client that fails, and who catches it.
//!
//! Every lie has its control: the same monitor, asked about something that is right, or in a way in which
//! it does not lie.

use std::time::Duration;

use alerting::{
    process::Process,
    server::Server,
    tools::{blackbox, sample, watch},
    wait::until,
};
use notafter::{
    history::{Outcome, Question, Refusal, Side},
    pki::{Authority, Validity},
    prober::{Caller, Wire},
};
use rustls::version::{TLS12, TLS13};

use crate::{Claims, Held, authority, folder, issue, must};

pub fn trials() -> Claims {
    vec![
        ("a_blackbox_exporter_sees_the_leaf_only_and_the_watcher_its_issuer", || Box::pin(leaf_only())),
        (
            "a_metric_of_a_blackbox_exporter_vanishes_at_expiry_and_the_watchers_stays",
            || Box::pin(vanishes()),
        ),
        ("a_blackbox_exporter_that_reads_nothing_finds_an_expired_client_served_and_the_prober_not", || {
            Box::pin(reads_nothing())
        }),
        ("who_looks_at_files_only_finds_new_what_is_served_old", || Box::pin(disk_only())),
    ]
}

const DAY: Duration = Duration::from_hours(24);
const PATIENCE: Duration = Duration::from_mins(1);

/// `root -> issuing -> archive`: the issuing CA, and only it, ends in an hour; the server does not present it,
/// and the exporter does not verify, as many have it so that the metric does not vanish.
async fn leaf_only() -> Held {
    let folder = folder()?;
    let folder = folder.path();
    let soon = Validity::ending_in(Duration::from_hours(1));
    let mesh = Authority::with_validity("mesh", Validity::lasting(90 * DAY), soon);
    let mesh = mesh.map_err(|error| error.to_string())?;
    let credential = issue(&mesh, "archive", Validity::lasting(30 * DAY))?;
    credential.write(&folder.join("mount")).map_err(|error| error.to_string())?;
    let ends = seconds(credential.leaf().not_after);
    let server = Server { leaf_only: true, ..Server::of(credential) };
    let serving = server.start("127.0.0.1:0").await?;

    let modules =
        "modules: {leaf: {prober: tcp, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}}";
    let said = probe(&blackbox(folder, modules).await?, "leaf", &serving.address.to_string()).await?;
    must(sample(&said, "probe_success ") == Some(1.0), || format!("no lie: {said}"))?;
    must(sample(&said, "probe_ssl_earliest_cert_expiry ") == Some(ends), || format!("no lie: {said}"))?;

    let mount = folder.join("mount").to_string_lossy().into_owned();
    let watcher = watch(folder, &[&serving.address.to_string(), &mount], "").await?;
    let told = looked(&watcher).await?;
    let issuing = sample_of(&told, "x509_cert_not_after{", "subject_CN=\"mesh issuing");
    must(issuing.is_some_and(|issuing| issuing < ends - 20.0 * DAY.as_secs_f64()), || told.clone())?;
    let found = ["kind=\"expiring\"", "kind=\"outlives-issuer\"", "kind=\"chain-fails\""];
    must(found.iter().all(|kind| sample_of(&told, "notafter_findings{", kind).is_some()), || told.clone())
}

/// `root -> issuing -> archive`: the leaf, and only the leaf, has expired. The exporter verifies.
async fn vanishes() -> Held {
    let folder = folder()?;
    let folder = folder.path();
    let mesh = authority()?;
    let bundle = alerting::tools::write(folder, "ca.crt", &mesh.bundle())?;
    let modules = format!(
        "modules: {{verifies: {{prober: tcp, tcp: {{tls: true, tls_config: {{ca_file: '{}'}}}}}}}}",
        bundle.display()
    );
    let exporter = blackbox(folder, &modules).await?;
    let metric = "probe_ssl_earliest_cert_expiry ";
    let good = Server::of(issue(&mesh, "archive", Validity::lasting(DAY))?).start("127.0.0.1:0").await?;
    let said = probe(&exporter, "verifies", &good.address.to_string()).await?;
    must(sample(&said, metric).is_some_and(|ends| ends > 0.0), || format!("the control fails: {said}"))?;

    let expired = issue(&mesh, "archive", Validity::ended(Duration::from_mins(1)))?;
    let ended = seconds(expired.leaf().not_after);
    let bad = Server::of(expired).start("127.0.0.1:0").await?;
    let said = probe(&exporter, "verifies", &bad.address.to_string()).await?;
    must(sample(&said, metric).is_none(), || format!("no lie: {said}"))?;

    let watcher = watch(folder, &[&bad.address.to_string()], "").await?;
    let told = looked(&watcher).await?;
    let leaf = sample_of(&told, "x509_cert_not_after{endpoint=", "subject_CN=\"archive\"");
    must(leaf == Some(ended), || told.clone())?;
    must(sample(&told, "probe_ssl_earliest_cert_expiry{") == Some(ended), || told.clone())
}

/// `root -> issuing -> archive`, and `-> search`, who calls: the leaf of the client, and only that, has
/// expired. In TLS 1.3 a client is done before the server has judged its certificate (RFC 8446, 2).
async fn reads_nothing() -> Held {
    let folder = folder()?;
    let folder = folder.path();
    let mesh = authority()?;
    let client = issue(&mesh, "search", Validity::ended(Duration::from_mins(1)))?;
    let mount = folder.join("mount");
    client.write(&mount).map_err(|error| error.to_string())?;
    let file = |name: &str| mount.join(name).display().to_string();
    let modules = format!(
        "modules: {{mutual: {{prober: tcp, tcp: {{tls: true, tls_config: {{ca_file: '{}', cert_file: '{}', \
         key_file: '{}'}}}}}}}}",
        file("ca.crt"),
        file("tls.crt"),
        file("tls.key")
    );
    let exporter = blackbox(folder, &modules).await?;
    let server = Server { mutual: true, ..Server::of(issue(&mesh, "archive", Validity::lasting(DAY))?) };
    let mut said = Vec::new();
    for version in [&TLS12, &TLS13] {
        let serving = Server { version, ..server.clone() }.start("127.0.0.1:0").await?;
        let success =
            sample(&probe(&exporter, "mutual", &serving.address.to_string()).await?, "probe_success ");
        let caller = Caller::with(&client).map_err(|error| error.to_string())?;
        let wire = Wire::default();
        let answer = caller.round_trip(serving.address, "archive", Question::Fresh, &wire).await;
        let refused = Outcome::Refused { by: Side::Server, reason: Refusal::Expired };
        must(answer == refused, || format!("the prober, in {version:?}: {answer}"))?;
        said.push(success);
    }
    must(said == [Some(0.0), Some(1.0)], || format!("the truth in TLS 1.2, a lie in 1.3: {said:?}"))?;

    let watcher = watch(folder, &[&mount.to_string_lossy()], "").await?;
    let told = looked(&watcher).await?;
    must(sample_of(&told, "x509_cert_expired{", "subject_CN=\"search\"") == Some(1.0), || told.clone())
}

/// `root -> issuing -> archive`: what is served has expired, and only that; what lies on disk is new. Whoever
/// looks at files only is our own watcher, asked about a folder.
async fn disk_only() -> Held {
    let folder = folder()?;
    let folder = folder.path();
    let mesh = authority()?;
    let old = issue(&mesh, "archive", Validity::ended(Duration::from_mins(1)))?;
    let ended = seconds(old.leaf().not_after);
    let serving = Server::of(old).start("127.0.0.1:0").await?;
    let mount = folder.join("mount");
    let new = issue(&mesh, "archive", Validity::lasting(30 * DAY))?;
    new.write(&mount).map_err(|error| error.to_string())?;
    let mount = mount.to_string_lossy().into_owned();

    let files = looked(&watch(folder, &[&mount], "").await?).await?;
    must(!files.contains("notafter_findings{"), || format!("no lie: {files}"))?;
    must(!files.lines().any(|line| line.starts_with("x509_cert_expired{") && line.ends_with(" 1")), || {
        format!("no lie: {files}")
    })?;

    let both = looked(&watch(folder, &[&mount, &serving.address.to_string()], "").await?).await?;
    let served = sample_of(&both, "x509_cert_not_after{endpoint=", "subject_CN=\"archive\"");
    must(served == Some(ended), || both.clone())?;
    let found = ["kind=\"expired\"", "kind=\"served-differs\""];
    must(found.iter().all(|kind| sample_of(&both, "notafter_findings{", kind).is_some()), || both.clone())
}

/// What a blackbox exporter says of a server.
async fn probe(exporter: &Process, module: &str, target: &str) -> Result<String, String> {
    exporter.get(&format!("/probe?module={module}&target={target}")).await
}

/// The metrics of a watcher once it has looked.
async fn looked(watcher: &Process) -> Result<String, String> {
    until(PATIENCE, "a look", async || {
        let text = watcher.get("/metrics").await?;
        let looks = sample(&text, "notafter_watch_looks_total{outcome=\"finished\"}");
        if looks > Some(0.0) { Ok(text) } else { Err(format!("{text}{}", watcher.log())) }
    })
    .await
}

/// The value of the first sample that begins so and has this label.
fn sample_of(text: &str, begins: &str, label: &str) -> Option<f64> {
    text.lines().filter(|line| line.contains(label)).find_map(|line| sample(line, begins))
}

#[expect(clippy::cast_precision_loss, reason = "seconds of any certificate are exact in f64")]
fn seconds(unix: i64) -> f64 {
    unix as f64
}
