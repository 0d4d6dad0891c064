//! Rows of outboxes and inboxes, and what is asked of them.

use bytes::Bytes;
use protocol::{ConversationId, DeviceId, UserId};

/// A row to be written to a conversation's outbox: a message, or a recall of one.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub conversation: ConversationId,
    /// Global id, rising with time; no other row has it.
    pub message_id: u64,
    /// Who sent it.
    pub sender: UserId,
    /// Chosen by the client; with the sender it names the first answer.
    pub client_message_id: String,
    /// When, in milliseconds since 1970. Where the row before it in the conversation is later, it gets that time.
    pub time_ms: u64,
    /// What; the store does not look into it.
    pub content: Bytes,
    /// It is a message: it counts as unread, and as what its sender sent last. A control row does neither.
    pub counted: bool,
    /// Users whose conversation gets a mention mark with this row. Distinct.
    pub mentions: Vec<UserId>,
    /// Everybody in the conversation gets one.
    pub mention_all: bool,
    /// An earlier row whose content becomes this, in the same commit.
    pub replaces: Option<Replacement>,
    /// What must hold for it to be written.
    pub guard: Guard,
    /// Whose inboxes get a row in the same commit: both users of a single chat, one for a chat with oneself,
    /// none for a group. Distinct.
    pub inboxes: Vec<UserId>,
}

/// What a recall does to the row that it names.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Which row of the conversation.
    pub seq: u64,
    /// What stands there from now on.
    pub content: Bytes,
}

/// What must hold when a row is written; it is looked at in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    None,
    /// The receiver has not blocked the sender. With `existing`, the conversation has a row already.
    Single {
        /// The other user.
        receiver: UserId,
        /// A conversation cannot be begun with this row.
        existing: bool,
    },
    /// The sender is a member of the group, which has not ended.
    Member,
    /// The sender is a member and not muted; where all are muted, owner or admin.
    MayWrite,
}

/// Why a row was not written. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The receiver has blocked the sender.
    Blocked,
    /// The conversation has no row yet.
    NoConversation,
    /// There is no such group.
    NoGroup,
    /// The sender is not a member.
    NotMember,
    /// The sender is muted.
    Muted,
    /// Everybody without a role is muted.
    AllMuted,
    /// The group has ended.
    Dismissed,
    /// The row that was to be replaced is not there.
    NoTarget,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was written, or had been before.
    Written(Appended),
    /// Its guard did not hold.
    Denied(Denied),
}

/// How a row gets to its receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FanOut {
    /// Its inbox rows are in the same commit: a single chat.
    InCommit,
    /// consumer writes it into the members' inboxes: a group.
    OnWrite,
    /// It stands in the outbox alone: a super group.
    OnRead,
}

/// What was written, or was already there under the same sender and client message id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Where it is; of a duplicate, where the first one is.
    pub conversation: ConversationId,
    /// Its seq in the conversation.
    pub seq: u64,
    /// Its global id.
    pub message_id: u64,
    /// When it was sent.
    pub time_ms: u64,
    /// How it gets to its receivers.
    pub fan_out: FanOut,
    /// Its seq in each inbox that was named, in that order; of a duplicate, as the first one named them.
    pub inbox_seqs: Vec<u64>,
    /// Set where an earlier append had the same sender and client message id: nothing was written.
    pub duplicate: bool,
}

/// A row of a conversation's outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Its seq there.
    pub seq: u64,
    /// Global id.
    pub message_id: u64,
    /// Who sent it.
    pub sender: UserId,
    /// Chosen by the client.
    pub client_message_id: String,
    /// When, in milliseconds since 1970; never before the row before it.
    pub time_ms: u64,
    /// What.
    pub content: Bytes,
    /// It is a message and not a control row.
    pub counted: bool,
    /// How it gets to its receivers.
    pub fan_out: FanOut,
    /// The last row up to this one that changed who is a member of the group; 0 in a single chat. Two rows that
    /// are not themselves such a change and have the same value have the same receivers.
    pub membership_seq: u64,
}

/// A row of an inbox, with the message it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// Its seq in the inbox.
    pub inbox_seq: u64,
    /// The message.
    pub message: OutboxRow,
}

/// A part of an inbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxPage {
    /// Ascending by inbox seq.
    pub rows: Vec<InboxRow>,
    /// The highest seq in the inbox when the page was read.
    pub top: u64,
}

/// A part of an outbox that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRange {
    /// Whose outbox.
    pub conversation: ConversationId,
    /// The first seq, at least 1.
    pub begin: u64,
    /// The last seq; 0: the top.
    pub end: u64,
}

/// From where a conversation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFrom {
    /// The last rows below this seq; `u64::MAX`: the last ones.
    Before(u64),
    /// The first rows above this seq.
    After(u64),
    /// The last rows before this time, in milliseconds since 1970.
    BeforeTime(u64),
    /// The first rows at or after this time.
    AfterTime(u64),
}

/// A part of a conversation that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRange {
    /// Which conversation.
    pub conversation: ConversationId,
    /// The lowest seq that may be answered.
    pub low: u64,
    /// The highest seq that may be answered; 0: the top.
    pub high: u64,
    /// From where, and in which direction.
    pub from: HistoryFrom,
    /// How many rows at most.
    pub limit: usize,
}

/// A part of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// Ascending by seq, whatever the direction.
    pub rows: Vec<OutboxRow>,
    /// There are more in that direction.
    pub more: bool,
}

/// Whose work a row's intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntentLane {
    /// im hands it to push: single chats and super groups.
    Push,
    /// consumer fans it out: groups.
    FanOut,
}

/// A row that was stored and is not known to have been handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The row.
    pub message: OutboxRow,
    /// The inboxes that were written with it, and its seq in each.
    pub inboxes: Vec<(UserId, u64)>,
}

/// Up to where a device has received its user's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// Up to where.
    pub inbox_seq: u64,
}
