//! What im, consumer and logic ask of push.
//!
//! Unicasts and multicasts are calls. Messages for rooms and for everybody are records in topic `push`: see
//! [`Record`].

mod convert;
mod remote;
pub(crate) mod serve;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use protocol::client::{self, Message, RoomMessage};
use protocol::codec::Event;
use protocol::operation::Operation;
use protocol::{ConnectionId, DeviceId, GroupId, UserId};

use crate::Result;

pub use remote::Remote;

/// A stored message for one user.
#[derive(Debug, Clone)]
pub struct StoredPush {
    /// Whom it is for.
    pub user: UserId,
    /// Its seq in that user's inbox.
    pub inbox_seq: u64,
    /// The message, without an inbox seq.
    pub message: Arc<Message>,
    /// The connection whose reply already carried the inbox seq.
    pub except: Option<ConnectionId>,
}

/// What became of a push to one user or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one connection was there, and its proxy has taken the push.
    Queued,
    /// No connection is there.
    Offline,
    /// It is not known whether a connection is there.
    Unknown,
}

impl Outcome {
    /// The word that the server API says.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}

/// Something that users are told and that is not stored: a receipt, that somebody is writing.
#[derive(Debug, Clone)]
pub struct EventPush {
    /// Whom it is for.
    pub users: Vec<UserId>,
    /// What.
    pub event: Arc<Event>,
    /// A connection that knows it already.
    pub except: Option<ConnectionId>,
}

/// A user is in a super group from now on, or no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Who.
    pub user: UserId,
    /// Which group.
    pub group: GroupId,
    /// The seq of the row that changed it: what has a lower one is late.
    pub version: u64,
    /// Whether the user is in it.
    pub member: bool,
}

/// Where a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// On these devices.
    Online(Vec<DeviceId>),
    /// On none.
    Offline,
    /// It is not known at the moment.
    Unknown,
}

/// Hands frames to the proxies that hold the receivers.
#[async_trait]
pub trait Push: Send + Sync {
    /// Pushes stored messages, in their order for each user. When it answers, the proxies that were found have
    /// taken them; who is offline gets them from the inbox.
    ///
    /// # Errors
    /// What the router failed with. The caller's intent stays, and a sweep hands it on again.
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()>;

    /// Pushes what is not stored to all connections of the users. At most once.
    ///
    /// # Errors
    /// What the router failed with.
    async fn push_events(&self, pushes: Vec<EventPush>) -> Result<()>;

    /// Puts the connections of users into the rooms of super groups, or takes them out. When it answers, every
    /// connection that was in the directory has been told; one that comes later asks im.
    ///
    /// # Errors
    /// What the router or a proxy failed with: some may not have been told, and it is to be said again.
    async fn set_memberships(&self, memberships: Vec<Membership>) -> Result<()>;

    /// Where each user is, in the order asked.
    ///
    /// # Errors
    /// What the router failed with.
    async fn whereabouts(&self, users: &[UserId]) -> Result<Vec<Whereabouts>>;

    /// Pushes bytes under an operation to all connections of each user; answers in the order asked.
    ///
    /// # Errors
    /// What the router failed with.
    async fn push_to_users(
        &self,
        users: Vec<UserId>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>>;

    /// Pushes bytes under an operation to the connection of each key; answers in the order asked.
    ///
    /// # Errors
    /// What the router failed with.
    async fn push_to_keys(
        &self,
        keys: Vec<String>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>>;
}

/// The name of the topic that carries [`Record`]s; the key of a record is the room, empty for everybody.
pub const TOPIC: &str = "push";

/// A message for a room or for everybody, as it stands in topic `push`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The room; empty: everybody.
    #[prost(string, tag = "1")]
    pub room: String,
    /// What a member of the room sent; else `row`, `event`, or `operation` and `body` count.
    #[prost(message, optional, tag = "2")]
    pub message: Option<RoomMessage>,
    /// The operation of what the business sends.
    #[prost(int32, tag = "3")]
    pub operation: i32,
    /// The bytes of what the business sends.
    #[prost(bytes = "bytes", tag = "4")]
    pub body: Bytes,
    /// For everybody: connections per second in all; 0 as fast as it can.
    #[prost(uint32, tag = "5")]
    pub speed: u32,
    /// A row of a super group, for its room.
    #[prost(message, optional, tag = "6")]
    pub row: Option<Message>,
    /// Something that those in the room are told.
    #[prost(message, optional, tag = "7")]
    pub event: Option<client::Push>,
}
