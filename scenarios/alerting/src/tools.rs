//! Prometheus, Alertmanager, blackbox exporter and `notafter watch`, each with a folder of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::process::{NOTAFTER, Process};

/// What must be in `PATH`: the executables of Debian's packages.
const TOOLS: [&str; 4] =
    ["prometheus", "promtool", "prometheus-alertmanager", "prometheus-blackbox-exporter"];
/// What all of Prometheus's family write before the address at which they listen.
const MARK: &str = "msg=\"Listening on\" address=";

/// Which of the executables are missing, if any are.
pub fn missing() -> Option<String> {
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let missing: Vec<_> =
        TOOLS.into_iter().filter(|tool| !folders.iter().any(|folder| folder.join(tool).is_file())).collect();
    (!missing.is_empty()).then(|| {
        let packages = "prometheus, prometheus-alertmanager and prometheus-blackbox-exporter";
        format!("{} missing in PATH; Debian has them in {packages}", missing.join(", "))
    })
}

/// `notafter watch` of these sources, once a second.
///
/// # Errors
/// If it does not start.
pub async fn watch(folder: &Path, sources: &[&str], owners: &str) -> Result<Process, String> {
    let owners = write(folder, "owners.toml", owners)?;
    let options = ["--listen", "127.0.0.1:0", "--every", "1s", "--owners"].map(str::to_owned);
    let sources = sources.iter().map(|source| (*source).to_owned());
    let args: Vec<_> =
        ["watch".to_owned()].into_iter().chain(options).chain([text(&owners)]).chain(sources).collect();
    Process::start(folder, NOTAFTER, &args, "http://").await
}

/// A Prometheus that scrapes a target and looks at rules once a second, and tells an Alertmanager.
///
/// # Errors
/// If it does not start.
pub async fn prometheus(
    folder: &Path,
    rules: &str,
    target: SocketAddr,
    alertmanager: SocketAddr,
) -> Result<Process, String> {
    let rules = write(folder, "notafter.rules.yml", rules)?;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
         scrape_configs: [{{job_name: notafter, static_configs: [{{targets: ['{target}']}}]}}]\n",
        text(&rules)
    );
    let config = write(folder, "prometheus.yml", &config)?;
    let args = [
        format!("--config.file={}", text(&config)),
        format!("--storage.tsdb.path={}", text(&folder.join("prometheus"))),
        "--web.listen-address=127.0.0.1:0".into(),
    ];
    Process::start(folder, "prometheus", &args, MARK).await
}

/// An Alertmanager that tells an owner of each page of hers, and `everybody` of all else, at once.
///
/// # Errors
/// If it does not start.
pub async fn alertmanager(folder: &Path, webhook: SocketAddr, owner: &str) -> Result<Process, String> {
    let config = format!(
        "route:\n  receiver: everybody\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1s\n  routes:\n  \
         - {{receiver: owner, matchers: ['severity=\"page\"', 'owner=\"{owner}\"']}}\n\
         receivers:\n\
         - {{name: everybody, webhook_configs: [{{url: 'http://{webhook}/everybody'}}]}}\n\
         - {{name: owner, webhook_configs: [{{url: 'http://{webhook}/{owner}'}}]}}\n"
    );
    let config = write(folder, "alertmanager.yml", &config)?;
    let args = [
        format!("--config.file={}", text(&config)),
        format!("--storage.path={}", text(&folder.join("alertmanager"))),
        "--web.listen-address=127.0.0.1:0".into(),
        // It is alone.
        "--cluster.listen-address=".into(),
    ];
    Process::start(folder, "prometheus-alertmanager", &args, MARK).await
}

/// A blackbox exporter with these modules, in its own words.
///
/// # Errors
/// If it does not start.
pub async fn blackbox(folder: &Path, modules: &str) -> Result<Process, String> {
    let config = write(folder, "blackbox.yml", modules)?;
    let args = [format!("--config.file={}", text(&config)), "--web.listen-address=127.0.0.1:0".into()];
    Process::start(folder, "prometheus-blackbox-exporter", &args, MARK).await
}

/// The value of the first sample that begins so.
pub fn sample(metrics: &str, begins: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(begins))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Writes a file of a test.
///
/// # Errors
/// If it cannot be written.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Folders of tests have names in UTF-8.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
