//! What the archive stores: records, holds, users and the retention policy, in `SQLite`.

mod tables;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use notafter::system::Span;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    record::{Enriched, terms},
    store::tables::{add_record, erase, found, from_sql, to_sql},
    wait,
};

/// The store. Writes are done by one thread, which commits together whatever has come meanwhile;
/// what was written is synced when the writer is told so.
#[derive(Clone, Debug)]
pub struct Store {
    writes: mpsc::Sender<Job>,
    reader: Arc<Mutex<Connection>>,
}

type Job = Box<dyn FnOnce(&Connection) -> Settle + Send>;
type Settle = Box<dyn FnOnce(Result<(), String>)>;

/// What the archive says of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Who wrote it; empty once it was erased.
    pub author: String,
    /// What they wrote; empty once it was erased.
    pub text: String,
    /// When it was stored, microseconds since the Unix epoch.
    pub stored_us: u64,
}

/// What one author has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The author.
    pub author: String,
    /// How many records.
    pub records: u64,
    /// How many words.
    pub words: u64,
}

/// A user, as far as auth has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's name.
    pub id: String,
    /// Random, hexadecimal.
    pub salt: String,
    /// Digest of salt and password; see [`crate::secret::digest`].
    pub digest: String,
}

/// Keeps a user's data from being erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Name of the hold; the same name twice is the same hold.
    pub name: String,
    /// Whose data.
    pub user: String,
}

/// Erasing was refused: somebody holds the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnHold(
    /// The hold.
    pub String,
);

/// Someone who can log in, beside the authors; the password is the name.
pub const ANALYST: &str = "analyst";

impl Store {
    /// Opens the store in this file, which is made if there is none. Without `idempotent` a record
    /// that comes twice is stored twice.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(path: &Path, idempotent: bool) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            // There is nothing to lose yet, and syncing every step would double the time to start.
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            let transaction = connection.transaction()?;
            tables::create(&transaction, idempotent)?;
            transaction.pragma_update(None, "user_version", 1)?;
            transaction.commit()?;
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        let (writes, jobs) = mpsc::channel();
        thread::spawn(move || write(&connection, &jobs));
        Ok(Self { writes, reader: Arc::new(Mutex::new(Connection::open(path)?)) })
    }

    /// Stores records. Gives how many were new.
    ///
    /// # Errors
    /// If they cannot be written and synced: then none of them is stored.
    pub async fn add(&self, records: Vec<Enriched>) -> Result<usize, String> {
        self.write(move |connection| {
            let stored_us = wait::unix_us();
            let mut new = 0;
            for record in &records {
                new += add_record(connection, record, stored_us)?;
            }
            Ok(new)
        })
        .await
    }

    /// Puts a user's data on hold.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn hold(&self, hold: Hold) -> Result<(), String> {
        self.write(move |connection| {
            let insert = "INSERT INTO holds VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET user = ?2";
            connection.execute(insert, params![hold.name, hold.user]).map(drop)
        })
        .await
    }

    /// Erases a user and what they wrote, unless it is on hold. The numbers of the records stay, so
    /// that the ledger stays whole. Gives how many records were erased.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_user(&self, id: String) -> Result<Result<usize, OnHold>, String> {
        self.write(move |connection| {
            let held = "SELECT name FROM holds WHERE user = ?1 LIMIT 1";
            if let Some(hold) = connection.query_row(held, [&id], |row| row.get(0)).optional()? {
                return Ok(Err(OnHold(hold)));
            }
            connection.execute("DELETE FROM users WHERE id = ?1", [&id])?;
            erase(connection, "author = ?1", &id).map(Ok)
        })
        .await
    }

    /// Sets how long texts are kept, and erases those that are older and not on hold. Gives how
    /// many were erased.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn retain(&self, keep: Span) -> Result<usize, String> {
        self.write(move |connection| {
            let keep_us = i64::try_from(keep.0.as_micros()).unwrap_or(i64::MAX);
            connection.execute("INSERT OR REPLACE INTO retention VALUES (1, ?1)", [keep_us])?;
            let before = to_sql(wait::unix_us()).saturating_sub(keep_us);
            let old = "sent_us < ?1 AND author != '' AND author NOT IN (SELECT user FROM holds)";
            erase(connection, old, &before)
        })
        .await
    }

    /// The record of this number.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn record(&self, number: u64) -> Result<Option<Found>, String> {
        let one = "SELECT number, author, text, stored_us FROM records WHERE number = ?1 LIMIT 1";
        self.read(move |connection| {
            connection.prepare_cached(one)?.query_row([to_sql(number)], found).optional()
        })
        .await
    }

    /// The newest records that contain every word of the query, 20 at most.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn search(&self, query: &str) -> Result<Vec<Found>, String> {
        let words: Vec<String> = terms(query).take(8).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let also = " AND EXISTS (SELECT 1 FROM terms o WHERE o.term = ? AND o.number = t.number)";
        let also = also.repeat(words.len() - 1);
        let select = format!(
            "SELECT r.number, r.author, r.text, r.stored_us FROM terms t JOIN records r ON r.number = t.number
             WHERE t.term = ?{also} ORDER BY t.number DESC LIMIT 20"
        );
        self.read(move |connection| {
            connection.prepare_cached(&select)?.query_map(params_from_iter(words), found)?.collect()
        })
        .await
    }

    /// What each author has written, by name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn activity(&self) -> Result<Vec<Activity>, String> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT author, records, words FROM activity")?;
            let activity = select.query_map([], |row| {
                let (records, words) = (from_sql(row.get(1)?), from_sql(row.get(2)?));
                Ok(Activity { author: row.get(0)?, records, words })
            })?;
            activity.collect()
        })
        .await
    }

    /// A user.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn user(&self, id: String) -> Result<Option<User>, String> {
        self.read(move |connection| {
            let mut select = connection.prepare_cached("SELECT salt, digest FROM users WHERE id = ?1")?;
            let user = select
                .query_row([&id], |row| Ok(User { id: id.clone(), salt: row.get(0)?, digest: row.get(1)? }));
            user.optional()
        })
        .await
    }

    /// Every stored record after a number: its number, when it was stored first (microseconds since
    /// the Unix epoch), and how many copies of it there are.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn ledger(&self, after: u64) -> Result<Vec<(u64, u64, u32)>, String> {
        let select = "SELECT number, min(stored_us), count(*) FROM records WHERE number > ?1 GROUP BY number";
        self.read(move |connection| {
            let mut select = connection.prepare_cached(select)?;
            let rows = select.query_map([to_sql(after)], |row| {
                Ok((from_sql(row.get(0)?), from_sql(row.get(1)?), row.get(2)?))
            })?;
            rows.collect()
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = in_savepoint(connection, work);
            Box::new(move |committed| drop(answer.send(committed.and(done))))
        });
        self.writes.send(job).map_err(|_| "the store is closed".to_owned())?;
        answered.await.map_err(|_| "the store is closed".to_owned())?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let reader = self.reader.clone();
        let read = move || work(&reader.lock().unwrap_or_else(PoisonError::into_inner));
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// Does what comes, as much as has come in one transaction, until nobody can send any more.
fn write(connection: &Connection, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let settle: Vec<Settle> =
            std::iter::once(first).chain(jobs.try_iter()).map(|job| job(connection)).collect();
        let committed =
            begun.and_then(|()| connection.execute_batch("COMMIT")).map_err(|error| error.to_string());
        if committed.is_err() {
            // Fails where nothing was begun, which is as good.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for settle in settle {
            settle(committed.clone());
        }
    }
}

