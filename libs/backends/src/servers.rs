//! The servers that a backend's URL names, as they stand after its scheme:
//! `//[user[:password]@]host[:port],host[:port],…[/path][?key=value&…]`.
//!
//! User, password and the values of keys may be written in percent signs. What is wrong is named without the URL,
//! which may hold a password; for the same reason nothing here can be shown with `{:?}`.

use std::collections::BTreeMap;

use crate::{Error, Kind, Result};

/// Servers of one URL: more are a mistake, and each is tried in turn.
const HOSTS_COUNT_MAX: usize = 32;

/// What a URL says of where a product is, and as whom to come.
pub(crate) struct Servers {
    /// Where it listens, in the order written.
    pub(crate) hosts: Vec<(String, u16)>,
    /// As whom to come; empty where only a password is given.
    pub(crate) user: Option<String>,
    /// What proves it.
    pub(crate) password: Option<String>,
    /// What stands behind the servers, without the slash before it.
    pub(crate) path: String,
    keys: BTreeMap<String, String>,
}

impl Servers {
    /// Reads what comes after the scheme of a URL of a seam (such as `cache`).
    ///
    /// # Errors
    /// `Missing` where it is written otherwise.
    pub(crate) fn parse(rest: &str, seam: &str, port_default: u16) -> Result<Self> {
        let wrong = |what: String| Error::new(Kind::Missing, format!("url of the {seam}: {what}"));
        let rest = rest.strip_prefix("//").ok_or_else(|| wrong("no // after the scheme".to_owned()))?;
        let (rest, keys) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may hold any character but these two as it is.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (list, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut hosts = Vec::new();
        for text in list.split(',') {
            hosts.push(host(text, port_default).ok_or_else(|| {
                wrong(format!("{text:?} is no server: write host:port, and commas between several"))
            })?);
        }
        if hosts.len() > HOSTS_COUNT_MAX {
            return Err(wrong(format!("{} servers, {HOSTS_COUNT_MAX} at most", hosts.len())));
        }
        let decoded = |text: &str, what: &str| {
            plain(text).ok_or_else(|| wrong(format!("the {what} has a percent sign that stands for no byte")))
        };
        let (mut user, mut password) = (None, None);
        if let Some(login) = login {
            let (name, secret) =
                login.split_once(':').map_or((login, None), |(name, secret)| (name, Some(secret)));
            user = Some(decoded(name, "user")?);
            password = secret.map(|secret| decoded(secret, "password")).transpose()?;
        }
        let mut known = BTreeMap::new();
        for pair in keys.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            known.insert(key.to_owned(), decoded(value, key)?);
        }
        Ok(Self { hosts, user, password, path: path.trim_end_matches('/').to_owned(), keys: known })
    }

    /// Takes the value of a key that stands behind the question mark.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.keys.remove(key)
    }

    /// Ends the reading: a key that nobody took is a mistake.
    ///
    /// # Errors
    /// `Missing`, and names the key.
    pub(crate) fn finish(&self, seam: &str) -> Result<()> {
        match self.keys.keys().next() {
            Some(key) => {
                Err(Error::new(Kind::Missing, format!("url of the {seam} has an unknown key {key:?}")))
            }
            None => Ok(()),
        }
    }

    /// The servers as text, for logs and errors.
    pub(crate) fn list(&self) -> String {
        let texts = self.hosts.iter().map(|(host, port)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        });
        texts.collect::<Vec<_>>().join(",")
    }
}

fn host(text: &str, port_default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        // An address of IPv6 has colons of its own.
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(port_default), |port| port.parse().ok())?;
    (!host.is_empty() && !host.contains(char::is_whitespace)).then(|| (host.to_owned(), port))
}

/// Text with its percent signs resolved; `None` where one stands for no byte of a text.
pub(crate) fn plain(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Servers {
        Servers::parse(rest, "cache", 1000).unwrap_or_else(|error| panic!("{rest}: {error}"))
    }

    #[test]
    fn servers_login_path_and_keys_are_told_apart() {
        let mut servers = parse("//me:p%40s/%2Fs@one:1,two,[::1]:3/name/4?a=x%20y&b=");
        assert_eq!(servers.list(), "one:1,two:1000,[::1]:3");
        assert_eq!((servers.user.as_deref(), servers.password.as_deref()), (Some("me"), Some("p@s//s")));
        assert_eq!(servers.path, "name/4");
        assert!(servers.finish("cache").is_err());
        assert_eq!((servers.take("a").as_deref(), servers.take("b").as_deref()), (Some("x y"), Some("")));
        assert!(servers.finish("cache").is_ok());
    }

    #[test]
    fn a_password_alone_and_none_at_all_are_taken() {
        let servers = parse("//:secret@one");
        assert_eq!((servers.user.as_deref(), servers.password.as_deref()), (Some(""), Some("secret")));
        let servers = parse("//one/");
        assert_eq!((servers.user, servers.password, servers.path), (None, None, String::new()));
    }

    #[test]
    fn what_is_wrong_is_named_without_the_password() {
        for rest in ["one:1", "//", "//me:secret@one:x", "//me:secret@,", "//me:se%zzcret@one", "//a b:1"] {
            let error =
                Servers::parse(rest, "cache", 1).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with("url of the cache") && !error.contains("cret"), "{rest}: {error}");
        }
    }
}
