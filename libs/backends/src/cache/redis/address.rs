//! Where Redis is, as a URL says it.

use crate::servers::Servers;
use crate::{Error, Kind, Result};

/// What keys begin with where the URL does not say.
const PREFIX_DEFAULT: &str = "anser";
/// Ports of a Redis and of a sentinel where the URL does not say.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where Redis is and as whom to come.
pub(super) struct Address {
    /// The server itself, or the sentinels.
    pub(super) servers: Servers,
    /// What the sentinels call the master; `None` where there are none.
    pub(super) master: Option<String>,
    /// The sentinels' own password.
    pub(super) sentinel_password: Option<String>,
    /// Which of the numbered databases.
    pub(super) database: i64,
    /// What every key begins with: several deployments may share one Redis.
    pub(super) prefix: String,
}

impl Address {
    /// One server: `//[user:password@]host:port[/db][?prefix=…]`.
    pub(super) fn single(rest: &str) -> Result<Self> {
        let servers = Servers::parse(rest, "cache", REDIS_PORT)?;
        if servers.hosts.len() > 1 {
            let message =
                "url of the cache: redis:// takes one server; name sentinels with redis-sentinel://";
            return Err(Error::new(Kind::Missing, message));
        }
        let database = servers.path.clone();
        Self::of(servers, None, &database)
    }

    /// Sentinels: `//[user:password@]host:port,…/master[/db][?prefix=…&sentinel_password=…]`.
    pub(super) fn sentinel(rest: &str) -> Result<Self> {
        let servers = Servers::parse(rest, "cache", SENTINEL_PORT)?;
        let (master, database) = servers.path.split_once('/').unwrap_or((&servers.path, ""));
        if master.is_empty() {
            let message = "url of the cache: name the master behind the sentinels, as in host:26379/mymaster";
            return Err(Error::new(Kind::Missing, message));
        }
        let (master, database) = (master.to_owned(), database.to_owned());
        Self::of(servers, Some(master), &database)
    }

    fn of(mut servers: Servers, master: Option<String>, database: &str) -> Result<Self> {
        let number = if database.is_empty() { Ok(0) } else { database.parse() };
        let Some(database) = number.ok().filter(|number| (0..=1_000_000).contains(number)) else {
            let message = format!("url of the cache: database {database:?} is no number");
            return Err(Error::new(Kind::Missing, message));
        };
        let prefix = servers.take("prefix").unwrap_or_else(|| PREFIX_DEFAULT.to_owned());
        let sentinel_password = master.as_ref().and_then(|_| servers.take("sentinel_password"));
        servers.finish("cache")?;
        Ok(Self { servers, master, sentinel_password, database, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let address = Address::single("//one/3?prefix=staging").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((address.servers.list().as_str(), address.database), ("one:6379", 3));
        assert_eq!((address.master, address.prefix.as_str()), (None, "staging"));
        let address = Address::sentinel("//:secret@a:1,b/main/2").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((address.servers.list().as_str(), address.database), ("a:1,b:26379", 2));
        assert_eq!((address.master.as_deref(), address.prefix.as_str()), (Some("main"), "anser"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for rest in ["//a,b", "//a/x", "//a/-1", "//a?sentinel_password=x"] {
            assert_eq!(Address::single(rest).err().map(|error| error.kind()), Some(Kind::Missing), "{rest}");
        }
        for rest in ["//a", "//a/", "//a/main/x", "//a/main?prefx=y"] {
            assert_eq!(
                Address::sentinel(rest).err().map(|error| error.kind()),
                Some(Kind::Missing),
                "{rest}"
            );
        }
    }
}
