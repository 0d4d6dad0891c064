//! What the writing thread keeps in memory, and what several kinds of changes have in common.
//!
//! A change first reads all that it depends on, which may fail, and then puts all its rows, which cannot: so
//! one that fails leaves nothing of itself in a commit that others share.

use std::sync::Arc;

use fjall::Slice;
use protocol::{ConversationId, UserId};

use super::Floors;
use super::answers::Answers;
use super::blocks::Blocks;
use super::heads::{ChangeHead, Heads, InboxHead, OutboxHead};
use super::intents::{Intents, Lanes};
use super::keys::{self, CHANGES, INBOX, Key, OUTBOX, STATES};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::writer::State;
use crate::database::{Table, View, corrupt};
use crate::store::rows::{self, ChangeRow, Entry, StateRow, Stored};
use crate::store::rules::lane_of;

/// What the writing thread keeps in memory.
pub(super) struct Changes {
    pub(super) outbox_heads: Heads<OutboxHead>,
    pub(super) inbox_heads: Heads<InboxHead>,
    pub(super) change_heads: Heads<ChangeHead>,
    pub(super) intents: Intents,
    pub(super) answers: Answers,
    pub(super) blocks: Blocks,
}

impl State for Changes {
    fn complete(&mut self, draft: &mut Draft) {
        self.intents.complete(draft);
        self.answers.complete(draft);
    }

    fn committed(&mut self) {
        self.outbox_heads.committed();
        self.inbox_heads.committed();
        self.change_heads.committed();
        self.intents.committed();
        self.answers.committed();
    }

    fn abandoned(&mut self) {
        self.outbox_heads.abandoned();
        self.inbox_heads.abandoned();
        self.change_heads.abandoned();
        self.intents.abandoned();
        self.answers.abandoned();
        self.blocks.abandoned();
    }

    fn closing(&mut self, draft: &mut Draft) {
        self.intents.closing(draft);
    }
}

/// A change that is to be logged: what it makes the head of the user's changes.
pub(super) struct Logged {
    box_key: Key,
    head: ChangeHead,
}

impl Changes {
    pub(super) fn new(floors: Arc<Floors>, lanes: Arc<Lanes>) -> Self {
        Self {
            outbox_heads: Heads::new(),
            inbox_heads: Heads::new(),
            change_heads: Heads::new(),
            intents: Intents::new(lanes),
            answers: Answers::new(floors),
            blocks: Blocks::new(),
        }
    }

    /// Puts a row at the end of a conversation's outbox, and its intent.
    pub(super) fn put_row(
        &mut self,
        draft: &mut Draft,
        conversation: &ConversationId,
        outbox: &[u8],
        seq: u64,
        stored: &Stored,
    ) {
        let lane = lane_of(stored.fan_out);
        let (message_id, time_ms) = (stored.message_id, stored.running.time_ms);
        self.intents.add(lane, Entry { message_id, time_ms, seq, conversation: conversation.clone() });
        draft.put(OUTBOX, keys::in_box(outbox, seq), stored.encode());
        self.outbox_heads.raise(outbox, OutboxHead { top: seq, running: stored.running });
    }

    /// Reads what a change of one of a user's conversations makes of their version: the sum of the inbox's top and
    /// of how many changes there are. To be put by [`Self::put_logged`] before anything else is read for the user.
    pub(super) fn log(&self, draft: &Draft, user: &UserId) -> Result<Logged> {
        let box_key = keys::of_user(CHANGES, user);
        let ordinal = self.change_heads.get(draft, &box_key)?.ordinal + 1;
        let version = self.inbox_heads.get(draft, &keys::of_user(INBOX, user))?.top + ordinal;
        Ok(Logged { box_key, head: ChangeHead { version, ordinal } })
    }

    /// Puts a row into the log of changes.
    pub(super) fn put_logged(&mut self, draft: &mut Draft, logged: Logged, conversation: &ConversationId) {
        let Logged { box_key, head } = logged;
        let row = ChangeRow { ordinal: head.ordinal, conversation: conversation.as_str() };
        draft.put_unread(CHANGES, keys::in_box(&box_key, head.version), row.encode());
        self.change_heads.raise(&box_key, head);
    }
}

/// What a conversation is for a user, with the key it stands under.
pub(super) fn state(
    draft: &Draft,
    user: &UserId,
    conversation: &ConversationId,
) -> Result<(Key, Option<StateRow>)> {
    let key = keys::state(STATES, user, conversation);
    let state = decoded(draft.get(STATES, &key)?, STATES, &key, StateRow::decode)?;
    Ok((key, state))
}

/// The number under a key.
pub(super) fn number(draft: &Draft, table: Table, key: &[u8]) -> Result<Option<u64>> {
    decoded(draft.get(table, key)?, table, key, rows::decode_number)
}

/// The number under a key as it is stored.
pub(super) fn stored_number(view: &View<'_>, table: Table, key: &[u8]) -> Result<Option<u64>> {
    decoded(view.get(table, key)?, table, key, rows::decode_number)
}

/// Reads a row, where there is one.
pub(super) fn decoded<T>(
    row: Option<Slice>,
    table: Table,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>> {
    match row {
        Some(row) => decode(&row).map(Some).ok_or_else(|| corrupt(table, key)),
        None => Ok(None),
    }
}
