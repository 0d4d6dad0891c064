//! Why a transaction did not come through, and what is to be done about it.

use sqlx::mysql::MySqlDatabaseError;

use crate::{Error, Kind};

/// Numbers of the server's errors.
mod number {
    pub(super) const CANNOT_COMMIT: u16 = 1180;
    pub(super) const TOO_MANY_CONNECTIONS: u16 = 1040;
    pub(super) const SHUTDOWN: u16 = 1053;
    pub(super) const DUPLICATE: u16 = 1062;
    pub(super) const LOCK_WAIT: u16 = 1205;
    pub(super) const DEADLOCK: u16 = 1213;
    pub(super) const INTERRUPTED: u16 = 1317;
    pub(super) const READ_ONLY: u16 = 1290;
    pub(super) const READ_ONLY_ENGINE: u16 = 1792;
    pub(super) const KILLED: u16 = 1927;
    pub(super) const TOO_MANY_OF_USER: u16 = 1203;
}

/// Why a transaction did not come through.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody else held what it wanted for too long; nothing was written.
    Waited(Error),
    /// Somebody else wrote what it wanted to write, or the two waited for each other; nothing was written.
    Raced(Error),
    /// The connection is of no use any more. What was sent last may have been carried out.
    Lost(Error),
    /// It would fail again; nothing was written.
    Failed(Error),
}

impl Trouble {
    /// What the server or the connection said.
    pub(super) fn of(place: &str, error: sqlx::Error) -> Self {
        let said = match &error {
            sqlx::Error::Database(said) => said.try_downcast_ref::<MySqlDatabaseError>(),
            _ => None,
        };
        let told = |kind, error| {
            // A message of the server may have a part of a statement in it, and so of what somebody wrote.
            let what = match &error {
                sqlx::Error::Database(_) => format!("{place} refuses: error {}", number_of(&error)),
                sqlx::Error::Io(error) => format!("{place} is not reached: {error}"),
                other => format!("{place} is not understood: {}", brief(other)),
            };
            Error::new(kind, what)
        };
        match said.map(MySqlDatabaseError::number) {
            Some(number::LOCK_WAIT) => Self::Waited(told(Kind::Transient, error)),
            Some(number::DEADLOCK | number::DUPLICATE) => Self::Raced(told(Kind::Transient, error)),
            Some(
                number::CANNOT_COMMIT
                | number::SHUTDOWN
                | number::INTERRUPTED
                | number::READ_ONLY
                | number::READ_ONLY_ENGINE
                | number::KILLED
                | number::TOO_MANY_CONNECTIONS
                | number::TOO_MANY_OF_USER,
            ) => Self::Lost(told(Kind::Transient, error)),
            Some(_) => Self::Failed(told(Kind::Corrupt, error)),
            None => Self::Lost(told(Kind::Transient, error)),
        }
    }

    /// What the caller is told.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Waited(error) | Self::Raced(error) | Self::Lost(error) | Self::Failed(error) => error,
        }
    }
}

impl From<Error> for Trouble {
    /// What was read cannot be understood, or must not be done.
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn number_of(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(said) = error else { return String::new() };
    match said.try_downcast_ref::<MySqlDatabaseError>() {
        Some(said) => format!("{} {}", said.number(), meaning_of(said.number())),
        None => "of another kind of server".to_owned(),
    }
}

/// What an operator must know of a number, in words.
fn meaning_of(number: u16) -> &'static str {
    match number {
        number::CANNOT_COMMIT => "(the commit failed: look at its disk and log)",
        number::TOO_MANY_CONNECTIONS | number::TOO_MANY_OF_USER => {
            "(too many connections: raise max_connections)"
        }
        number::SHUTDOWN | number::KILLED | number::INTERRUPTED => {
            "(it is stopping, or ended this connection)"
        }
        number::READ_ONLY | number::READ_ONLY_ENGINE => "(it is read-only)",
        number::DUPLICATE | number::DEADLOCK => "(somebody else writes the same)",
        number::LOCK_WAIT => "(somebody else holds the same for long)",
        1044 | 1045 | 1142 | 1143 => "(the user may not: grant it what the operations guide names)",
        1049 => "(there is no such database: create it)",
        1054 | 1146 => "(a table or column is missing: run `anser migrate up`)",
        1114 | 1021 => "(no room: look at its disk)",
        1153 => "(a packet is too large: raise max_allowed_packet)",
        _ => "(its log says more)",
    }
}

fn brief(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Tls(_) => "it wants tls",
        sqlx::Error::Protocol(_) => "what it says is not of the protocol",
        sqlx::Error::PoolTimedOut => "no connection has become free",
        sqlx::Error::PoolClosed => "the store is closed",
        _ => "an error of the client",
    }
}
