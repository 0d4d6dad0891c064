//! What push and logic ask of a proxy: hand this to those connections.
//!
//! All of it is at most once. What a proxy cannot hand over it drops and counts; a stored message that was
//! dropped turns its connection *behind*, and the proxy fetches it from im again.

mod convert;
mod remote;
pub(crate) mod serve;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use protocol::client::{Message, RoomMessage};
use protocol::code::CloseCode;
use protocol::codec::Event;
use protocol::operation::Operation;
use protocol::{ConnectionId, GroupId, RoomId, ServerId};

use crate::Result;
use crate::router::Handle;

pub use remote::Remotes;

/// One connection that something is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    /// Where in the proxy.
    pub handle: Handle,
    /// Which one: where another connection has taken its place, it is skipped.
    pub connection: ConnectionId,
    /// The message's seq in the inbox of this connection's user; 0 for what is not stored.
    pub inbox_seq: u64,
}

/// What is handed to single connections.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A stored message, without an inbox seq: each receiver has its own.
    Stored(Arc<Message>),
    /// What Anser's own clients are told and is not stored; a goim client has no word for it and is passed over.
    Event(Arc<Event>),
    /// Bytes of the business under an operation; it goes to those connections that accept the operation.
    Operation {
        /// The operation.
        operation: Operation,
        /// The bytes, as they were given.
        body: Bytes,
    },
}

/// One payload and whom it is for.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Whom.
    pub receivers: Vec<Receiver>,
    /// What.
    pub payload: Payload,
}

/// What is handed to a room.
#[derive(Debug, Clone)]
pub enum RoomPayload {
    /// What a member of the room sent.
    Message(Arc<RoomMessage>),
    /// A row of a super group.
    Row(Arc<Message>),
    /// What those in the room are told; a goim client is passed over.
    Event(Arc<Event>),
    /// Bytes of the business under an operation; `accepts` does not filter it.
    Operation {
        /// The operation.
        operation: Operation,
        /// The bytes, as they were given.
        body: Bytes,
    },
}

/// One payload for everybody in a room.
#[derive(Debug, Clone)]
pub struct RoomDelivery {
    /// The room.
    pub room: RoomId,
    /// What.
    pub payload: RoomPayload,
    /// Where it stood in topic `push`: (partition, offset). A proxy drops what is not above the last offset it
    /// took from that partition.
    pub position: (u32, u64),
}

/// One payload for everybody.
#[derive(Debug, Clone)]
pub struct BroadcastDelivery {
    /// The operation.
    pub operation: Operation,
    /// The bytes, as they were given.
    pub body: Bytes,
    /// Connections per second in this proxy; 0 as fast as it can.
    pub speed: u32,
    /// Where it stood in topic `push`: (partition, offset).
    pub position: (u32, u64),
}

/// A connection to be ended.
#[derive(Debug, Clone, Copy)]
pub struct Kick {
    /// Where in the proxy.
    pub handle: Handle,
    /// Which one.
    pub connection: ConnectionId,
    /// Why.
    pub code: CloseCode,
}

/// A connection's user is in a super group from now on, or no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipChange {
    /// Where in the proxy.
    pub handle: Handle,
    /// Which one.
    pub connection: ConnectionId,
    /// Which group.
    pub group: GroupId,
    /// What has a lower version than the last one taken for this group is late and passed over.
    pub version: u64,
    /// Whether the user is in it.
    pub member: bool,
}

/// Holds the clients' connections.
#[async_trait]
pub trait Proxy: Send + Sync {
    /// Hands payloads to single connections. Two deliveries to the same connection by the same caller keep their
    /// order. It waits while the proxy's queues are full.
    ///
    /// # Errors
    /// `Unavailable` where the proxy is gone.
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()>;

    /// Hands payloads to rooms, in their order.
    ///
    /// # Errors
    /// As `deliver`.
    async fn deliver_to_rooms(&self, deliveries: Vec<RoomDelivery>) -> Result<()>;

    /// Hands a payload to every connection that accepts its operation. It answers when the proxy has taken the
    /// order, not when the last connection has the payload.
    ///
    /// # Errors
    /// As `deliver`.
    async fn broadcast(&self, delivery: BroadcastDelivery) -> Result<()>;

    /// Puts connections into the rooms of super groups, or takes them out. When it answers it is done, and pushes to
    /// a room that was entered reach it.
    ///
    /// # Errors
    /// As `deliver`; what the router failed with where a room could not be announced.
    async fn set_memberships(&self, changes: Vec<MembershipChange>) -> Result<()>;

    /// Ends connections, telling their clients why.
    ///
    /// # Errors
    /// As `deliver`.
    async fn kick(&self, kicks: Vec<Kick>) -> Result<()>;
}

/// Finds the proxies of the system by their ids.
pub trait Proxies: Send + Sync {
    /// The proxy of that id; `None` where it is not, or no longer, known.
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>>;

    /// All proxies that are known.
    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)>;
}
