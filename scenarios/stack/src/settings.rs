//! What a service can be told beyond its place in the system; switched-on defects live here, and
//! [`DEFECTS`](crate::defects::DEFECTS) says where each was seen.

use std::time::Duration;

use notafter::system::Span;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Settings that every service understands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch that a person sets")]
pub struct Common {
    /// Whether it asks the manager for new certificates while its own are still valid.
    pub renewal: bool,
    /// Whether it gets the certificate of its workload from the manager; else somebody puts it into its mount, as
    /// Kubernetes does with a Secret.
    pub enrols: bool,
    /// Whether it keeps connections for the next request.
    pub pool: bool,
    /// What becomes of a connection when a certificate of it expires.
    pub open_connections: OpenConnections,
    /// Longest time for TCP and TLS of a connection.
    pub connect_timeout: Span,
    /// Longest time for a request, connection included.
    pub request_timeout: Span,
    /// Defect: a session that is resumed is served whatever has ended since its full handshake
    /// (golang/go#77217, scylladb/python-driver#1017).
    pub resumption_bypasses_the_check: bool,
    /// Defect: the server lets in clients whose certificate does not verify, or that have none.
    pub fails_open: bool,
    /// Defect: nobody looks at expiry on open connections, and a reload keeps the pools.
    pub pools_past_expiry: bool,
    /// Defect: once it was ready it says so whatever goes wrong: healthy but dead (spiffe/spire#1562), or an
    /// expired leaf for five days while probes stay green (confidential-dot-ai/c8s#511).
    pub health_lies: bool,
    /// Defect: a replaced credential that makes no sense takes the place of the good one all the same, as where
    /// certificate and key are read at different moments (rwf2/Rocket#2683).
    pub drops_what_was_good: bool,
    /// Defect: it looks for moved links only, so that files that are written where they are pass it by
    /// (hashicorp/consul#8198, envoyproxy/envoy#9359).
    pub watches_links_only: bool,
    /// Defect: it sees one replacement and none after it, as a watch that dies with the folder that it
    /// was set on (envoyproxy/envoy#9359) or loses a race with the swap (envoyproxy/envoy#39498). What lies on
    /// the disk is good, and what is served is not (kubernetes/kubernetes#102556).
    pub reloads_once: bool,
    /// Defect: what was replaced is in use seconds later only, as behind the two minutes of a cache
    /// (rabbitmq/rabbitmq-server#2229).
    pub reloads_late: bool,
    /// Defect: it says at once that it uses what was put there, and does a while later
    /// (valkey-io/valkey#3549).
    pub status_runs_ahead: bool,
    /// Defect: some time after a reload the certificate of several renewals back is served again
    /// (caddyserver/caddy#7589).
    pub resurrects_an_old_one: bool,
    /// Defect: while a credential is replaced it has none (istio/istio#16222).
    pub drops_while_reloading: bool,
    /// Defect: that it will not use what it found is in its log and nowhere else
    /// (nats-io/nats-server#1921).
    pub silent_about_refusals: bool,
    /// Defect: what it shows to others is what it had when it first called them (grpc/grpc#15735,
    /// lance-format/lance#8456).
    pub client_reads_credential_once: bool,
    /// Defect: a new leaf is taken into use, and the bundle of the start is kept (etcd-io/etcd#11555,
    /// envoyproxy/gateway#5074).
    pub bundle_read_once: bool,
    /// Defect: whom it trusts when it calls others is read once a process, as what `NODE_EXTRA_CA_CERTS` names
    /// (nodejs/node#20434); as a server it trusts what lies there now.
    pub client_bundle_read_once: bool,
    /// Defect: of several roots it trusts the newest alone, while others still show leaves of the one before
    /// (strimzi/proposals#117, linkerd/linkerd2#4287).
    pub trusts_newest_root_only: bool,
    /// Defect: nobody looks at revocation lists.
    pub ignores_revocation: bool,
    /// Defect: a revocation list that has run out counts as one that has not.
    pub believes_old_lists: bool,
    /// Defect: a root that has ended is trusted no more, nor is any root beside it. Most verifiers do not
    /// look at the validity of what they trust (RFC 5280, 6.1.1 (d)).
    pub refuses_expired_roots: bool,
    /// Defect: everything that a client shows must be valid, though another path leads to a root: what
    /// OpenSSL before 1.1.0 made of the end of DST Root X3.
    pub builds_no_other_path: bool,
    /// Defect: a name that the manager does not know once is unknown for ever, as with a resolver that
    /// caches failures without a limit.
    pub caches_failed_lookups: bool,
    /// Defect: whoever does not answer the first time is waited for without a limit, and not asked again.
    pub waits_for_ever: bool,
    /// Defect: it does not start while a certificate of its own has ended, not even to renew it
    /// (strimzi/strimzi-kafka-operator#6136).
    pub expired_blocks_start: bool,
    /// Defect: what the manager has issued to it is not looked for at the next start.
    pub forgets_credential: bool,
    /// Defect: a credential that is not there at the start is not looked for again
    /// (kubernetes-sigs/controller-runtime#1148).
    pub gives_up_without_credential: bool,
    /// Defect: a renewal that failed is tried again an hour later (cert-manager/cert-manager#6378).
    pub backs_off_for_hours: bool,
    /// Defect: its credential is read once, at the start, whether or not it is there by then
    /// (redis/redis#8756).
    pub reads_credential_once: bool,
    /// Defect: it tells the manager once where it is, whether or not the manager hears it.
    pub registers_once: bool,
    /// Defect: it registers only after this other service has.
    pub registers_after: String,
    /// Defect: if the manager is away or its certificate has ended when it is called, all who were turned away
    /// come back at the same moment, as the launchers of Epic did in April 2021: 200 connections, as soon as it
    /// serves again, without backoff or jitter.
    pub thundering_retry: bool,
    /// Defect: more open connections than this end the server; 0 for any number.
    pub most_connections: usize,
}

