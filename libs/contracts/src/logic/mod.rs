//! What the proxy asks of logic: who comes, who goes, who enters a room, how many are there.

mod convert;
mod remote;
pub(crate) mod serve;

use std::net::IpAddr;

use async_trait::async_trait;
use protocol::{ConnectionId, DeviceId, RoomId, ServerId, UserId};

use crate::Result;
use crate::auth::Credentials;
use crate::router::{Handle, Report, Unregistration};

pub use remote::Remote;

/// A client that wants in.
#[derive(Clone)]
pub struct ConnectRequest {
    /// What it shows.
    pub credentials: Credentials,
    /// The proxy that holds it.
    pub server: ServerId,
    /// Rises with every change that this proxy announces.
    pub number: u64,
    /// Where in the proxy.
    pub handle: Handle,
    /// Which of the user's devices.
    pub device: DeviceId,
    /// goim's key; empty where the client named none.
    pub key: String,
    /// What the client says it runs on.
    pub platform: String,
    /// Where it comes from.
    pub address: IpAddr,
}

/// A client that is in.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Who it is; `None` is anonymous.
    pub user: Option<UserId>,
    /// The id the router allotted.
    pub connection: ConnectionId,
    /// By what the server API reaches it.
    pub key: String,
}

/// Auth, on/offline, rooms and counts.
#[async_trait]
pub trait Logic: Send + Sync {
    /// Checks the credentials and takes the connection into the directory. When it answers, pushes to the user
    /// and to the key reach the proxy; a connection that this one replaces has been told so.
    ///
    /// # Errors
    /// What auth refused, or what the router failed with.
    async fn connect(&self, request: ConnectRequest) -> Result<Connected>;

    /// Takes connections out of the directory.
    ///
    /// # Errors
    /// What the router failed with.
    async fn disconnect(&self, connections: Vec<Unregistration>) -> Result<()>;

    /// The proxy has its first member in these rooms. When it answers, the next push to them reaches it.
    ///
    /// # Errors
    /// What the router failed with.
    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()>;

    /// The proxy has no member left in these rooms.
    ///
    /// # Errors
    /// What the router failed with.
    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()>;

    /// Takes a proxy's counts; answers the counts over all proxies of `report.wanted`, in its order.
    ///
    /// # Errors
    /// What the router failed with.
    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>>;
}
