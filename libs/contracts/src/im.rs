//! What the proxy asks of im: store this, what did I miss, I have received up to.

use async_trait::async_trait;
use protocol::client::{Message, SendReply, Target};
use protocol::message::Content;
use protocol::{ConnectionId, DeviceId, UserId};

use crate::Result;

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// Who sends.
    pub sender: UserId,
    /// On which connection: its reply carries the inbox seq, so it is excepted from the push.
    pub connection: ConnectionId,
    /// For whom.
    pub to: Target,
    /// The same id of the same sender again within 24 hours gets the first answer.
    pub client_message_id: String,
    /// What.
    pub content: Content,
}

/// Where a device stands when it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The highest seq in the user's inbox.
    pub inbox_top: u64,
    /// The server's record of this device.
    pub acked_up_to: u64,
    /// What the device holds: the replay begins after it.
    pub held_up_to: u64,
}

/// A part of an inbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Ascending by inbox seq, which is set in each.
    pub messages: Vec<Message>,
    /// The highest seq in the inbox.
    pub top: u64,
    /// The seq to ask for next; 0: no more. The page covers [begin, next − 1], or to `top` when it is 0.
    pub next: u64,
}

/// A device has received everything up to a seq.
#[derive(Debug, Clone)]
pub struct Position {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// Up to where.
    pub inbox_seq: u64,
}

/// Single chat, groups, offline messages.
#[async_trait]
pub trait Im: Send + Sync {
    /// Stores a message to a user and answers when it is durable; hands one to a room on without storing it.
    /// Calls that one caller makes one after another, without waiting, are stored in that order.
    ///
    /// # Errors
    /// `Refused` with the content's or the receiver's fault; `Overloaded`, `Unavailable` when the store cannot
    /// take it: it may or may not be stored, and the same client message id asks again.
    async fn send(&self, request: SendRequest) -> Result<SendReply>;

    /// Tells where a device stands. `held_up_to` is what the device says it holds: `None` the server's record
    /// counts, and a device without one holds max(0, top − 300); past the top it is taken as the top.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    async fn resume(&self, user: &UserId, device: &DeviceId, held_up_to: Option<u64>) -> Result<Resumed>;

    /// Reads a part of a user's inbox: from `begin`, at least 1, to `end`, 0 being the top, at most `limit`
    /// messages. Where `end` is reached below the top, `next` is the seq after it.
    ///
    /// # Errors
    /// As `resume`; `Refused` with `InvalidArgument` where `end` lies before `begin`.
    async fn page(&self, user: &UserId, begin: u64, end: u64, limit: u32) -> Result<Page>;

    /// Records positions; a record is only ever raised. When it answers they are stored.
    ///
    /// # Errors
    /// As `resume`.
    async fn ack(&self, positions: Vec<Position>) -> Result<()>;

    /// The highest seq in each user's inbox, in the order asked; at most one heartbeat period old.
    ///
    /// # Errors
    /// As `resume`.
    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>>;
}
