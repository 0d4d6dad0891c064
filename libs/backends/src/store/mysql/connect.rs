//! Connections to the server that is written to, and what every session of them is set to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Either};

use super::address::{Address, Server};
use super::pair;
use super::sql::{Answer, Columns, Sql};
use super::trouble::Trouble;
use crate::{Error, Kind, Result};

/// How long a server may take to let somebody in.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// How long it may take for one packet of statements: beyond it, nothing is known of them.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What a session is set to. It waits a second for a lock, so that a box that somebody holds is found soon; where a
/// process is paused in the middle of a transaction, the server ends it and frees what it held.
const SETTINGS: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'; \
     SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION innodb_lock_wait_timeout = 1; \
     SET SESSION autocommit = 1 /*M!100300 , SESSION idle_transaction_timeout = 5 */; \
     SELECT @@GLOBAL.read_only";

/// The servers of a store, as connections are made to them.
pub(super) struct Servers {
    address: Address,
    place: Arc<str>,
}

/// A connection that is signed in and set up.
pub(super) struct Session {
    connection: MySqlConnection,
    place: Arc<str>,
}

impl Servers {
    pub(super) fn new(address: Address) -> Self {
        let place = address.place().into();
        Self { address, place }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How the store is named in logs and messages.
    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    /// Connects to the server that is written to.
    pub(super) async fn connect(&self) -> Result<Session> {
        pair::writer(self).await
    }

    /// Connects to one server; tells whether it is read-only.
    pub(super) async fn connect_to(&self, server: &Server) -> Result<(Session, bool)> {
        let place: Arc<str> = format!("database {} on {server}", self.address.database()).into();
        let options = self.address.options(server);
        let connection = match tokio::time::timeout(CONNECT_TIME, options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(not_let_in(&place, self.address.user(), error)),
            Err(_) => {
                let message = format!("{place} lets nobody in within {CONNECT_TIME:?}");
                return Err(Error::new(Kind::Transient, message));
            }
        };
        let mut session = Session { connection, place };
        let answers = session.run(Sql::new(SETTINGS)).await.map_err(Trouble::into_error)?;
        let row = answers.last().and_then(|answer| answer.rows.first());
        let read_only = match row {
            Some(row) => Columns::of(row, "variables").flag()?,
            None => true,
        };
        Ok((session, read_only))
    }
}

/// Why a server does not let us in.
fn not_let_in(place: &Arc<str>, user: &str, error: sqlx::Error) -> Error {
    let number = match &error {
        sqlx::Error::Database(said) => {
            said.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number)
        }
        _ => 0,
    };
    match number {
        1044 | 1045 | 1698 => Error::new(
            Kind::Missing,
            format!("{place} does not know user {user} with that password: set them in store.url"),
        ),
        1049 => Error::new(Kind::Missing, format!("{place} is not there: create the database")),
        _ => {
            let error = Trouble::of(place, error).into_error();
            Error::new(Kind::Transient, error.to_string())
        }
    }
}

impl Session {
    /// Sends statements in one packet and answers what each of them answered. The first that fails ends them.
    pub(super) async fn run(&mut self, sql: Sql) -> std::result::Result<Vec<Answer>, Trouble> {
        let place = Arc::clone(&self.place);
        match tokio::time::timeout(ANSWER_TIME, self.answers(sql)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(Trouble::of(&place, error)),
            Err(_) => {
                let message = format!("{place} does not answer within {ANSWER_TIME:?}");
                Err(Trouble::Lost(Error::new(Kind::Transient, message)))
            }
        }
    }

    /// As [`Self::run`], for one statement.
    pub(super) async fn run_one(&mut self, sql: Sql) -> std::result::Result<Answer, Trouble> {
        Ok(self.run(sql).await?.pop().unwrap_or_default())
    }

    async fn answers(&mut self, sql: Sql) -> sqlx::Result<Vec<Answer>> {
        let mut answers = Vec::new();
        let mut answer = Answer::default();
        let mut told = sqlx::raw_sql(AssertSqlSafe(sql.into_text())).fetch_many(&mut self.connection);
        while let Some(next) = told.try_next().await? {
            match next {
                Either::Left(done) => {
                    answer.affected = done.rows_affected();
                    answers.push(std::mem::take(&mut answer));
                }
                Either::Right(row) => answer.rows.push(row),
            }
        }
        Ok(answers)
    }

    /// Gives up what was begun, so that the session can be used for something else.
    pub(super) async fn roll_back(&mut self) -> std::result::Result<(), Trouble> {
        self.run(Sql::new("ROLLBACK")).await.map(drop)
    }

    /// How the server is named in logs and messages.
    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
        &mut self.connection
    }
}
