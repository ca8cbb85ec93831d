//! What a service can be told beyond its place in the system; switched-on defects live here.

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
    /// Whether it keeps connections for the next request.
    pub pool: bool,
    /// What becomes of a connection when a certificate of it expires.
    pub open_connections: OpenConnections,
    /// Longest time for TCP and TLS of a connection.
    pub connect_timeout: Span,
    /// Longest time for a request, connection included.
    pub request_timeout: Span,
    /// Defect: the server lets in clients whose certificate does not verify, or that have none.
    pub fails_open: bool,
    /// Defect: nobody looks at expiry on open connections, and a reload keeps the pools.
    pub pools_past_expiry: bool,
    /// Defect: once it was ready it says so whatever goes wrong (spiffe/spire#1562).
    pub health_lies: bool,
    /// Defect: a replaced credential that makes no sense takes the place of the good one all the same.
    pub drops_what_was_good: bool,
    /// Defect: it looks for moved links only, so that files that are written where they are pass it by
    /// (hashicorp/consul#8198).
    pub watches_links_only: bool,
    /// Defect: it sees one replacement and none after it, as a watch that dies with the folder that it
    /// was set on (envoyproxy/envoy#9359).
    pub reloads_once: bool,
    /// Defect: a new leaf is taken into use, and the bundle of the start is kept (etcd-io/etcd#11555).
    pub bundle_read_once: bool,
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
    /// Defect: its credential is read once, at the start, whether or not it is there by then.
    pub reads_credential_once: bool,
    /// Defect: it tells the manager once where it is, whether or not the manager hears it.
    pub registers_once: bool,
    /// Defect: it registers only after this other service has.
    pub registers_after: String,
    /// Defect: if the manager is away when it is called, all who were turned away come back at the same
    /// moment: 200 connections, as soon as it listens.
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
            pool: true,
            open_connections: OpenConnections::default(),
            connect_timeout: Span(Duration::from_secs(1)),
            request_timeout: Span(Duration::from_secs(2)),
            fails_open: false,
            health_lies: false,
            drops_what_was_good: false,
            watches_links_only: false,
            reloads_once: false,
            bundle_read_once: false,
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
