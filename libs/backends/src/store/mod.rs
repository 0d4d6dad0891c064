//! Messages, inboxes and positions, durably.
//!
//! **Order.** A seq is consecutive inside its box (1, 2, 3, …) and never used twice. It is allotted inside the
//! transaction that writes the row, so a crash leaves no hole. Appends that one caller hands over one after
//! another, without waiting, are written in that order.
//!
//! **Atomicity.** Outbox row, intent and first answer of one append are written together or not at all.
//! Callers must not rely on more: inbox rows of the receivers named in an append are written with them where
//! they lie in the same shard, and are made again from the intent elsewhere.
//!
//! **Durability.** When `append`, `fan_out`, `set_positions` or `advance_fanned_out` answers `Ok`, the rows
//! survive kill -9 and loss of power. `clear_intents` and `sweep_answers` may be undone by a crash: what they
//! removed may be seen again.

pub mod embedded;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use protocol::{ConversationId, DeviceId, UserId};

use crate::Result;

/// A message to be written to a conversation's outbox.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub conversation: ConversationId,
    /// Global id, rising with time; no other message has it.
    pub message_id: u64,
    /// Who sent it.
    pub sender: UserId,
    /// Chosen by the client; with the sender it names the first answer.
    pub client_message_id: String,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What; the store does not look into it.
    pub content: Bytes,
    /// Whose inboxes get a row in the same commit: both users of a single chat, one for a chat with oneself,
    /// none for a group. Distinct.
    pub inboxes: Vec<UserId>,
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
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub content: Bytes,
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

/// A message that was stored and is not known to have been handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The message.
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

/// Keeps messages, inboxes and positions.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes messages, each in its own right: one that fails does not fail the others. Answers in their order
    /// when all of them are durable.
    ///
    /// # Errors
    /// `Full`: the queue before the store is full and nothing was written. `Transient`: it may or may not have
    /// been written; asking again with the same client message id tells. `Conflict`: its conversation or client
    /// message id is longer than any store takes.
    async fn append(&self, appends: Vec<Append>) -> Vec<Result<Appended>>;

    /// Reads an inbox from `begin` (at least 1) to `end` (0: to the top), at most `limit` rows.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn inbox_page(&self, user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage>;

    /// The highest seq of each inbox, 0 where it is empty, in the order asked.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>>;

    /// Reads a conversation's outbox from `begin` (at least 1) to `end` (0: to the top), at most `limit` rows.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn outbox_page(
        &self,
        conversation: &ConversationId,
        begin: u64,
        end: u64,
        limit: usize,
    ) -> Result<Vec<OutboxRow>>;

    /// Writes one message of a conversation into inboxes. A user who has it already keeps the row and its seq:
    /// doing it again changes nothing. Answers the seq in each inbox, in the order given.
    ///
    /// # Errors
    /// `Missing` where the conversation has no such seq; `Full`, `Transient` as `append`.
    async fn fan_out(&self, conversation: &ConversationId, seq: u64, users: Vec<UserId>) -> Result<Vec<u64>>;

    /// Up to which seq a conversation's fan-out is done; 0 at the beginning.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn fanned_out_to(&self, conversation: &ConversationId) -> Result<u64>;

    /// Moves `fanned_out_to` from one value to the next. Answers false where it is not `from`: someone else
    /// moved it.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn advance_fanned_out(&self, conversation: &ConversationId, from: u64, to: u64) -> Result<bool>;

    /// The intents of messages sent before `before_ms`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn intents(&self, before_ms: u64, limit: usize) -> Result<Vec<Intent>>;

    /// Removes intents of messages that were handed on, named by global message id. One that is not there is
    /// skipped.
    ///
    /// # Errors
    /// `Full`, `Transient`.
    async fn clear_intents(&self, message_ids: Vec<u64>) -> Result<()>;

    /// The position of a device; `None` where none was ever recorded.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn position(&self, user: &UserId, device: &DeviceId) -> Result<Option<u64>>;

    /// Records positions; a record is only ever raised.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn set_positions(&self, positions: Vec<Position>) -> Result<()>;

    /// Forgets first answers of messages sent before `before_ms`, at most `limit`; answers how many.
    ///
    /// # Errors
    /// `Full`, `Transient`.
    async fn sweep_answers(&self, before_ms: u64, limit: usize) -> Result<usize>;
}

/// Opens the store that a URL names: `embedded:<folder>`.
///
/// # Errors
/// An unknown scheme, or what the implementation fails with.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let (_, folder) = crate::open::by_scheme(url, "store", &["embedded"])?;
    embedded::open(folder).await
}
