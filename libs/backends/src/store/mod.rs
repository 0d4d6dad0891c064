//! Messages, inboxes, groups, conversations and positions, durably.
//!
//! **Order.** A seq is consecutive inside its box (1, 2, 3, …) and never used twice. It is allotted inside the
//! transaction that writes the row, so a crash leaves no hole. Appends that one caller hands over one after
//! another, without waiting, are written in that order.
//!
//! **Atomicity.** Outbox row, intent and first answer of one append are written together or not at all.
//! Callers must not rely on more: inbox rows of the receivers named in an append are written with them where
//! they lie in the same shard, and are made again from the intent elsewhere.
//!
//! A change of a group is written whole (its record, its members, its row and intent) or not at all, and only if
//! nobody changed the group since it was decided.
//!
//! **Durability.** When a method that writes answers `Ok`, the rows survive kill -9 and loss of power. What
//! `clear_intents`, `sweep_answers` and `set_last_seen` did may be undone by a crash.

pub mod conversation;
pub mod embedded;
pub mod group;
pub mod message;
pub mod mysql;
mod rows;
mod rules;

use std::sync::Arc;

use async_trait::async_trait;
use protocol::{ConversationId, DeviceId, GroupId, UserId};

use crate::Result;

pub use conversation::{Conversation, ConversationPage, ReadMoved, Standing};
pub use group::{
    Group, GroupChange, GroupChanged, GroupSettings, HistoryRule, JoinRequest, JoinRule, Member,
    MemberChange, MemberChangeKind, Role, SuperChange,
};
pub use message::{
    Append, Appended, Denied, FanOut, Guard, HistoryFrom, HistoryPage, HistoryRange, InboxPage, InboxRow,
    Intent, IntentLane, OutboxRange, OutboxRow, Outcome, Position, Replacement,
};