/// What becomes of a connection when a certificate of it expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenConnections {
    /// The server answers the next request with 403 and closes; the client does not use it again.
    #[default]
    CutAtExpiry,
    /// It is used as long as it stays open, as TLS itself would have it.
    OutliveExpiry,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            renewal: true,
            enrols: true,
            pool: true,
            open_connections: OpenConnections::default(),
            connect_timeout: Span(Duration::from_secs(1)),
            request_timeout: Span(Duration::from_secs(2)),
            resumption_bypasses_the_check: false,
            fails_open: false,
            health_lies: false,
            drops_what_was_good: false,
            watches_links_only: false,
            reloads_once: false,
            reloads_late: false,
            status_runs_ahead: false,
            resurrects_an_old_one: false,
            drops_while_reloading: false,
            silent_about_refusals: false,
            client_reads_credential_once: false,
            bundle_read_once: false,
            client_bundle_read_once: false,
            trusts_newest_root_only: false,
            expired_blocks_start: false,
            forgets_credential: false,
            gives_up_without_credential: false,
            backs_off_for_hours: false,
            ignores_revocation: false,
            believes_old_lists: false,
            refuses_expired_roots: false,
            builds_no_other_path: false,
            pools_past_expiry: false,
            caches_failed_lookups: false,
            waits_for_ever: false,
            reads_credential_once: false,
            registers_once: false,
            registers_after: String::new(),
            thundering_retry: false,
            most_connections: 0,
        }
    }
}

impl Common {
    /// Whether expiry is looked at while a connection is open.
    pub fn cuts_at_expiry(&self) -> bool {
        self.open_connections == OpenConnections::CutAtExpiry && !self.pools_past_expiry
    }

    /// How long a replaced credential lies there unused.
    pub fn reload_delay(&self) -> Duration {
        let delays = [
            (self.reloads_late, Duration::from_secs(3)),
            (self.status_runs_ahead, Duration::from_secs(1)),
            (self.drops_while_reloading, Duration::from_millis(300)),
        ];
        delays.into_iter().filter(|(on, _)| *on).map(|(_, delay)| delay).max().unwrap_or_default()
    }
}

/// Divides a service's settings into those that every service understands and its own.
///
/// # Errors
/// The key that neither knows, or whose value does not fit.
pub fn read<S>(table: &toml::Table) -> Result<(Common, S), String>
where
    S: DeserializeOwned + Serialize + Default,
{
    let keys_of_all = keys(&Common::default());
    let keys_of_own = keys(&S::default());
    let (mut common, mut own) = (toml::Table::new(), toml::Table::new());
    for (key, value) in table {
        if keys_of_all.contains(key) {
            common.insert(key.clone(), value.clone());
        } else if keys_of_own.contains(key) {
            own.insert(key.clone(), value.clone());
        } else {
            let known = keys_of_own.iter().chain(&keys_of_all);
            let known = known.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            return Err(format!("unknown setting `{key}`; one of: {known}"));
        }
    }
    Ok((parse(common)?, parse(own)?))
}

fn keys(defaults: &impl Serialize) -> Vec<String> {
    toml::Table::try_from(defaults).map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    // One key at a time, so that the message names it.
    for (key, value) in &table {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = alone.try_into::<T>() {
            return Err(format!("setting `{key} = {value}`: {}", error.message()));
        }
    }
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{archive, ingest};

    fn table(text: &str) -> toml::Table {
        text.parse().expect("toml")
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let (common, own) = read::<ingest::Settings>(&table("")).expect("reads");
        assert_eq!((common, own), (Common::default(), ingest::Settings::default()));
    }

    #[test]
    fn a_key_of_another_role_is_refused_by_name() {
        let error = read::<archive::Settings>(&table("loses_spool = true")).expect_err("unknown");
        assert!(error.starts_with("unknown setting `loses_spool`; one of: `idempotent`"), "{error}");
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_with_its_key() {
        let error = read::<archive::Settings>(&table("connect_timeout = \"soon\"")).expect_err("no duration");
        assert!(error.starts_with("setting `connect_timeout = \"soon\"`: "), "{error}");
    }

    #[test]
    fn common_and_own_keys_are_told_apart() {
        let (common, own) =
            read::<ingest::Settings>(&table("renewal = false\nloses_spool = true")).expect("reads");
        assert!(!common.renewal && own.loses_spool);
    }
}
