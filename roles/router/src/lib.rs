//! The router: the directory of who is where.
//!
//! In the seed's picture this is cacheService. It is the only role with state: user → connection → proxy,
//! key → connection, room → proxies and counts, all in memory. It promises that what it answered to a proxy is
//! found by the next lookup, that a removal never takes away a newer connection, and that nothing of a proxy
//! that went away stays. It stores nothing: proxies hold the truth.

mod directory;
mod expiry;
mod room;
mod service;
mod sharded;

use std::sync::Arc;

use backends::discovery::Discovery;
use contracts::router::Router;
use protocol::ServerId;
use runtime::lifecycle::Stop;

use crate::directory::Directory;
use crate::room::Rooms;
use crate::service::Service;

/// The name under which routers agree who of them acts.
const ELECTION: &str = "router/0";

/// What can be set about the router.
#[derive(Debug, Clone)]
pub struct Config {
    /// Into how many parts each map is divided, so that calls rarely wait for each other; at least 1.
    pub shard_count: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { shard_count: 64 }
    }
}

/// What the router works with.
pub struct Deps {
    /// This process, as a candidate to hold the directory.
    pub server: ServerId,
    /// Tells the epoch, and which proxies there are.
    pub discovery: Arc<dyn Discovery>,
    /// Ends the router's task.
    pub stop: Stop,
}

/// Starts the router once this process holds the directory.
///
/// # Errors
/// What discovery failed with.
pub async fn start(config: Config, deps: Deps) -> backends::Result<Arc<dyn Router>> {
    let Deps { server, discovery, stop } = deps;
    let proxies = discovery.watch("proxy").await?;
    let leadership = discovery.elect(ELECTION, &server).await?;
    let service = Arc::new(Service::new(
        Directory::new(config.shard_count, leadership.epoch()),
        Rooms::new(config.shard_count),
    ));
    tracing::info!(target: "router", epoch = leadership.epoch(), "holds the directory");
    tokio::spawn(expiry::run(service.clone(), proxies, leadership, stop));
    Ok(service)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backends::discovery::{self, Instance};
    use contracts::router::{Handle, Registration};
    use protocol::{DeviceId, Identifier, UserId};

    use super::*;

    #[tokio::test]
    async fn users_of_a_proxy_that_leaves_discovery_are_offline() {
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
        let deps = Deps { server: server.clone(), discovery, stop: stop.clone() };
        let router = start(Config::default(), deps).await.unwrap();
        let users = [UserId::new("alice").unwrap()];
        let registration = Registration {
            server,
            number: 1,
            handle: Handle(1),
            user: Some(users[0].clone()),
            device: DeviceId::new("phone").unwrap(),
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
        stop.trigger();
    }
}