/// Keeps messages, inboxes, groups, conversations and positions.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes messages, each in its own right: one that fails does not fail the others. Answers in their order
    /// when all of them are durable.
    ///
    /// # Errors
    /// `Full`: the queue before the store is full and nothing was written. `Transient`: it may or may not have
    /// been written; asking again with the same client message id tells. `Conflict`: its conversation or client
    /// message id is longer than any store takes.
    async fn append(&self, appends: Vec<Append>) -> Vec<Result<Outcome>>;

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

    /// Reads parts of outboxes from `begin` to `end`, in the order asked, at most `limit` rows in all: where they
    /// are used up, the later parts have none. All of them are read in one batch.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn outbox_pages(&self, ranges: &[OutboxRange], limit: usize) -> Result<Vec<Vec<OutboxRow>>>;

    /// The highest seq of each conversation, 0 where it is empty, in the order asked.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn outbox_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>>;

    /// Reads a part of a conversation backwards or forwards, by seq or by time.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn history(&self, range: HistoryRange) -> Result<HistoryPage>;

    /// Who gets a row of a group: the members with joined < seq < left, ascending; the same whenever it is asked,
    /// until the fan-out stands above it.
    ///
    /// # Errors
    /// `Missing` where there is no such group; `Transient`, `Corrupt`.
    async fn receivers(&self, conversation: &ConversationId, seq: u64) -> Result<Vec<UserId>>;

    /// Writes one row of a conversation into inboxes. A user who has it already keeps the row and its seq: doing it
    /// again changes nothing. Answers the seq in each inbox, in the order given.
    ///
    /// # Errors
    /// `Missing` where the conversation has no such seq; `Conflict` where its fan-out stands at or above it already;
    /// `Full`, `Transient` as `append`.
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

    /// The intents in one lane of rows sent before `before_ms`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn intents(&self, lane: IntentLane, before_ms: u64, limit: usize) -> Result<Vec<Intent>>;

    /// Removes intents of rows that were handed on, named by global message id. One that is not there is skipped.
    ///
    /// # Errors
    /// `Full`, `Transient`.
    async fn clear_intents(&self, lane: IntentLane, message_ids: Vec<u64>) -> Result<()>;

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

    /// The highest seq that others sent to each single chat among a part of a user's inbox, `from` excluded, `to`
    /// included; the newest `limit` rows of it are looked at.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn received(
        &self,
        user: &UserId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<(ConversationId, u64)>>;

    /// Groups as they stand, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn groups(&self, groups: &[GroupId]) -> Result<Vec<Option<Group>>>;

    /// Users in a group, in the order asked; `None` who never was a member. One who has left may be forgotten.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn members(&self, group: &GroupId, users: &[UserId]) -> Result<Vec<Option<Member>>>;

    /// The members of a group after one of them, at most `limit`, in an order of the store's own.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn members_page(
        &self,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>>;

    /// Changes a group. Answers `None`, and nothing is changed, where its version is not the expected one.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn change_group(&self, change: GroupChange) -> Result<Option<GroupChanged>>;

    /// The super groups of a user after one of them, at most `limit`, ascending by conversation: those the user is
    /// a member of. Each with its standing.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn super_groups(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<(ConversationId, Standing)>>;

    /// Keeps that somebody asks to be let in; a second request replaces the first. Answers false where `limit`
    /// others ask already.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn put_join_request(&self, group: &GroupId, request: JoinRequest, limit: usize) -> Result<bool>;

    /// Those who ask to be let in.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn join_requests(&self, group: &GroupId) -> Result<Vec<JoinRequest>>;

    /// Forgets that somebody asked; answers whether somebody had.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn remove_join_request(&self, group: &GroupId, user: &UserId) -> Result<bool>;

    /// What bounds a user's view of each conversation, in the order asked; `None` where the user has no part in it:
    /// a group that the user never was in, or a single chat of others.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn standings(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Standing>>>;

    /// Conversations as they are for a user, in the order asked; `None` where the user has no part in it, or a
    /// single chat has no row.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn conversations(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Conversation>>>;

    /// The user's conversations that have changed since a version, at most `limit`; 0: all of them. One may come
    /// in two pages; one that has changed comes in at least one.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn conversations_since(
        &self,
        user: &UserId,
        version: u64,
        limit: usize,
    ) -> Result<ConversationPage>;

    /// The user has read a conversation up to a seq; it is only ever raised, and at most to what the user may see.
    /// Answers `None` where the user has no part in it.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn set_read(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        seq: u64,
    ) -> Result<Option<ReadMoved>>;

    /// Up to where each user has read, or has sent, in a conversation, in the order asked; 0 where nothing is known.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn reads(&self, conversation: &ConversationId, users: &[UserId]) -> Result<Vec<u64>>;

    /// Sets what a user has chosen for a conversation; what is `None` stays. Answers false where the user has no
    /// part in it.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn set_choices(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        pinned: Option<bool>,
        muted: Option<bool>,
    ) -> Result<bool>;

    /// Blocks another user, or no more. Answers false where the user has blocked `limit` others already.
    ///
    /// # Errors
    /// `Full`, `Transient` as `append`.
    async fn set_blocked(&self, user: &UserId, other: &UserId, blocked: bool, limit: usize) -> Result<bool>;

    /// Whom a user has blocked.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn blocked(&self, user: &UserId) -> Result<Vec<UserId>>;

    /// Tells of each of `users` whether they have blocked another, in the order asked.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn have_blocked(&self, users: &[UserId], other: &UserId) -> Result<Vec<bool>>;

    /// When each user's last device went away, in milliseconds since 1970, in the order asked; 0: not known.
    ///
    /// # Errors
    /// `Transient`, `Corrupt`.
    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<u64>>;

    /// Records when users' last devices went away; a record is only ever raised.
    ///
    /// # Errors
    /// `Full`, `Transient`.
    async fn set_last_seen(&self, seen: Vec<(UserId, u64)>) -> Result<()>;

    /// Forgets first answers of messages sent before `before_ms`, at most `limit`; answers how many.
    ///
    /// # Errors
    /// `Full`, `Transient`.
    async fn sweep_answers(&self, before_ms: u64, limit: usize) -> Result<usize>;
}

/// Opens the store that a URL names: `embedded:<folder>`, or
/// `mysql://user:password@host:port[,host:port]/database`.
///
/// # Errors
/// An unknown scheme, or what the implementation fails with.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    match crate::open::by_scheme(url, "store", &["embedded", "mysql"])? {
        ("mysql", rest) => mysql::open(rest).await,
        (_, folder) => embedded::open(folder).await,
    }
}
