//! Looks at certificates again and again, and keeps what the last finished look saw for whoever asks.
//!
//! A question never starts a look: what watching costs depends on the cadence, not on who asks how often.

mod serve;

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper::body::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    error::{Error, Result},
    inventory::{
        Inventory, Owners, Source,
        openmetrics::{EOF, samples},
    },
};

pub use serve::serve;

/// No look is given up earlier: a server that does not answer takes half of it.
const LEAST_LIMIT: Duration = Duration::from_secs(10);

/// What the last finished look saw and what is known of the watcher, as `OpenMetrics`.
pub type Page = watch::Receiver<Bytes>;

/// Looks, and tells what it saw.
pub struct Watcher<L> {
    look: L,
    owners: Arc<Owners>,
    every: Duration,
    page: watch::Sender<Bytes>,
    last: Last,
    counts: Counts,
}

/// The last look that finished.
struct Last {
    /// The certificates that it saw, as samples.
    samples: String,
    /// When it ended; before there is one, when watching began.
    at: SystemTime,
    /// What it took.
    took: Option<Duration>,
}

/// How looks ended.
#[derive(Default)]
struct Counts {
    finished: u64,
    failed: u64,
    given_up: u64,
}

impl<L, F> Watcher<L>
where
    L: Fn() -> F,
    F: Future<Output = Result<(Vec<Source>, u64)>>,
{
    /// One who has not looked yet. A look gives what was found, and how many files were looked at.
    pub fn new(look: L, owners: Owners, every: Duration) -> Self {
        let last = Last { samples: String::new(), at: SystemTime::now(), took: None };
        let page = watch::Sender::new(Bytes::new());
        let watcher = Self { look, owners: Arc::new(owners), every, page, last, counts: Counts::default() };
        watcher.tell();
        watcher
    }

    /// What it tells, now and later.
    pub fn page(&self) -> Page {
        self.page.subscribe()
    }

    /// After so long a look is given up.
    pub fn limit(&self) -> Duration {
        self.every.max(LEAST_LIMIT)
    }

    /// Looks once. If that fails, it goes on to tell what it saw before.
    ///
    /// # Errors
    /// If the look fails, or takes longer than [`Self::limit`].
    pub async fn look(&mut self) -> Result<()> {
        let limit = self.limit();
        self.look_within(limit).await
    }

    async fn look_within(&mut self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let seen = match timeout(limit, self.samples()).await {
            Ok(Ok(samples)) => {
                self.counts.finished += 1;
                self.last = Last { samples, at: SystemTime::now(), took: Some(began.elapsed()) };
                Ok(())
            }
            Ok(Err(error)) => {
                self.counts.failed += 1;
                Err(error)
            }
            Err(_) => {
                self.counts.given_up += 1;
                Err(Error::new(format!("a look took longer than {limit:?} and was given up"))
                    .hint("a disk may hang; if there is only much to look at, look less often: --every 5m"))
            }
        };
        self.tell();
        seen
    }

    async fn samples(&self) -> Result<String> {
        let (sources, files) = (self.look)().await?;
        let owners = self.owners.clone();
        // A hundred thousand certificates keep a core busy for a while.
        let judging = tokio::task::spawn_blocking(move || {
            let now = i64::try_from(unix(SystemTime::now()).as_secs()).unwrap_or(i64::MAX);
            samples(&Inventory::of(sources, files, &owners, now))
        });
        judging.await.map_err(Error::bug)
    }

    /// Puts together what is told from now on.
    fn tell(&self) {
        let Last { samples, at, took } = &self.last;
        let mut text = String::with_capacity(samples.len() + 1024);
        text.push_str(samples);
        let mut gauge = |name: &str, help: &str, seconds: Duration| {
            let _ = writeln!(
                text,
                "# TYPE {name} gauge\n# UNIT {name} seconds\n# HELP {name} {help}\n{name} {}",
                seconds.as_secs_f64()
            );
        };
        gauge("notafter_watch_every_seconds", "How often the watcher looks.", self.every);
        gauge(
            "notafter_watch_last_look_timestamp_seconds",
            "When the last finished look ended, or the watcher started, Unix time.",
            unix(*at),
        );
        if let Some(took) = took {
            gauge("notafter_watch_look_duration_seconds", "What the last finished look took.", *took);
        }
        text.push_str(
            "# TYPE notafter_watch_looks counter\n# HELP notafter_watch_looks How many looks ended, and how.\n",
        );
        let Counts { finished, failed, given_up } = self.counts;
        for (outcome, count) in [("finished", finished), ("failed", failed), ("given-up", given_up)] {
            let _ = writeln!(text, "notafter_watch_looks_total{{outcome=\"{outcome}\"}} {count}");
        }
        text.push_str(EOF);
        self.page.send_replace(text.into());
    }
}

