//! What the writing thread does for each call that changes something.
//!
//! A change first reads all that it depends on, which may fail, and then puts all its rows, which cannot: so
//! one that fails leaves nothing of itself in a commit that others share.

use std::collections::HashMap;
use std::sync::Arc;

use fjall::Slice;
use protocol::{ConversationId, UserId};

use super::Floors;
use super::heads::Heads;
use super::keys::{
    self, ANSWER_TIMES, ANSWERS, FANNED_OUT, INBOX, INTENTS, OUTBOX, POSITIONS, PROGRESS, TEXT_BYTES_MAX,
};
use super::rows::{self, Aged, Pointer, Stored};
use crate::database::draft::Draft;
use crate::database::writer::State;
use crate::database::{Table, corrupt};
use crate::store::{Append, Appended, Position};
use crate::{Error, Kind, Result};

/// Answers that stand together in a row of [`ANSWER_TIMES`]: a sweep rewrites a row of which it forgets a part.
const AGED_PER_ROW: usize = 256;

/// What the writing thread keeps in memory.
pub(super) struct Changes {
    outbox_heads: Heads,
    inbox_heads: Heads,
    floors: Arc<Floors>,
    /// The first answers that the commit adds.
    added: Vec<Aged>,
    /// The oldest of those whose row the commit writes, which may be older than all that were added.
    aged_from_ms: Option<u64>,
}

impl State for Changes {
    fn complete(&mut self, draft: &mut Draft) {
        for answers in self.added.chunks(AGED_PER_ROW) {
            let oldest = put_aged(draft, answers);
            self.aged_from_ms = self.aged_from_ms.into_iter().chain(oldest).min();
        }
    }

    fn committed(&mut self) {
        self.outbox_heads.committed();
        self.inbox_heads.committed();
        for aged in self.added.drain(..) {
            self.floors.intents.note(aged.message_id);
        }
        if let Some(time_ms) = self.aged_from_ms.take() {
            self.floors.answers.note(time_ms);
        }
    }

    fn abandoned(&mut self) {
        self.outbox_heads.abandoned();
        self.inbox_heads.abandoned();
        self.added.clear();
        self.aged_from_ms = None;
    }
}

impl Changes {
    pub(super) fn new(floors: Arc<Floors>) -> Self {
        Self {
            outbox_heads: Heads::new(OUTBOX),
            inbox_heads: Heads::new(INBOX),
            floors,
            added: Vec::new(),
            aged_from_ms: None,
        }
    }

    pub(super) fn append(&mut self, draft: &mut Draft, append: Append) -> Result<Appended> {
        check_length("conversation", append.conversation.as_str())?;
        check_length("client message id", &append.client_message_id)?;
        let answer = keys::answer(&append.sender, &append.client_message_id);
        if let Some(row) = draft.get(ANSWERS, &answer)? {
            return first_answer(draft, &answer, &row);
        }
        let outbox = keys::outbox_of(&append.conversation);
        let seq = self.outbox_heads.top(draft, &outbox)? + 1;
        let mut inboxes: Vec<(UserId, u64)> = Vec::with_capacity(append.inboxes.len());
        let mut inbox_seqs = Vec::with_capacity(append.inboxes.len());
        let mut inbox_keys = Vec::with_capacity(append.inboxes.len());
        for user in append.inboxes {
            if let Some((_, seq)) = inboxes.iter().find(|(known, _)| *known == user) {
                inbox_seqs.push(*seq);
                continue;
            }
            let inbox = keys::inbox_of(&user);
            let inbox_seq = self.inbox_heads.top(draft, &inbox)? + 1;
            inbox_keys.push((inbox, inbox_seq));
            inbox_seqs.push(inbox_seq);
            inboxes.push((user, inbox_seq));
        }
        // From here on nothing fails.
        let Append { conversation, message_id, sender, client_message_id, time_ms, content, .. } = append;
        for (inbox, inbox_seq) in inbox_keys {
            draft.put(INBOX, keys::in_box(&inbox, inbox_seq), Pointer::encode(&conversation, seq, 0));
            self.inbox_heads.raise(inbox, inbox_seq);
        }
        draft.put(INTENTS, keys::intent(message_id), Pointer::encode(&conversation, seq, time_ms));
        draft.put(ANSWERS, answer.as_slice(), Pointer::encode(&conversation, seq, message_id));
        self.added.push(Aged { time_ms, message_id, answer });
        let stored = Stored { message_id, time_ms, sender, client_message_id, inboxes, content };
        draft.put(OUTBOX, keys::in_box(&outbox, seq), stored.encode());
        self.outbox_heads.raise(outbox, seq);
        Ok(Appended { conversation, seq, message_id, time_ms, inbox_seqs, duplicate: false })
    }

    pub(super) fn fan_out(
        &mut self,
        draft: &mut Draft,
        conversation: &ConversationId,
        seq: u64,
        users: &[UserId],
    ) -> Result<Vec<u64>> {
        let outbox_key = keys::outbox(conversation, seq);
        let Some(row) = draft.get(OUTBOX, &outbox_key)? else {
            let message = format!("conversation {conversation} has no message {seq}");
            return Err(Error::new(Kind::Missing, message));
        };
        let stored = Stored::decode(&row).ok_or_else(|| corrupt(OUTBOX, &outbox_key))?;
        let mut inbox_seqs = Vec::with_capacity(users.len());
        let mut fresh: Vec<(&UserId, Vec<u8>, u64)> = Vec::new();
        for user in users {
            let written = stored.inboxes.iter().find(|(owner, _)| owner == user).map(|(_, seq)| *seq);
            let twice = || fresh.iter().find(|(owner, ..)| *owner == user).map(|(_, _, seq)| *seq);
            if let Some(inbox_seq) = written.or_else(twice) {
                inbox_seqs.push(inbox_seq);
                continue;
            }
            let key = keys::fanned_out(user, conversation, seq);
            if let Some(inbox_seq) = number(draft, FANNED_OUT, &key)? {
                inbox_seqs.push(inbox_seq);
                continue;
            }
            let inbox_seq = self.inbox_heads.top(draft, &keys::inbox_of(user))? + 1;
            inbox_seqs.push(inbox_seq);
            fresh.push((user, key, inbox_seq));
        }
        // From here on nothing fails.
        for (user, key, inbox_seq) in fresh {
            let inbox = keys::inbox_of(user);
            draft.put(INBOX, keys::in_box(&inbox, inbox_seq), Pointer::encode(conversation, seq, 0));
            self.inbox_heads.raise(inbox, inbox_seq);
            draft.put(FANNED_OUT, key, rows::encode_number(inbox_seq));
        }
        Ok(inbox_seqs)
    }

