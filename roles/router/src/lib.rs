//! The router: the directory of who is where.
//!
//! In the seed's picture this is cacheService. It is the only role with state: user → connection → proxy,
//! key → connection, room → proxies and counts, all in memory. It promises that what it answered to a proxy is
//! found by the next lookup, that a removal never takes away a newer connection, and that nothing of a proxy
//! that went away stays. It decides which devices of a user may be there at once, and tells topic `presence` who
//! has come and who has gone. It stores nothing: proxies hold the truth.

mod directory;
mod expiry;
mod presence;
mod room;
mod service;
mod sharded;

use std::sync::Arc;

use backends::broker::Broker;
use backends::discovery::Discovery;
use contracts::router::Router;
use protocol::ServerId;
use runtime::lifecycle::Stop;
use tokio::task::JoinHandle;

use crate::directory::Directory;
use crate::presence::{Feed, Publisher};
use crate::room::Rooms;
use crate::service::Service;

/// The name under which routers agree who of them acts.
const ELECTION: &str = "router/0";

/// Which devices of one user may be connected at once. The newest stays; who gives way is told
/// [`protocol::code::CloseCode::ReplacedByLogin`] and does not come back by itself. Anonymous connections have no
/// rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeviceRule {
    /// All of them.
    #[default]
    All,
    /// One of each platform, as the client names it; those that name none are of one platform.
    OnePerPlatform,
    /// One.
    Single,
}

/// What can be set about the router.
#[derive(Debug, Clone)]
pub struct Config {
    /// Into how many parts each map is divided, so that calls rarely wait for each other; at least 1.
    pub shard_count: usize,
    /// Which devices of a user may be connected at once.
    pub devices: DeviceRule,
}

impl Default for Config {
    fn default() -> Self {
        Self { shard_count: 64, devices: DeviceRule::All }
    }
}

/// What the router works with.
pub struct Deps {
    /// This process, as a candidate to hold the directory.
    pub server: ServerId,
    /// Tells the epoch, and which proxies there are.
    pub discovery: Arc<dyn Discovery>,
    /// Carries topic `presence`.
    pub broker: Arc<dyn Broker>,
    /// Ends the router's tasks.
    pub stop: Stop,
}

/// Starts the router once this process holds the directory. The task ends when the directory is lost to another one:
/// what is asked of this router is refused from then on.
///
/// # Errors
/// What discovery failed with.
pub async fn start(config: Config, deps: Deps) -> backends::Result<(Arc<dyn Router>, JoinHandle<()>)> {
    let Deps { server, discovery, broker, stop } = deps;
    let proxies = discovery.watch("proxy").await?;
    let leadership = discovery.elect(ELECTION, &server).await?;
    let epoch = leadership.epoch();
    let (feed, changes) = Feed::open();
    let directory = Directory::new(config.shard_count, epoch, config.devices, feed);
    let service = Arc::new(Service::new(directory, Rooms::new(config.shard_count)));
    tracing::info!(target: "router", epoch, "holds the directory");
    tokio::spawn(Publisher::new(epoch, changes, broker).run(stop.clone()));
    let task = tokio::spawn(expiry::run(service.clone(), proxies, leadership, stop));
    Ok((service, task))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backends::broker::{self, Topic};
    use backends::discovery::{self, Instance};
    use contracts::router::{Handle, PresenceRecord, Registration};
    use prost::Message as _;
    use protocol::{DeviceId, Identifier, UserId};

    use super::*;

    #[tokio::test]
    async fn users_of_a_proxy_that_leaves_discovery_are_offline_and_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker::open(&format!("embedded:{}", folder.path().display())).await.unwrap();
        let mut presence = broker.subscribe(Topic::Presence, "test").await.unwrap();
        let discovery = discovery::open("embedded:").await.unwrap();
        let (server, stop) = (ServerId("p1".into()), Stop::new());
        let instance = Instance {
            role: "proxy".to_owned(),
            server: server.clone(),
            addresses: Default::default(),
            metadata: Default::default(),
            since_ms: 0,
        };
        let in_discovery = discovery.register(instance).await.unwrap();
        let deps = Deps { server: server.clone(), discovery, broker, stop: stop.clone() };
        let (router, _task) = start(Config::default(), deps).await.unwrap();
        let users = [UserId::new("alice").unwrap()];
        let registration = Registration {
            server,
            number: 1,
            handle: Handle(1),
            user: Some(users[0].clone()),
            device: DeviceId::new("phone").unwrap(),
            platform: String::new(),
            key: String::new(),
            connection: None,
        };
        router.register(vec![registration]).await.unwrap();
        assert_eq!(router.locate_users(&users).await.unwrap()[0].routes.len(), 1);
        drop(in_discovery);
        let offline = async {
            while !router.locate_users(&users).await.unwrap()[0].routes.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), offline).await.unwrap();
        let mut told = Vec::new();
        while told.len() < 2 {
            let next = tokio::time::timeout(Duration::from_secs(10), presence.next(10)).await.unwrap();
            told.extend(
                next.unwrap().into_iter().map(|record| PresenceRecord::decode(record.value).unwrap()),
            );
        }
        assert_eq!([&*told[0].user, &*told[1].user], ["alice", "alice"]);
        assert_eq!([told[0].online, told[1].online], [true, false]);
        assert!((told[0].epoch, told[0].number) < (told[1].epoch, told[1].number));
        stop.trigger();
    }
}
