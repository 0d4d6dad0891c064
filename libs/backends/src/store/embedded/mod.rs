//! The store inside this process: tables of a log-structured merge tree in a folder.
//!
//! **Writes** go through one thread ([`crate::database::writer`]), which takes all that waits, allots the seqs
//! after the last row of each box, looks for first answers, and makes one commit of it: outbox rows, intents,
//! first answers and inbox rows together. Everyone is answered after `fdatasync`. So seqs are consecutive whoever
//! writes, and what was handed over first is written first. When a commit fails, every later write fails too,
//! until the folder is opened again: what is on disk is not known before.
//!
//! **Reads** run on a few threads of the store's own and see whole commits only.
//!
//! **Closing.** When the last reference is dropped, what stands in line is carried out, and the folder is free
//! when the drop returns; that blocks for as long as a commit takes.
//!
//! **Here** the inbox rows named in an append are always in the same commit. A folder belongs to one process;
//! a second one is refused. What is on disk says its format, and one that this build does not know is refused.

mod changes;
mod heads;
mod keys;
mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use fjall::Slice;
use protocol::{ConversationId, DeviceId, UserId};

use super::{Append, Appended, InboxPage, InboxRow, Intent, OutboxRow, Position, Store};
use crate::database::draft::{Draft, Durability};
use crate::database::floor::Floor;
use crate::database::readers::Readers;
use crate::database::writer::Writer;
use crate::database::{self, Database, Table, View, corrupt};
use crate::{Error, Kind, Result};
use changes::Changes;
use keys::{ANSWER_TIMES, INBOX, INTENTS, OUTBOX, POSITIONS, PROGRESS};
use rows::{Pointer, Stored};

/// Threads that read.
const READERS_COUNT: usize = 2;
/// Rows of answers that a sweep takes at a time, so that it never holds up those who write for long.
const SWEEP_ROWS: usize = 16;
/// About what they amount to.
const SWEEP_BYTES: usize = 256 * 1024;
/// Intents too new to be answered that are passed over before a call ends: message ids rise with time, but the
/// clock of a machine may have been set back.
const NEWER_INTENTS_MAX: usize = 4096;

/// Opens the store in a folder, creating it (0700) where it is not there.
///
/// # Errors
/// `Missing` where no folder is named; `Conflict` where another process has it; `Corrupt` where what is there
/// cannot be read or has another format; `Transient` where the file system refuses.
pub async fn open(folder: &str) -> Result<Arc<dyn Store>> {
    if folder.is_empty() {
        let message = "url of the store names no folder: write embedded:<folder>";
        return Err(Error::new(Kind::Missing, message));
    }
    let database = database::open(PathBuf::from(folder), &keys::LAYOUT).await?;
    let floors = Arc::new(Floors::default());
    let writer = Writer::start(&database, Changes::new(Arc::clone(&floors)))?;
    let readers = Readers::start(&database, READERS_COUNT)?;
    tracing::info!(target: "store", folder, "open");
    Ok(Arc::new(EmbeddedStore { writer, readers, floors }))
}

/// Where to begin to look in the tables that are removed from at their beginning.
#[derive(Default)]
struct Floors {
    /// By message id.
    intents: Floor,
    /// By time.
    answers: Floor,
}

struct EmbeddedStore {
    writer: Writer<Changes>,
    readers: Readers,
    floors: Arc<Floors>,
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn append(&self, appends: Vec<Append>) -> Vec<Result<Appended>> {
        let count = appends.len();
        let bytes = appends.iter().map(|append| append.content.len() + 256 * append.inboxes.len()).sum();
        let written = self.writer.write(bytes, Durability::Durable, move |changes, draft| {
            appends.into_iter().map(|append| changes.append(draft, append)).collect()
        });
        written.await.unwrap_or_else(|error| {
            (0..count).map(|_| Err(Error::new(error.kind(), error.to_string()))).collect()
        })
    }