    /// Forgets answers of messages sent before `before_ms`, at most `limit`, that stand in these rows of
    /// [`ANSWER_TIMES`]; answers how many. An answer and its place there are always removed together, so none is
    /// found there that another message has taken over. What is left of a row is put back under its own oldest.
    pub(super) fn forget_answers(
        &mut self,
        draft: &mut Draft,
        row_keys: &[Slice],
        before_ms: u64,
        limit: usize,
    ) -> Result<usize> {
        let mut old = Vec::new();
        let mut rewritten = Vec::with_capacity(row_keys.len());
        for row_key in row_keys {
            let Some(row) = draft.get(ANSWER_TIMES, row_key)? else { continue };
            let mut kept = Aged::decode_all(&row).ok_or_else(|| corrupt(ANSWER_TIMES, row_key))?;
            old.extend(kept.extract_if(.., |aged| aged.time_ms < before_ms));
            rewritten.push((row_key, kept));
        }
        // What is over the limit goes back: from here on nothing fails.
        let over = old.split_off(limit.min(old.len()));
        for aged in &old {
            draft.remove(ANSWERS, aged.answer.as_slice());
        }
        let mut put_back: Vec<Vec<Aged>> = over.chunks(AGED_PER_ROW).map(<[Aged]>::to_vec).collect();
        for (row_key, kept) in rewritten {
            draft.remove(ANSWER_TIMES, row_key.clone());
            put_back.push(kept);
        }
        for answers in put_back {
            let oldest = put_aged(draft, &answers);
            self.aged_from_ms = self.aged_from_ms.into_iter().chain(oldest).min();
        }
        Ok(old.len())
    }
}

/// Puts a row of answers under the oldest of them; answers its time.
fn put_aged(draft: &mut Draft, answers: &[Aged]) -> Option<u64> {
    let oldest = answers.iter().min_by_key(|aged| (aged.time_ms, aged.message_id))?;
    draft.put(ANSWER_TIMES, keys::answer_time(oldest.time_ms, oldest.message_id), Aged::encode_all(answers));
    Some(oldest.time_ms)
}

pub(super) fn advance_fanned_out(
    draft: &mut Draft,
    conversation: &ConversationId,
    from: u64,
    to: u64,
) -> Result<bool> {
    check_length("conversation", conversation.as_str())?;
    let key = keys::progress(conversation);
    if number(draft, PROGRESS, &key)?.unwrap_or(0) != from {
        return Ok(false);
    }
    draft.put(PROGRESS, key, rows::encode_number(to));
    Ok(true)
}

pub(super) fn clear_intents(draft: &mut Draft, message_ids: &[u64]) {
    for message_id in message_ids {
        draft.remove(INTENTS, keys::intent(*message_id));
    }
}

pub(super) fn set_positions(draft: &mut Draft, positions: &[Position]) -> Result<()> {
    let mut raised: HashMap<Vec<u8>, u64> = HashMap::with_capacity(positions.len());
    for position in positions {
        let key = keys::position(&position.user, &position.device);
        let known = match raised.get(&key) {
            Some(known) => Some(*known),
            None => number(draft, POSITIONS, &key)?,
        };
        if known.is_none_or(|known| position.inbox_seq > known) {
            raised.insert(key, position.inbox_seq);
        }
    }
    for (key, inbox_seq) in raised {
        draft.put(POSITIONS, key, rows::encode_number(inbox_seq));
    }
    Ok(())
}

/// The number under a key.
fn number(draft: &Draft, table: Table, key: &[u8]) -> Result<Option<u64>> {
    match draft.get(table, key)? {
        Some(row) => rows::decode_number(&row).map(Some).ok_or_else(|| corrupt(table, key)),
        None => Ok(None),
    }
}

/// What an earlier append under the same sender and client message id was answered.
fn first_answer(draft: &Draft, answer_key: &[u8], row: &[u8]) -> Result<Appended> {
    let pointer = Pointer::decode(row).ok_or_else(|| corrupt(ANSWERS, answer_key))?;
    let Pointer { seq, number: message_id, conversation } = pointer;
    let outbox_key = keys::outbox(&conversation, seq);
    let stored = draft.get(OUTBOX, &outbox_key)?.and_then(|row| Stored::decode(&row));
    let stored = stored
        .filter(|stored| stored.message_id == message_id)
        .ok_or_else(|| corrupt(OUTBOX, &outbox_key))?;
    Ok(Appended {
        conversation,
        seq,
        message_id: stored.message_id,
        time_ms: stored.time_ms,
        inbox_seqs: stored.inboxes.into_iter().map(|(_, seq)| seq).collect(),
        duplicate: true,
    })
}

fn check_length(what: &str, text: &str) -> Result<()> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{what} of {} bytes is longer than {TEXT_BYTES_MAX}", text.len());
    Err(Error::new(Kind::Conflict, message))
}
