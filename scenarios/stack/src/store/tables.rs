//! The tables of the archive, and the statements that change more than one of them.

use rusqlite::{Connection, Transaction, params};

use super::{ANALYST, Found};
use crate::{
    record::{AUTHORS, Enriched},
    secret,
};

const SCHEMA: &str = "
    CREATE TABLE records (
        id INTEGER PRIMARY KEY, number INTEGER NOT NULL, sent_us INTEGER NOT NULL, author TEXT NOT NULL,
        text TEXT NOT NULL, words INTEGER NOT NULL, stored_us INTEGER NOT NULL);
    CREATE INDEX records_by_author ON records (author);
    CREATE TABLE terms (
        term TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (term, number)) WITHOUT ROWID;
    CREATE TABLE activity (
        author TEXT PRIMARY KEY, records INTEGER NOT NULL, words INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE holds (name TEXT PRIMARY KEY, user TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE users (id TEXT PRIMARY KEY, salt TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE retention (id INTEGER PRIMARY KEY CHECK (id = 1), keep_us INTEGER NOT NULL);
";

/// Makes the tables, and the users that can log in.
pub fn create(transaction: &Transaction<'_>, idempotent: bool) -> rusqlite::Result<()> {
    let unique = if idempotent { "UNIQUE" } else { "" };
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(&format!("CREATE {unique} INDEX by_number ON records (number)"))?;
    for user in AUTHORS.into_iter().chain([ANALYST]) {
        let salt = secret::token();
        let digest = secret::digest(&salt, user);
        transaction.execute("INSERT INTO users VALUES (?1, ?2, ?3)", params![user, salt, digest])?;
    }
    Ok(())
}

/// Adds a record and what is derived from it. Gives 1 if it was new.
pub fn add_record(connection: &Connection, enriched: &Enriched, stored_us: u64) -> rusqlite::Result<usize> {
    let record = &enriched.record;
    let insert = "INSERT OR IGNORE INTO records (number, sent_us, author, text, words, stored_us)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (number, sent_us, stored_us) = (to_sql(record.number), to_sql(record.sent_us), to_sql(stored_us));
    let row = params![number, sent_us, record.author, record.text, enriched.words, stored_us];
    let new = connection.prepare_cached(insert)?.execute(row)?;
    if new == 0 {
        return Ok(0);
    }
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO terms VALUES (?1, ?2)")?;
    for term in &enriched.terms {
        insert.execute(params![term, number])?;
    }
    let count = "INSERT INTO activity VALUES (?1, 1, ?2)
                 ON CONFLICT (author) DO UPDATE SET records = records + 1, words = words + ?2";
    connection.prepare_cached(count)?.execute(params![record.author, enriched.words])?;
    Ok(new)
}

/// Empties the records that fit a condition on `?1`, and all that was derived from them. Gives how
/// many they were.
pub fn erase(connection: &Connection, which: &str, value: &dyn rusqlite::ToSql) -> rusqlite::Result<usize> {
    let derived = [
        format!("DELETE FROM terms WHERE number IN (SELECT number FROM records WHERE {which})"),
        format!(
            "UPDATE activity SET
                 records = records - (SELECT count(*) FROM records r WHERE r.author = activity.author AND {which}),
                 words = words - (SELECT coalesce(sum(words), 0) FROM records r WHERE r.author = activity.author AND {which})
             WHERE author IN (SELECT author FROM records WHERE {which})"
        ),
    ];
    for statement in derived {
        connection.execute(&statement, [value])?;
    }
    let erased = connection
        .execute(&format!("UPDATE records SET author = '', text = '', words = 0 WHERE {which}"), [value])?;
    connection.execute("DELETE FROM activity WHERE records = 0", [])?;
    Ok(erased)
}

/// A row of `number, author, text, stored_us`.
pub fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    let (number, stored_us) = (from_sql(row.get(0)?), from_sql(row.get(3)?));
    Ok(Found { number, author: row.get(1)?, text: row.get(2)?, stored_us })
}

/// Integers of `SQLite` are signed. Numbers and instants of ours are far from 2^63.
pub fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The way back.
pub fn from_sql(number: i64) -> u64 {
    number.try_into().unwrap_or(0)
}
