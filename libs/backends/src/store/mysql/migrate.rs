//! The versions of the tables: files that are part of the binary, applied in their order and never changed.
//!
//! `anser migrate up` applies what is missing, under a lock of the database, so that two of them do it once. A server
//! whose tables have another version than this build knows is not written to.

use std::borrow::Cow;

use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError, Migration, MigrationType};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::address::Address;
use super::connect::{Servers, Session};
use super::fan_out::only_number;
use super::sql::{Columns, Sql};
use super::trouble::Trouble;
use crate::{Error, Kind, Result};

/// (version, what it is, its statements).
const MIGRATIONS: [(i64, &str, &str); 1] = [(1, "first", include_str!("migrations/0001_first.sql"))];

const TABLE: &str = "schema_migrations";
/// How long one try waits for the lock, less than a session waits for an answer, and how many there are.
const LOCK_SECONDS: u64 = 3;
const LOCK_TRIES_MAX: u32 = 40;
/// What makes tables as this build knows them.
const COMMAND: &str = "run `anser migrate up`";

/// A version of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Rises from 1.
    pub version: i64,
    /// What it is, in a word or two.
    pub name: String,
    /// The server has it.
    pub applied: bool,
    /// Its statements; empty where this build does not know it.
    pub sql: Cow<'static, str>,
}

/// Applies what is missing; answers the versions that it applied.
///
/// # Errors
/// `Transient` where the server cannot be reached or refuses; `Conflict` where its tables are newer than this build,
/// or not as a version made them.
pub(super) async fn up(url: &str) -> Result<Vec<Version>> {
    let mut session = connect(url).await?;
    let place = session.place().to_string();
    let before = status_of(&mut session).await?;
    refuse_unknown(&place, &before)?;
    let missing: Vec<Version> = before.into_iter().filter(|version| !version.applied).collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    lock(&mut session).await?;
    // The lock goes with the session, whatever comes of it.
    let applied = apply(session.connection()).await.map_err(|error| {
        let message = format!("{place}: its tables cannot be brought to version {}: {error}", latest());
        Error::new(Kind::Conflict, message).caused_by(error)
    })?;
    tracing::info!(target: "store", place, version = latest(), "tables are brought up to date");
    let missing = missing.into_iter().filter(|version| applied.contains(&version.version));
    Ok(missing.map(|version| Version { applied: true, ..version }).collect())
}

/// Waits until nobody else changes the tables of the database.
async fn lock(session: &mut Session) -> Result<()> {
    for _ in 0..LOCK_TRIES_MAX {
        let mut sql = Sql::new("SELECT GET_LOCK(CONCAT('anser_migrations_', MD5(DATABASE())), ");
        sql.number(LOCK_SECONDS).push(")");
        let answer = session.run_one(sql).await.map_err(Trouble::into_error)?;
        if only_number(&answer, "locks")? == Some(1) {
            return Ok(());
        }
    }
    let message = format!("{}: somebody else changes its tables already: try again later", session.place());
    Err(Error::new(Kind::Transient, message))
}

/// Applies what is missing, under the lock; answers which versions that were.
async fn apply(connection: &mut MySqlConnection) -> std::result::Result<Vec<i64>, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    let there = connection.list_applied_migrations(TABLE).await?;
    let mut applied = Vec::new();
    for one in &MIGRATIONS {
        if !there.iter().any(|there| there.version == one.0) {
            connection.apply(TABLE, &migration(one)).await?;
            applied.push(one.0);
        }
    }
    Ok(applied)
}

/// The versions that this build knows and those that the server has, ascending.
///
/// # Errors
/// As [`up`].
pub(super) async fn status(url: &str) -> Result<Vec<Version>> {
    status_of(&mut connect(url).await?).await
}

/// What [`up`] would apply, and changes nothing.
///
/// # Errors
/// As [`up`].
pub(super) async fn dry_run(url: &str) -> Result<Vec<Version>> {
    let mut session = connect(url).await?;
    let versions = status_of(&mut session).await?;
    refuse_unknown(session.place(), &versions)?;
    Ok(versions.into_iter().filter(|version| !version.applied).collect())
}

/// Tells whether the tables of a server are those that this build knows.
///
/// # Errors
/// `Missing` where they are older, `Conflict` where they are newer; each names what to do.
pub(super) async fn check(session: &mut Session) -> Result<()> {
    let versions = status_of(session).await?;
    refuse_unknown(session.place(), &versions)?;
    if let Some(missing) = versions.iter().find(|version| !version.applied) {
        let (place, version) = (session.place(), missing.version);
        let message = format!("{place}: version {version} of its tables is missing: {COMMAND}");
        return Err(Error::new(Kind::Missing, message));
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Session> {
    let (_, rest) = crate::open::by_scheme(url, "store", &["mysql"])?;
    Servers::new(Address::parse(rest)?).connect().await
}

fn latest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

fn migration((version, name, sql): &(i64, &'static str, &'static str)) -> Migration {
    let sql = AssertSqlSafe(*sql).into_sql_str();
    Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
}

fn refuse_unknown(place: &str, versions: &[Version]) -> Result<()> {
    match versions.iter().find(|version| version.version > latest()) {
        Some(newer) => {
            let (known, version) = (latest(), newer.version);
            let message = format!(
                "{place}: its tables have version {version} and this build knows {known}: run a newer build"
            );
            Err(Error::new(Kind::Conflict, message))
        }
        None => Ok(()),
    }
}

async fn status_of(session: &mut Session) -> Result<Vec<Version>> {
    let applied = applied(session).await?;
    let mut versions = Vec::new();
    for one in &MIGRATIONS {
        let (version, name, sql) = one;
        let found = applied.iter().find(|applied| applied.version == *version);
        if found.is_some_and(|found| found.checksum != migration(one).checksum) {
            let place = session.place();
            let message = format!("{place}: version {version} of its tables is not the one of this build");
            return Err(Error::new(Kind::Conflict, message));
        }
        let (name, sql) = ((*name).to_owned(), Cow::Borrowed(*sql));
        versions.push(Version { version: *version, name, applied: found.is_some(), sql });
    }
    for unknown in applied.iter().filter(|applied| applied.version > latest()) {
        let name = "of a newer build".to_owned();
        versions.push(Version { version: unknown.version, name, applied: true, sql: Cow::Borrowed("") });
    }
    Ok(versions)
}

/// The versions that the server has.
async fn applied(session: &mut Session) -> Result<Vec<AppliedMigration>> {
    let mut sql = Sql::new(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ",
    );
    sql.words(TABLE);
    let tables = session.run_one(sql).await.map_err(Trouble::into_error)?;
    if only_number(&tables, "tables")? == Some(0) {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT version FROM ");
    sql.push(TABLE).push(" WHERE success = 0 ORDER BY version LIMIT 1");
    let broken = session.run_one(sql).await.map_err(Trouble::into_error)?;
    if let Some(row) = broken.rows.first() {
        let version = Columns::of(row, TABLE).number()?;
        let place = session.place();
        let message = format!(
            "{place}: version {version} of its tables was applied in part: finish it by hand, then set success to 1 in {TABLE}"
        );
        return Err(Error::new(Kind::Conflict, message));
    }
    let place = session.place().to_string();
    session.connection().list_applied_migrations(TABLE).await.map_err(|error| {
        let message = format!("{place}: table {TABLE} cannot be read: {error}");
        Error::new(Kind::Transient, message).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_by_one_and_name_their_files() {
        for ((version, _, sql), expected) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(*version, expected);
            assert!(!sql.trim().is_empty());
        }
    }
}
