//! First answers: what the same message gets that is sent again, and how they are forgotten by age.

use std::sync::Arc;

use fjall::Slice;

use super::Floors;
use super::keys::{self, ANSWER_TIMES, ANSWERS, Key, OUTBOX};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{View, corrupt};
use crate::store::Appended;
use crate::store::rows::{Aged, Pointer, Stored};

/// Rows of answers that a sweep takes at a time, so that it never holds up those who write for long.
pub(super) const SWEEP_ROWS: usize = 16;
/// About what they amount to.
pub(super) const SWEEP_BYTES: usize = 256 * 1024;
/// Answers that stand together in a row of [`ANSWER_TIMES`]: a sweep rewrites a row of which it forgets a part.
const AGED_PER_ROW: usize = 256;

/// What the writing thread knows of first answers.
pub(super) struct Answers {
    floors: Arc<Floors>,
    /// Those that the commit adds.
    added: Vec<Aged>,
    /// The oldest of those whose row the commit writes, which may be older than all that were added.
    aged_from_ms: Option<u64>,
}

impl Answers {
    pub(super) fn new(floors: Arc<Floors>) -> Self {
        Self { floors, added: Vec::new(), aged_from_ms: None }
    }

    /// What an earlier append under the same sender and client message id was answered.
    pub(super) fn first(draft: &Draft, answer_key: &[u8]) -> Result<Option<Appended>> {
        let Some(row) = draft.get(ANSWERS, answer_key)? else { return Ok(None) };
        let pointer = Pointer::decode(&row).ok_or_else(|| corrupt(ANSWERS, answer_key))?;
        let Pointer { seq, number: message_id, conversation } = pointer;
        let outbox_key = keys::outbox(&conversation, seq);
        let stored = draft.get(OUTBOX, &outbox_key)?.and_then(|row| Stored::decode(&row));
        let stored = stored
            .filter(|stored| stored.message_id == message_id)
            .ok_or_else(|| corrupt(OUTBOX, &outbox_key))?;
        Ok(Some(Appended {
            conversation,
            seq,
            message_id: stored.message_id,
            time_ms: stored.running.time_ms,
            fan_out: stored.fan_out,
            inbox_seqs: stored.inboxes.into_iter().map(|(_, seq)| seq).collect(),
            duplicate: true,
        }))
    }

    /// Keeps the first answer of a message.
    pub(super) fn add(&mut self, draft: &mut Draft, answer_key: Key, pointer: Vec<u8>, aged: (u64, u64)) {
        let (time_ms, message_id) = aged;
        self.added.push(Aged { time_ms, message_id, answer: answer_key.to_vec() });
        draft.put(ANSWERS, answer_key, pointer);
    }

    pub(super) fn complete(&mut self, draft: &mut Draft) {
        for answers in self.added.chunks(AGED_PER_ROW) {
            let oldest = put_aged(draft, answers);
            self.aged_from_ms = self.aged_from_ms.into_iter().chain(oldest).min();
        }
        self.added.clear();
    }

    pub(super) fn committed(&mut self) {
        if let Some(time_ms) = self.aged_from_ms.take() {
            self.floors.answers.note(time_ms);
        }
    }

    pub(super) fn abandoned(&mut self) {
        self.added.clear();
        self.aged_from_ms = None;
    }

    /// Forgets answers of messages sent before `before_ms`, at most `limit`, that stand in these rows of
    /// [`ANSWER_TIMES`]; answers how many. An answer and its place there are always removed together, so none is
    /// found there that another message has taken over. What is left of a row is put back under its own oldest.
    pub(super) fn forget(
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

/// The keys of rows that hold an answer old enough, some of them, and the time of the first row.
pub(super) fn old(view: &View<'_>, floor: u64, before_ms: u64) -> Result<(Vec<Slice>, Option<u64>)> {
    let mut found = Vec::new();
    let mut first = None;
    let rows = view.range(ANSWER_TIMES, &keys::answer_time(floor, 0), &keys::answer_time(u64::MAX, u64::MAX));
    for row in rows {
        let (key, _) = row?;
        let time_ms = keys::time_of(&key).ok_or_else(|| corrupt(ANSWER_TIMES, &key))?;
        first.get_or_insert(time_ms);
        if time_ms >= before_ms || found.len() == SWEEP_ROWS {
            break;
        }
        found.push(key);
    }
    Ok((found, first))
}

/// Puts a row of answers under the oldest of them; answers its time.
fn put_aged(draft: &mut Draft, answers: &[Aged]) -> Option<u64> {
    let oldest = answers.iter().min_by_key(|aged| (aged.time_ms, aged.message_id))?;
    draft.put(ANSWER_TIMES, keys::answer_time(oldest.time_ms, oldest.message_id), Aged::encode_all(answers));
    Some(oldest.time_ms)
}
