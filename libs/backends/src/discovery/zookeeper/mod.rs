//! Discovery on ZooKeeper, as in the seed's picture.
//!
//! | node below the path | is |
//! |---|---|
//! | `roles/<role>/<server>` | an instance as JSON, ephemeral: it goes with its process's session |
//! | `elections/<name>/<candidate>-<number>` | a candidate, ephemeral: the lowest number owns the name |
//! | `epochs/<name>` | the last epoch of a name, never removed |
//! | `agreed/<name>` | an agreed value; its version is the node's and one |
//!
//! While ZooKeeper cannot be reached the last view stays, nobody is registered or elected, and an owner is told after
//! a while that it may be one no longer (`election`). When it is back, everything of this process is made again, and
//! those who watch see what has changed meanwhile. Only the path's nodes are touched.

mod agreed;
mod election;
mod follow;
mod instance;
mod registrar;
mod session;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::ServerId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::follow::Following;
use self::registrar::Registrar;
use self::session::{Sessions, Settings};
use super::{Agreed, Discovery, Instance, Leadership, Registration};
use crate::servers::Servers;
use crate::{Error, Kind, Result};

const PORT: u16 = 2181;
/// The node that ours are below where the URL does not say.
const PATH_DEFAULT: &str = "anser";
/// How long a silent process is taken for alive where the URL does not say: a killed one's place is taken up to half
/// a second later than this.
const SESSION_MS_DEFAULT: u64 = 2_000;

/// Opens discovery on the ZooKeeper of `//[user:password@]host:port,…[/path][?session_ms=…]`. With a login, nodes are
/// made so that only who has the same one may read and change them.
///
/// # Errors
/// `Missing` for a URL that is written otherwise or a login that is refused; `Transient` where no server answers.
pub async fn open(rest: &str) -> Result<Arc<dyn Discovery>> {
    let (sessions, keeper) = Sessions::open(Arc::new(settings(rest)?)).await?;
    let (registrar, registering) = Registrar::start(sessions.clone());
    let inner = Inner {
        sessions,
        registrar,
        roles: Mutex::default(),
        agreed: Mutex::default(),
        tasks: vec![keeper, registering],
    };
    Ok(Arc::new(ZooKeeperDiscovery(Arc::new(inner))))
}

fn settings(rest: &str) -> Result<Settings> {
    let mut servers = Servers::parse(rest, "discovery", PORT)?;
    let session_ms = match servers.take("session_ms") {
        None => SESSION_MS_DEFAULT,
        Some(text) => text.parse().ok().filter(|ms| (500..=600_000).contains(ms)).ok_or_else(|| {
            let message = format!("url of the discovery: session_ms={text} is no number from 500 to 600000");
            Error::new(Kind::Missing, message)
        })?,
    };
    servers.finish("discovery")?;
    let path = if servers.path.is_empty() { PATH_DEFAULT } else { &servers.path };
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains(char::is_control) {
        let message = format!("url of the discovery: {path:?} is no path of nodes");
        return Err(Error::new(Kind::Missing, message));
    }
    let login = match (&servers.user, &servers.password) {
        (None, _) => None,
        (Some(user), Some(password)) if !user.is_empty() => Some(format!("{user}:{password}")),
        _ => {
            let message = "url of the discovery: a login is written user:password@";
            return Err(Error::new(Kind::Missing, message));
        }
    };
    Ok(Settings {
        servers: servers.list(),
        path: format!("/{path}"),
        session_time: Duration::from_millis(session_ms),
        login,
    })
}

struct ZooKeeperDiscovery(Arc<Inner>);

/// What is shared with the guards that are handed out, so that they hold when the discovery itself is dropped.
struct Inner {
    sessions: Sessions,
    registrar: Registrar,
    /// One follower for each role and name that was ever asked for: a few.
    roles: Mutex<HashMap<String, Following<Vec<Instance>>>>,
    agreed: Mutex<HashMap<String, Following<Option<Agreed>>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The session is closed with its last user, and what it held goes with it.
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[async_trait]
impl Discovery for ZooKeeperDiscovery {
    async fn register(&self, instance: Instance) -> Result<Box<dyn Registration>> {
        let place = self.0.registrar.register(instance).await?;
        Ok(Box::new(ZooKeeperRegistration { place, inner: Arc::clone(&self.0) }))
    }

    async fn watch(&self, role: &str) -> Result<watch::Receiver<Vec<Instance>>> {
        let following = {
            let mut roles = self.0.roles.lock();
            let begin = || view::follow(self.0.sessions.clone(), role);
            roles.entry(role.to_owned()).or_insert_with(begin).handle()
        };
        following.ready(role).await
    }

    async fn elect(&self, name: &str, candidate: &ServerId) -> Result<Box<dyn Leadership>> {
        let won = election::run(self.0.sessions.clone(), name, candidate).await?;
        Ok(Box::new(ZooKeeperLeadership { won, _inner: Arc::clone(&self.0) }))
    }

    async fn watch_agreed(&self, name: &str) -> Result<watch::Receiver<Option<Agreed>>> {
        let following = {
            let mut agreed = self.0.agreed.lock();
            let begin = || agreed::follow(self.0.sessions.clone(), name);
            agreed.entry(name.to_owned()).or_insert_with(begin).handle()
        };
        following.ready(name).await
    }

    async fn agree(&self, name: &str, expected_version: u64, value: Bytes) -> Result<Option<u64>> {
        super::check_agreed(name, &value)?;
        agreed::agree(&self.0.sessions, name, expected_version, &value).await
    }
}

struct ZooKeeperRegistration {
    place: registrar::Place,
    inner: Arc<Inner>,
}

#[async_trait]
impl Registration for ZooKeeperRegistration {
    async fn update(&self, metadata: BTreeMap<String, String>) -> Result<()> {
        self.inner.registrar.update(&self.place, metadata).await
    }
}

impl Drop for ZooKeeperRegistration {
    fn drop(&mut self) {
        self.inner.registrar.remove(&self.place);
    }
}

struct ZooKeeperLeadership {
    won: election::Won,
    _inner: Arc<Inner>,
}

#[async_trait]
impl Leadership for ZooKeeperLeadership {
    fn epoch(&self) -> u64 {
        self.won.epoch
    }

    async fn lost(&self) {
        self.won.lost().await;
    }
}

/// What ZooKeeper failed with, as a caller of discovery takes it.
fn failed(what: &str, error: zookeeper_client::Error) -> Error {
    Error::new(Kind::Transient, format!("zookeeper cannot {what}")).caused_by(error)
}

fn away(what: &str) -> Error {
    Error::new(Kind::Transient, format!("zookeeper is away: cannot {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_servers_path_login_and_session() {
        let read = |rest| settings(rest).unwrap_or_else(|error| panic!("{rest}: {error}"));
        let read_plain = read("//a:1,b");
        assert_eq!((read_plain.servers.as_str(), read_plain.path.as_str()), ("a:1,b:2181", "/anser"));
        assert_eq!((read_plain.login, read_plain.session_time), (None, Duration::from_secs(2)));
        let read_all = read("//me:pass@a:1/im/one?session_ms=6000");
        assert_eq!((read_all.path.as_str(), read_all.login.as_deref()), ("/im/one", Some("me:pass")));
        assert_eq!(read_all.session_time, Duration::from_secs(6));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_the_password() {
        for rest in
            ["//me:secret@a/..", "//a//b", "//:secret@a", "//me@a", "//a?session_ms=1", "//a?sesion=1"]
        {
            let error = settings(rest).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(
                error.starts_with("url of the discovery") && !error.contains("secret"),
                "{rest}: {error}"
            );
        }
    }
}
