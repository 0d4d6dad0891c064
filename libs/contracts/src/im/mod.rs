//! What the proxy asks of im: store this, what did I miss, I have received up to.

mod convert;
mod remote;
pub(crate) mod serve;

use async_trait::async_trait;
use protocol::client::{self, GroupTop, Message, SendReply};
use protocol::codec::{ReplyKind, RequestKind};
use protocol::{ConnectionId, ConversationId, DeviceId, GroupId, UserId};

use crate::Result;

pub use remote::Remote;

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// Who sends.
    pub sender: UserId,
    /// On which connection: its reply carries the inbox seq, so it is excepted from the push.
    pub connection: ConnectionId,
    /// What, and for whom.
    pub send: client::Send,
}

/// Who asks something.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who.
    pub user: UserId,
    /// On which device; `None` where the business asks in the user's name.
    pub device: Option<DeviceId>,
    /// On which connection, which is not told of what it did itself.
    pub connection: Option<ConnectionId>,
}

/// A super group that a user is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperGroup {
    /// Which.
    pub group: GroupId,
    /// The seq of the row with which the user came in: a command with a lower one is late.
    pub version: u64,
}

/// Where a device stands when it connects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resumed {
    /// The highest seq in the user's inbox.
    pub inbox_top: u64,
    /// The server's record of this device.
    pub acked_up_to: u64,
    /// What the device holds: the replay begins after it.
    pub held_up_to: u64,
    /// The first page of the user's super groups, ascending by conversation.
    pub groups: Vec<GroupTop>,
    /// Where they go on; empty: these are all.
    pub groups_next: String,
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
    /// Stores a message to a user or a group and answers when it is durable; hands one to a room on without storing
    /// it.
    /// Calls that one caller makes one after another, without waiting, are stored in that order; only a message that
    /// means everybody in a group may come after what its sender says next.
    ///
    /// # Errors
    /// `Refused` with the content's or the receiver's fault; `Overloaded`, `Unavailable` when the store cannot
    /// take it: it may or may not be stored, and the same client message id asks again.
    async fn send(&self, request: SendRequest) -> Result<SendReply>;

    /// Answers any other request of a client: groups, conversations, receipts, presence, history. The reply is of
    /// the request's name. What it changes is durable when it answers.
    ///
    /// # Errors
    /// `Refused` names what is wrong; a request that is not im's is refused with `UnknownRequest`.
    async fn ask(&self, asker: Asker, request: RequestKind) -> Result<ReplyKind>;

    /// The super groups of a user. Whoever asks after its connection is in the directory misses none: a later change
    /// is commanded through [`crate::proxy::Proxy::set_memberships`].
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    async fn super_groups(&self, user: &UserId) -> Result<Vec<SuperGroup>>;

    /// The highest seq of each conversation, in the order asked; at most one heartbeat period old.
    ///
    /// # Errors
    /// As `super_groups`.
    async fn group_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>>;

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
