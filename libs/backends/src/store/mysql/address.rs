//! Where the servers are: `mysql://user:password@host:port[,host:port]/database`.
//!
//! The password is in no message and in no log: what is shown of an address is [`Address::place`].

use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::{Error, Kind, Result};

const PORT_DEFAULT: u16 = 3306;
/// Servers that hold the same data.
const SERVERS_COUNT_MAX: usize = 8;
const FORM: &str = "write mysql://user:password@host:port[,host:port]/database";

/// The servers of a store and who signs in to them.
#[derive(Clone)]
pub(super) struct Address {
    user: String,
    password: String,
    servers: Vec<Server>,
    database: String,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Reads what comes after `mysql:`.
    ///
    /// # Errors
    /// `Missing` where a part is not there or cannot be read.
    pub(super) fn parse(rest: &str) -> Result<Self> {
        let refused = |what: &str| Error::new(Kind::Missing, format!("url of the store {what}: {FORM}"));
        let rest = rest.strip_prefix("//").ok_or_else(|| refused("has no // after its scheme"))?;
        let (authority, database) = rest.split_once('/').ok_or_else(|| refused("names no database"))?;
        let (login, hosts) = authority.rsplit_once('@').ok_or_else(|| refused("names no user"))?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decoded = |text| decoded(text).ok_or_else(|| refused("has a % that stands for no character"));
        let (user, password, database) = (decoded(user)?, decoded(password)?, decoded(database)?);
        if user.is_empty() {
            return Err(refused("names no user"));
        }
        if database.is_empty() || database.contains(['?', '/', '`', '\'', '"', '\\']) {
            return Err(refused("names no database that can be"));
        }
        let servers: Option<Vec<Server>> = hosts.split(',').map(server).collect();
        let servers = servers.ok_or_else(|| refused("names a server that can not be"))?;
        if servers.len() > SERVERS_COUNT_MAX {
            return Err(refused(&format!("names more than {SERVERS_COUNT_MAX} servers")));
        }
        Ok(Self { user, password, servers, database })
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// How the store is named in logs and messages.
    pub(super) fn place(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        format!("database {} on {}", self.database, servers.join(","))
    }

    /// What a connection to one of the servers is made with. Statements hold messages, so none is logged.
    pub(super) fn options(&self, server: &Server) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host(&server.host)
            .port(server.port)
            .username(&self.user)
            .password(&self.password)
            .database(&self.database)
            .ssl_mode(MySqlSslMode::Disabled)
            .charset("utf8mb4")
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .statement_cache_capacity(16)
            .disable_statement_logging()
    }
}

fn server(text: &str) -> Option<Server> {
    // An address of version 6 stands in brackets.
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok())?;
    let is_name =
        !host.is_empty() && host.chars().all(|one| one.is_ascii_alphanumeric() || "-._:".contains(one));
    is_name.then(|| Server { host: host.to_owned(), port })
}

/// A text with `%41` for `A`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_user_servers_and_database() {
        let address = Address::parse("//im:p%40ss:word%2f@db-1:3307,[::1],db-2/anser").unwrap();
        assert_eq!((address.user(), &*address.password, address.database()), ("im", "p@ss:word/", "anser"));
        let servers: Vec<String> = address.servers().iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["db-1:3307", "::1:3306", "db-2:3306"]);
    }

    #[test]
    fn what_is_shown_of_a_url_has_no_password() {
        let address = Address::parse("//im:secret@db:1/anser").unwrap();
        assert_eq!(address.place(), "database anser on db:1");
        for bad in [
            "im:secret@db/x",
            "//im:secret@db",
            "//im:secret@db:port/x",
            "//im:secret%zz@db/x",
            "//:secret@db/x",
            "//im:secret@db/",
        ] {
            let Err(error) = Address::parse(bad) else { panic!("{bad} is no url") };
            assert!(!error.to_string().contains("secret"), "{error}");
            assert_eq!(error.kind(), Kind::Missing);
        }
    }
}
