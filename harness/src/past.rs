//! Finished runs of the past, in one `SQLite` database that outlives their evidence.
//!
//! Each run is one row: what it was, and its result as [`report::json`](crate::report::json) gives it, so
//! that nothing is measured twice. A run that is recorded is committed; a writer that is killed loses the
//! run that it was about to record and nothing else, and writers wait for each other.

mod judged;
mod kept;
mod schema;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use globset::GlobMatcher;
use rusqlite::{Connection, OpenFlags, Params, Row, params};

use crate::error::{Context, Error, Result};

pub use judged::{Judged, Lasted, taken};
pub use kept::{CheckKept, Commit, Kept, MeasurementsKept, RecordsKept, ResultKept, Series};
pub use schema::VERSION;

/// So long a writer waits for another one, which needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A night: one call of `notafter nightly`, by a number that grows.
pub type Night = i64;

/// The database.
#[derive(Debug)]
pub struct Past {
    connection: Connection,
    path: PathBuf,
}

impl Past {
    /// Opens the database to write into it; makes it, and its folder, if there is none.
    ///
    /// # Errors
    /// If that cannot be, or the file is something else, or a newer notafter wrote it.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| cannot_open(path, error))?;
        }
        let connection = Connection::open(path);
        let past = Self::with(connection, path)?;
        schema::migrate(&past.connection).map_err(|error| error.of(path))?;
        Ok(past)
    }

    /// Opens the database to read; none if there is no such file yet.
    ///
    /// # Errors
    /// If it cannot be read, or the file is something else, or a newer notafter wrote it.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        // A reader, too, has to be able to roll back what a killed writer left behind.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
        let past = Self::with(connection, path)?;
        schema::migrate(&past.connection).map_err(|error| error.of(path))?;
        Ok(Some(past))
    }

    fn with(connection: rusqlite::Result<Connection>, path: &Path) -> Result<Self> {
        let connection = connection.and_then(|connection| {
            connection.busy_timeout(PATIENCE)?;
            Ok(connection)
        });
        let connection = connection.map_err(|error| cannot_open(path, error))?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records a finished run.
    ///
    /// # Errors
    /// If it cannot be written, or a run of this id is there.
    pub fn record(&self, kept: &Kept) -> Result<()> {
        let Kept { id, night, series, began, version, commit, folder, json, .. } = kept;
        let (hash, dirty) = commit.as_ref().map(|commit| (&commit.hash, commit.dirty)).unzip();
        self.change(
            "INSERT INTO runs (id, night, scenario, runtime, minute_us, profile, system, began_us, version,
                               commit_hash, commit_dirty, folder, result)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                id,
                night,
                series.scenario,
                series.runtime,
                series.minute_us.cast_signed(),
                series.profile,
                series.system,
                began.cast_signed(),
                version,
                hash,
                dirty,
                folder.to_string_lossy(),
                json,
            ],
        )?;
        Ok(())
    }

    /// Begins a night. What is in an accepted night is normal, and what was before it does not count.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin_night(&self, accepted: bool) -> Result<Night> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = crate::clock::micros(now).cast_signed();
        self.change("INSERT INTO nights (began_us, accepted) VALUES (?1, ?2)", params![began, accepted])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Keeps what was said of a night.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end_night(&self, night: Night, summary: &str) -> Result<()> {
        self.change("UPDATE nights SET summary = ?2 WHERE id = ?1", params![night, summary])?;
        Ok(())
    }

    /// The runs of a series in nights before this one, oldest night first: since the latest of those
    /// nights that was accepted for it, and whether there is such a night.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn nights(&self, series: &Series, before: Night) -> Result<(Vec<Vec<Kept>>, bool)> {
        let Series { scenario, runtime, minute_us, profile, system } = series;
        let minute_us = minute_us.cast_signed();
        let of_series = "runs.scenario = ?1 AND runs.runtime = ?2 AND runs.minute_us = ?3
                         AND runs.profile = ?4 AND runs.system IS ?5 AND runs.night < ?6";
        let is_series = params![scenario, runtime, minute_us, profile, system, before];
        let accepted: Option<Night> = self.look(|connection| {
            let query = format!(
                "SELECT max(nights.id) FROM nights JOIN runs ON runs.night = nights.id
                 WHERE nights.accepted AND {of_series}"
            );
            connection.query_row(&query, is_series, |row| row.get(0))
        })?;
        let mut nights: Vec<Vec<Kept>> = Vec::new();
        let since = accepted.unwrap_or(0);
        let query = format!("WHERE {of_series} AND runs.night >= {since} ORDER BY night, began_us");
        for run in self.select(&query, is_series)? {
            match nights.last_mut() {
                Some(night) if night[0].night == run.night => night.push(run),
                _ => nights.push(vec![run]),
            }
        }
        Ok((nights, accepted.is_some()))
    }

    /// The latest runs of scenarios that match, oldest first; all if no number is given.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn latest(&self, scenarios: Option<&GlobMatcher>, most: Option<usize>) -> Result<Vec<Kept>> {
        let mut runs = self.select("ORDER BY began_us, id", [])?;
        runs.retain(|run| scenarios.is_none_or(|glob| glob.is_match(&run.series.scenario)));
        let surplus = most.map_or(0, |most| runs.len().saturating_sub(most));
        runs.drain(..surplus);
        Ok(runs)
    }

    /// The run that a person means: its id, how its id ends, or `last`.
    ///
    /// # Errors
    /// If there is none, or more than one, or it cannot be read.
    pub fn find(&self, name: &str) -> Result<Kept> {
        let mut found = if name == "last" {
            self.select("ORDER BY began_us DESC LIMIT 1", [])?
        } else {
            self.select("WHERE id = ?1 OR substr(id, -length(?1)) = ?1 ORDER BY id != ?1, id", [name])?
        };
        let ambiguous = found.len() > 1 && found[0].id != name;
        if ambiguous {
            let ids: Vec<_> = found.iter().map(|run| format!("`{}`", run.id)).collect();
            return Err(Error::usage(format!("`{name}` is how {} runs end", found.len()))
                .hint(format!("choose one of {}", crate::words::list(&ids, 5))));
        }
        if found.is_empty() {
            return Err(Error::usage(format!("no run in {} is called `{name}`", self.path.display()))
                .hint("`notafter history` shows them; `last` is the latest"));
        }
        Ok(found.swap_remove(0))
    }

    fn select(&self, rest: &str, params: impl Params) -> Result<Vec<Kept>> {
        let query = format!(
            "SELECT id, night, scenario, runtime, minute_us, profile, system, began_us, version,
                    commit_hash, commit_dirty, folder, result FROM runs {rest}"
        );
        let rows: Vec<Result<Kept>> = self.look(|connection| {
            let mut statement = connection.prepare(&query)?;
            statement.query_map(params, |row| self.kept(row))?.collect()
        })?;
        rows.into_iter().collect()
    }

    /// A run from its row; a result that does not read is an error of its own.
    fn kept(&self, row: &Row<'_>) -> rusqlite::Result<Result<Kept>> {
        let hash: Option<String> = row.get(9)?;
        let dirty: Option<bool> = row.get(10)?;
        let (id, json): (String, String) = (row.get(0)?, row.get(12)?);
        let result = match serde_json::from_str(&json) {
            Ok(result) => result,
            Err(error) => {
                let what = format!("the result of run {id} in {} does not read", self.path.display());
                return Ok(Err(Error::new(what).because(error)));
            }
        };
        Ok(Ok(Kept {
            id,
            night: row.get(1)?,
            series: Series {
                scenario: row.get(2)?,
                runtime: row.get(3)?,
                minute_us: row.get::<_, i64>(4)?.cast_unsigned(),
                profile: row.get(5)?,
                system: row.get(6)?,
            },
            began: row.get::<_, i64>(7)?.cast_unsigned(),
            version: row.get(8)?,
            commit: hash.map(|hash| Commit { hash, dirty: dirty.unwrap_or(false) }),
            folder: row.get::<_, String>(11)?.into(),
            result,
            json,
        }))
    }

    fn look<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        look(&self.connection).context(|| format!("cannot read the database {}", self.path.display()))
    }

    fn change(&self, statement: &str, params: impl Params) -> Result<usize> {
        self.connection
            .execute(statement, params)
            .context(|| format!("cannot write into the database {}", self.path.display()))
    }
}

fn cannot_open(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::usage(format!("cannot open the database {}", path.display()))
        .because(error)
        .hint("choose another place with --db FILE or NOTAFTER_STATE")
}