    async fn inbox_page(&self, user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage> {
        let user = user.clone();
        self.readers.read(move |view| inbox_page(view, &user, begin, end, limit)).await
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let users = users.to_vec();
        self.readers
            .read(move |view| {
                users.iter().map(|user| heads::top(view, INBOX, &keys::inbox_of(user))).collect()
            })
            .await
    }

    async fn outbox_page(
        &self,
        conversation: &ConversationId,
        begin: u64,
        end: u64,
        limit: usize,
    ) -> Result<Vec<OutboxRow>> {
        let conversation = conversation.clone();
        self.readers.read(move |view| outbox_page(view, &conversation, begin, end, limit)).await
    }

    async fn fan_out(&self, conversation: &ConversationId, seq: u64, users: Vec<UserId>) -> Result<Vec<u64>> {
        let conversation = conversation.clone();
        let bytes = 256 * users.len();
        self.writer
            .write(bytes, Durability::Durable, move |changes, draft| {
                changes.fan_out(draft, &conversation, seq, &users)
            })
            .await?
    }

    async fn fanned_out_to(&self, conversation: &ConversationId) -> Result<u64> {
        let key = keys::progress(conversation);
        self.readers.read(move |view| Ok(number(view, PROGRESS, &key)?.unwrap_or(0))).await
    }

    async fn advance_fanned_out(&self, conversation: &ConversationId, from: u64, to: u64) -> Result<bool> {
        let conversation = conversation.clone();
        self.writer
            .write(0, Durability::Durable, move |_, draft| {
                changes::advance_fanned_out(draft, &conversation, from, to)
            })
            .await?
    }

    async fn intents(&self, before_ms: u64, limit: usize) -> Result<Vec<Intent>> {
        let floors = Arc::clone(&self.floors);
        self.readers
            .run(move |database| {
                floors.intents.scan(|floor| intents(&database.view(), floor, before_ms, limit))
            })
            .await
    }

    async fn clear_intents(&self, message_ids: Vec<u64>) -> Result<()> {
        let bytes = 64 * message_ids.len();
        self.writer
            .write(bytes, Durability::Relaxed, move |_, draft| changes::clear_intents(draft, &message_ids))
            .await
    }

    async fn position(&self, user: &UserId, device: &DeviceId) -> Result<Option<u64>> {
        let key = keys::position(user, device);
        self.readers.read(move |view| number(view, POSITIONS, &key)).await
    }

    async fn set_positions(&self, positions: Vec<Position>) -> Result<()> {
        let bytes = 256 * positions.len();
        self.writer
            .write(bytes, Durability::Durable, move |_, draft| changes::set_positions(draft, &positions))
            .await?
    }

    async fn sweep_answers(&self, before_ms: u64, limit: usize) -> Result<usize> {
        let mut forgotten = 0;
        while forgotten < limit {
            let floors = Arc::clone(&self.floors);
            let find = move |database: &Database| {
                floors.answers.scan(|floor| old_answers(&database.view(), floor, before_ms))
            };
            let rows = self.readers.run(find).await?;
            if rows.is_empty() {
                break;
            }
            let more = rows.len() == SWEEP_ROWS;
            let left = limit - forgotten;
            let forget = move |changes: &mut Changes, draft: &mut Draft| {
                changes.forget_answers(draft, &rows, before_ms, left)
            };
            forgotten += self.writer.write(SWEEP_BYTES, Durability::Relaxed, forget).await??;
            if !more {
                break;
            }
        }
        Ok(forgotten)
    }
}

fn inbox_page(view: &View<'_>, user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage> {
    let top = heads::top(view, INBOX, &keys::inbox_of(user))?;
    let mut page = InboxPage { rows: Vec::new(), top };
    let (first, last) = (begin.max(1), if end == 0 { top } else { end.min(top) });
    if first > last {
        return Ok(page);
    }
    for row in view.range(INBOX, &keys::inbox(user, first), &keys::inbox(user, last)).take(limit) {
        let (key, row) = row?;
        let inbox_seq = keys::last_number(&key).ok_or_else(|| corrupt(INBOX, &key))?;
        let pointer = Pointer::decode(&row).ok_or_else(|| corrupt(INBOX, &key))?;
        let (message, _) = message(view, pointer)?;
        page.rows.push(InboxRow { inbox_seq, message });
    }
    Ok(page)
}

fn outbox_page(
    view: &View<'_>,
    conversation: &ConversationId,
    begin: u64,
    end: u64,
    limit: usize,
) -> Result<Vec<OutboxRow>> {
    let (first, last) = (begin.max(1), if end == 0 { u64::MAX } else { end });
    if first > last {
        return Ok(Vec::new());
    }
    let rows = view.range(OUTBOX, &keys::outbox(conversation, first), &keys::outbox(conversation, last));
    rows.take(limit)
        .map(|row| {
            let (key, row) = row?;
            let seq = keys::last_number(&key).ok_or_else(|| corrupt(OUTBOX, &key))?;
            let stored = Stored::decode(&row).ok_or_else(|| corrupt(OUTBOX, &key))?;
            Ok(stored.into_row(conversation.clone(), seq))
        })
        .collect()
}

fn intents(view: &View<'_>, floor: u64, before_ms: u64, limit: usize) -> Result<(Vec<Intent>, Option<u64>)> {
    let mut found = Vec::new();
    let mut first = None;
    let mut newer = 0;
    for row in view.range(INTENTS, &keys::intent(floor), &keys::intent(u64::MAX)) {
        let (key, row) = row?;
        let message_id = keys::last_number(&key).ok_or_else(|| corrupt(INTENTS, &key))?;
        first.get_or_insert(message_id);
        if found.len() == limit || newer == NEWER_INTENTS_MAX {
            break;
        }
        let pointer = Pointer::decode(&row).ok_or_else(|| corrupt(INTENTS, &key))?;
        if pointer.number >= before_ms {
            newer += 1;
            continue;
        }
        let (message, inboxes) = message(view, pointer)?;
        found.push(Intent { message, inboxes });
    }
    Ok((found, first))
}

/// The keys of rows that hold an answer old enough, some of them, and the time of the first row.
fn old_answers(view: &View<'_>, floor: u64, before_ms: u64) -> Result<(Vec<Slice>, Option<u64>)> {
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

/// The message that a row points to, and the inboxes written with it.
fn message(view: &View<'_>, pointer: Pointer) -> Result<(OutboxRow, Vec<(UserId, u64)>)> {
    let key = keys::outbox(&pointer.conversation, pointer.seq);
    let row = view.get(OUTBOX, &key)?;
    let mut stored = row.and_then(|row| Stored::decode(&row)).ok_or_else(|| corrupt(OUTBOX, &key))?;
    let inboxes = std::mem::take(&mut stored.inboxes);
    Ok((stored.into_row(pointer.conversation, pointer.seq), inboxes))
}

/// The number under a key.
fn number(view: &View<'_>, table: Table, key: &[u8]) -> Result<Option<u64>> {
    match view.get(table, key)? {
        Some(row) => rows::decode_number(&row).map(Some).ok_or_else(|| corrupt(table, key)),
        None => Ok(None),
    }
}
