//! logic: who comes, who goes, and what the business's servers ask.
//!
//! In the seed's picture this is logicService. Towards the proxies it answers connect, disconnect, rooms and
//! counts; towards the business it answers the server API: unicast, multicast, broadcast to a room, broadcast
//! to all, who is online, where to connect. It holds nothing that cannot be lost: the directory is the
//! router's, messages are im's. Who may call the server API is decided by whoever serves [`Service::api`].

mod api;
mod nodes;
mod online;
mod presence;
mod publish;
mod service;

use std::sync::Arc;
use std::time::Duration;

use backends::broker::Broker;
use backends::discovery::Discovery;
use contracts::auth::Auth;
use contracts::logic::Logic;
use contracts::proxy::Proxies;
use contracts::push::Push;
use contracts::router::Router;
use contracts::{Error, Kind};

use crate::nodes::Nodes;
use crate::online::Online;
use crate::presence::Presence;
use crate::publish::Publisher;

/// How logic is set up: what it tells clients that ask where to connect.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often a client is to send a heartbeat.
    pub heartbeat: Duration,
    /// How many heartbeats may be missed.
    pub heartbeat_max: u32,
    /// The name by which clients reach any proxy; empty: the host of the best one.
    pub domain: String,
    /// What is put behind a proxy's host name for browsers, such as `.example.com`.
    pub host_domain: String,
    /// The port of WebSocket over TLS; 0 where there is none.
    pub wss_port: u16,
    /// The operation of a push that names none.
    pub operation: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(240),
            heartbeat_max: 2,
            domain: String::new(),
            host_domain: String::new(),
            wss_port: 0,
            operation: 1000,
        }
    }
}

/// Whom logic asks.
pub struct Deps {
    /// Who a client is.
    pub auth: Arc<dyn Auth>,
    /// Which connection is where.
    pub router: Arc<dyn Router>,
    /// Unicasts and multicasts.
    pub push: Arc<dyn Push>,
    /// Ends connections.
    pub proxies: Arc<dyn Proxies>,
    /// Takes what is for rooms and for everybody.
    pub broker: Arc<dyn Broker>,
    /// Which proxies there are.
    pub discovery: Arc<dyn Discovery>,
}

/// A running logic.
pub struct Service {
    /// What the proxies ask.
    pub contract: Arc<dyn Logic>,
    /// What the business's servers ask: `/goim/*` and `/v1/push`. It checks nobody's key.
    pub api: axum::Router,
}

/// Starts logic. It needs no task of its own, so there is nothing to stop.
///
/// # Errors
/// `Unavailable` where discovery cannot be watched.
pub async fn start(config: Config, deps: Deps) -> contracts::Result<Service> {
    let proxies = deps.discovery.watch("proxy").await.map_err(|error| {
        Error::new(Kind::Unavailable, "discovery cannot be watched for proxies").caused_by(error)
    })?;
    let online = Arc::new(Online::default());
    let presence = Presence { auth: deps.auth, router: Arc::clone(&deps.router), proxies: deps.proxies };
    let contract =
        service::Service { presence, router: Arc::clone(&deps.router), online: Arc::clone(&online) };
    let api = api::router(api::State {
        router: deps.router,
        push: deps.push,
        publisher: Publisher { broker: deps.broker },
        operation: config.operation,
        nodes: Nodes { config, proxies, online },
    });
    Ok(Service { contract: Arc::new(contract), api })
}