/// Since 1970.
fn unix(instant: SystemTime) -> Duration {
    instant.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::{
        inventory::{Form, decode},
        pki::{Authority, Identity, Validity},
    };

    /// One server, which presents a certificate of an authority of its own.
    fn server() -> (Vec<Source>, u64) {
        let authority = Authority::new("mesh").expect("an authority");
        let lasting = Validity::lasting(Duration::from_hours(1));
        let credential = authority.issue(&Identity::service("archive"), lasting).expect("a credential");
        let mut found = decode::Decoder::new(&[]).decode(credential.chain_pem().as_bytes(), true);
        found.form = Form::Wire;
        (vec![Source { at: "127.3.0.9:8443".into(), found, ..Source::default() }], 0)
    }

    fn told(page: &Page) -> String {
        String::from_utf8(page.borrow().to_vec()).expect("UTF-8")
    }

    fn value(page: &Page, sample: &str) -> String {
        let text = told(page);
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).to_owned()
    }

    #[tokio::test]
    async fn before_the_first_look_only_the_watcher_is_told_and_it_is_not_blind_yet() {
        let before = SystemTime::now();
        let watcher = Watcher::new(async || Ok(server()), Owners::default(), Duration::from_secs(30));
        let page = watcher.page();
        let at: f64 = value(&page, "notafter_watch_last_look_timestamp_seconds").parse().expect("seconds");
        assert!(at >= unix(before).as_secs_f64(), "{at}");
        assert_eq!(value(&page, "notafter_watch_looks_total{outcome=\"finished\"}"), "0");
        assert!(!told(&page).contains("duration") && !told(&page).contains("x509"), "{}", told(&page));
        assert!(told(&page).ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_given_up_and_what_was_seen_before_is_told_on() {
        let (go_on, hang) = (Duration::from_mins(1), Duration::from_millis(1));
        let hangs = std::cell::Cell::new(false);
        let look = async || if hangs.get() { pending().await } else { Ok(server()) };
        let mut watcher = Watcher::new(look, Owners::default(), Duration::from_secs(30));
        let page = watcher.page();
        watcher.look_within(go_on).await.expect("a look");
        let at = value(&page, "notafter_watch_last_look_timestamp_seconds");
        assert!(
            told(&page).contains("x509_cert_not_after{endpoint=\"127.3.0.9:8443\",subject_CN=\"archive\"")
        );
        hangs.set(true);
        let error = watcher.look_within(hang).await.expect_err("it hangs").to_string();
        assert_eq!(
            error,
            "a look took longer than 1ms and was given up\nhint: a disk may hang; if there is only much to \
             look at, look less often: --every 5m"
        );
        assert_eq!(value(&page, "notafter_watch_last_look_timestamp_seconds"), at, "it is as old as it is");
        assert_eq!(value(&page, "notafter_watch_looks_total{outcome=\"given-up\"}"), "1");
        assert!(told(&page).contains("x509_cert_not_after{endpoint=\"127.3.0.9:8443\""), "{}", told(&page));
        hangs.set(false);
        watcher.look_within(go_on).await.expect("a look");
        assert_eq!(value(&page, "notafter_watch_looks_total{outcome=\"finished\"}"), "2");
    }

    #[tokio::test]
    async fn a_look_that_fails_is_counted_as_such() {
        let look = async || Err(Error::new("nothing to look at"));
        let mut watcher = Watcher::new(look, Owners::default(), Duration::from_secs(30));
        let page = watcher.page();
        assert_eq!(watcher.look().await.expect_err("it fails").to_string(), "nothing to look at");
        assert_eq!(value(&page, "notafter_watch_looks_total{outcome=\"failed\"}"), "1");
    }
}
