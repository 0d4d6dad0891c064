//! What logic and push ask of the router: which connection is where.
//!
//! The router is the only role with state in memory: user → connection → proxy, key → connection, room →
//! proxies and counts. Every change carries the proxy's id and a number that rises within that proxy, and a
//! removal compares before it removes, so that a late one cannot take away a newer connection.

pub(crate) mod convert;
mod remote;
pub(crate) mod serve;

use async_trait::async_trait;
use protocol::code::CloseCode;
use protocol::{ConnectionId, DeviceId, RoomId, ServerId, UserId};

use crate::Result;

pub use remote::Remote;

/// Where inside its proxy a connection is: chosen by the proxy, opaque to all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// A connection that a proxy announces.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The proxy.
    pub server: ServerId,
    /// Rises with every change that this proxy announces.
    pub number: u64,
    /// Where in the proxy.
    pub handle: Handle,
    /// Who; `None` is anonymous: reachable by key, room and broadcast only.
    pub user: Option<UserId>,
    /// On which of the user's devices.
    pub device: DeviceId,
    /// What the client runs on; where one device of each platform is allowed, it tells them apart.
    pub platform: String,
    /// goim's key, by which the server API reaches it; empty: the connection id becomes the key.
    pub key: String,
    /// Set where the connection was already allotted its id and is announced again.
    pub connection: Option<ConnectionId>,
}

/// What the router made of a registration.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The id allotted to it.
    pub connection: ConnectionId,
    /// By what the server API reaches it.
    pub key: String,
    /// The connections it replaces: the same device of the same user, the same key, or other devices of the user
    /// where not all may be there at once. They are out of the directory already; the caller ends them.
    pub replaced: Vec<Replaced>,
}

/// A connection that gave way to a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Where it is.
    pub route: Route,
    /// What its client is told.
    pub code: CloseCode,
}

/// Where a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The proxy that holds it.
    pub server: ServerId,
    /// Which one.
    pub connection: ConnectionId,
    /// Where in that proxy.
    pub handle: Handle,
}

/// A connection that a proxy took back.
#[derive(Debug, Clone)]
pub struct Unregistration {
    /// The proxy.
    pub server: ServerId,
    /// Rises with every change that this proxy announces.
    pub number: u64,
    /// Which one.
    pub connection: ConnectionId,
    /// Whose.
    pub user: Option<UserId>,
    /// By what it was reached.
    pub key: String,
}

/// What the router knows of one user or key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Located {
    /// The connections that are known.
    pub routes: Vec<Route>,
    /// Proxies that have not announced themselves in this epoch and so may hold more: while there are any,
    /// an empty `routes` means unknown and not offline.
    pub unannounced: Vec<ServerId>,
}

/// The devices of a user that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    /// Distinct, in the order they came.
    pub devices: Vec<DeviceId>,
    /// As in [`Located`].
    pub unannounced: Vec<ServerId>,
}

/// A user's first connection has come or the last one has gone, as it stands in topic `presence`; the key of a
/// record is the user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PresenceRecord {
    /// Who.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Has come, or has gone.
    #[prost(bool, tag = "2")]
    pub online: bool,
    /// The router's epoch.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Rises within the epoch: of two events of one user, the one with the lower (epoch, number) is late.
    #[prost(uint64, tag = "4")]
    pub number: u64,
    /// When, in milliseconds since 1970.
    #[prost(uint64, tag = "5")]
    pub time_ms: u64,
}

/// What a proxy says of itself about twice a second.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Members of the rooms whose count here changed since the last report; 0 where nobody is left.
    pub rooms: Vec<(RoomId, u64)>,
    /// Rooms whose count over all proxies the proxy wants to know.
    pub wanted: Vec<RoomId>,
    /// Connections that are past auth.
    pub connection_count: u64,
    /// Distinct addresses they come from.
    pub address_count: u64,
}

/// Connections and addresses over all proxies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that are past auth.
    pub connection_count: u64,
    /// Distinct addresses, added up over the proxies.
    pub address_count: u64,
}

/// Keeps the directory of who is where.
#[async_trait]
pub trait Router: Send + Sync {
    /// Takes connections in, in the order given. When it answers, a lookup finds them.
    ///
    /// # Errors
    /// `Unavailable` where nobody holds the directory.
    async fn register(&self, registrations: Vec<Registration>) -> Result<Vec<Registered>>;

    /// Takes connections out; one that was replaced or never known is skipped.
    ///
    /// # Errors
    /// As `register`.
    async fn unregister(&self, unregistrations: Vec<Unregistration>) -> Result<()>;

    /// Finds all connections of each user, in the order asked.
    ///
    /// # Errors
    /// As `register`.
    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>>;

    /// The devices of each user that are there, in the order asked.
    ///
    /// # Errors
    /// As `register`.
    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>>;

    /// Finds the connection of each key, in the order asked.
    ///
    /// # Errors
    /// As `register`.
    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>>;

    /// A proxy has its first member in each of these rooms. When it answers, `room_proxies` names the proxy.
    ///
    /// # Errors
    /// As `register`.
    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()>;

    /// A proxy has no member left in each of these rooms. An entry with a higher number stays.
    ///
    /// # Errors
    /// As `register`.
    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()>;

    /// The proxies that have members in each room, in the order asked.
    ///
    /// # Errors
    /// As `register`.
    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>>;

    /// Takes a proxy's counts and answers the counts over all proxies of `report.wanted`, in its order.
    ///
    /// # Errors
    /// As `register`.
    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>>;

    /// People online in each room; 0 for one that nobody is in.
    ///
    /// # Errors
    /// As `register`.
    async fn room_counts(&self, rooms: &[RoomId]) -> Result<Vec<u64>>;

    /// The rooms of a type with most people, at most `limit`, descending; ties by key.
    ///
    /// # Errors
    /// As `register`.
    async fn rooms_top(&self, room_type: &str, limit: usize) -> Result<Vec<(RoomId, u64)>>;

    /// Connections and addresses over all proxies.
    ///
    /// # Errors
    /// As `register`.
    async fn totals(&self) -> Result<Totals>;
}