/// Does one job of several in a transaction: if it fails, it alone is undone.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, String> {
    let done = connection.execute_batch("SAVEPOINT job").and_then(|()| work(connection));
    let end = if done.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    let ended = connection.execute_batch(end);
    done.and_then(|done| ended.map(|()| done)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::record::Record;

    fn store(idempotent: bool) -> (Store, TempDir) {
        let folder = tempdir().expect("folder");
        (Store::open(&folder.path().join("archive.db"), idempotent).expect("opens"), folder)
    }

    fn records(numbers: &[u64]) -> Vec<Enriched> {
        numbers.iter().map(|number| Enriched::from(Record::numbered(*number, 1))).collect()
    }

    #[tokio::test]
    async fn a_record_that_comes_twice_is_stored_once() {
        let (store, _folder) = store(true);
        assert_eq!(store.add(records(&[1, 2])).await, Ok(2));
        assert_eq!(store.add(records(&[2, 3])).await, Ok(1));
        let copies: Vec<_> =
            store.ledger(0).await.expect("ledger").iter().map(|row| (row.0, row.2)).collect();
        assert_eq!(copies, [(1, 1), (2, 1), (3, 1)]);
    }

    #[tokio::test]
    async fn an_archive_that_is_not_idempotent_shows_copies() {
        let (store, _folder) = store(false);
        store.add(records(&[1])).await.expect("stores");
        store.add(records(&[1])).await.expect("stores");
        assert_eq!(store.ledger(0).await.expect("ledger")[0].2, 2);
    }

    #[tokio::test]
    async fn a_record_is_found_by_all_of_its_words_together() {
        let (store, _folder) = store(true);
        store.add(records(&[1, 2, 3])).await.expect("stores");
        let found = store.search("Invoice 2").await.expect("searches");
        assert_eq!(found.iter().map(|found| found.number).collect::<Vec<_>>(), [2]);
        assert_eq!(store.search("invoice 2 never").await.expect("searches"), []);
    }

    #[tokio::test]
    async fn a_removed_user_leaves_numbers_only() {
        let (store, _folder) = store(true);
        store.add(records(&[1, 2])).await.expect("stores");
        assert_eq!(store.remove_user("barbara".into()).await, Ok(Ok(1)));
        let erased = store.record(1).await.expect("reads").expect("is there");
        assert_eq!((erased.author, erased.text), (String::new(), String::new()));
        assert_eq!(store.user("barbara".into()).await, Ok(None));
        let authors: Vec<_> = store.activity().await.expect("reads").into_iter().map(|a| a.author).collect();
        assert_eq!(authors, ["edsger"]);
        assert_eq!(store.search("1").await.expect("searches"), []);
        assert_eq!(store.ledger(0).await.expect("ledger").len(), 2);
    }

    #[tokio::test]
    async fn data_on_hold_is_not_erased() {
        let (store, _folder) = store(true);
        store.add(records(&[1, 2])).await.expect("stores");
        store.hold(Hold { name: "case-7".into(), user: "barbara".into() }).await.expect("holds");
        assert_eq!(store.remove_user("barbara".into()).await, Ok(Err(OnHold("case-7".into()))));
        assert_eq!(store.retain(Span::default()).await, Ok(1), "the other author's record");
        assert_eq!(store.record(1).await.expect("reads").expect("is there").author, "barbara");
    }
}
