//! The tables of the database, and how one of an older version becomes one of this.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::error::Error;

/// The version of the tables that this notafter writes and reads; `user_version` in the file.
pub const VERSION: usize = MIGRATIONS.len();

/// Marks the file as ours (`application_id` of `SQLite`'s header): `naft`.
const APPLICATION: i32 = 0x6e61_6674;

/// From each version to the next. What is here was released and stays as it is.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE nights (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        began_us  INTEGER NOT NULL, -- since the Unix epoch
        accepted  INTEGER NOT NULL, -- whether it is normal, and what was before does not count
        summary   TEXT              -- as `nightly --json` prints it; null if it did not get there
    ) STRICT;
    CREATE TABLE runs (
        id           TEXT PRIMARY KEY,
        night        INTEGER REFERENCES nights, -- null if it was run by hand
        scenario     TEXT NOT NULL,
        runtime      TEXT NOT NULL,
        minute_us    INTEGER NOT NULL, -- what a minute of the incident takes
        profile      TEXT NOT NULL,    -- how notafter was built
        system       TEXT,             -- the file that it was run on, if not the scenario's own system
        began_us     INTEGER NOT NULL, -- since the Unix epoch
        version      TEXT NOT NULL,    -- of notafter
        commit_hash  TEXT,             -- of the repository in which it was run
        commit_dirty INTEGER,          -- whether files of it were changed
        folder       TEXT NOT NULL,    -- its evidence, as long as that is kept
        result       TEXT NOT NULL     -- as `run --json` prints it
    ) STRICT;
    CREATE INDEX runs_by_series ON runs (scenario, runtime, night);
    CREATE INDEX runs_by_time ON runs (began_us);
"];

/// Why a file cannot be used.
pub enum Refused {
    /// It is no database, or one of something else.
    Foreign(Option<rusqlite::Error>),
    /// A newer notafter wrote it.
    Newer(usize),
    /// `SQLite` says so.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign(Some(error)),
            _ => Self::Sqlite(error),
        }
    }
}

impl Refused {
    /// As a person is told, for this file.
    pub fn of(self, path: &Path) -> Error {
        let path = path.display();
        match self {
            Self::Foreign(why) => {
                let error = Error::usage(format!("{path} is no database of notafter, and is left as it is"));
                let error = if let Some(why) = why { error.because(why) } else { error };
                error.hint("choose another file with --db FILE")
            }
            Self::Newer(found) => {
                let what = format!("{path} has version {found}, and this notafter knows up to {VERSION}");
                Error::usage(what).hint("use the notafter that wrote it, or another file with --db FILE")
            }
            Self::Sqlite(error) => Error::new(format!("cannot open the database {path}")).because(error),
        }
    }
}

/// Makes what is missing. Two that do so at once wait for each other.
pub fn migrate(connection: &Connection) -> Result<(), Refused> {
    if version(connection)? == VERSION {
        return Ok(());
    }
    // Readers and a writer do not wait for each other then. Whoever is a moment late finds it done, or
    // goes on without.
    match connection.pragma_update(None, "journal_mode", "wal") {
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => return Err(error.into()),
        _ => {}
    }
    let change = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let version = version(&change)?;
    for migration in &MIGRATIONS[version..] {
        change.execute_batch(migration)?;
    }
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", i64::try_from(VERSION).unwrap_or(i64::MAX))?;
    change.commit()?;
    Ok(())
}

/// The version of a file that is ours or empty.
fn version(connection: &Connection) -> Result<usize, Refused> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    match (pragma("application_id")?, usize::try_from(pragma("user_version")?), tables) {
        (0, Ok(0), 0) => Ok(0),
        (id, Ok(version), _) if id == i64::from(APPLICATION) => {
            if version > VERSION {
                Err(Refused::Newer(version))
            } else {
                Ok(version)
            }
        }
        _ => Err(Refused::Foreign(None)),
    }
}
