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

mod answers;
mod append;
mod blocks;
mod changes;
mod conversations;
mod fan_out;
mod groups;
mod heads;
mod intents;
mod keys;
mod pages;
mod positions;
mod states;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use protocol::{ConversationId, DeviceId, GroupId, UserId};

use super::{
    Append, Conversation, ConversationPage, Group, GroupChange, GroupChanged, HistoryPage, HistoryRange,
    InboxPage, Intent, IntentLane, JoinRequest, Member, OutboxRange, OutboxRow, Outcome, Position, ReadMoved,
    Standing, Store,
};
use crate::database::draft::{Draft, Durability};
use crate::database::floor::Floor;
use crate::database::readers::Readers;
use crate::database::writer::Writer;
use crate::database::{self, Database, View};
use crate::{Error, Kind, Result};
use answers::{SWEEP_BYTES, SWEEP_ROWS};
use changes::Changes;
use intents::Lanes;

/// Threads that read.
const READERS_COUNT: usize = 2;
/// About what an inbox row costs that waits to be written.
const INBOX_ROW_BYTES: usize = 256;
/// About what a change of a member costs that waits to be written.
const MEMBER_BYTES: usize = 1024;

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
    let lanes = Arc::new(Lanes::new());
    let writer = Writer::start(&database, Changes::new(Arc::clone(&floors), Arc::clone(&lanes)))?;
    let readers = Readers::start(&database, READERS_COUNT)?;
    tracing::info!(target: "store", folder, "open");
    Ok(Arc::new(EmbeddedStore { writer, readers, floors, lanes }))
}

/// Where to begin to look in the tables that are removed from at their beginning.
#[derive(Default)]
struct Floors {
    /// By time.
    answers: Floor,
}

struct EmbeddedStore {
    writer: Writer<Changes>,
    readers: Readers,
    floors: Arc<Floors>,
    lanes: Arc<Lanes>,
}

impl EmbeddedStore {
    /// Carries out a change in the next commit.
    async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        durability: Durability,
        change: impl FnOnce(&mut Changes, &mut Draft) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(bytes, durability, change).await?
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn append(&self, appends: Vec<Append>) -> Vec<Result<Outcome>> {
        let count = appends.len();
        let bytes = appends.iter().map(|append| {
            append.content.len() + INBOX_ROW_BYTES * (append.inboxes.len() + append.mentions.len())
        });
        let written = self.writer.write(bytes.sum(), Durability::Durable, move |changes, draft| {
            appends.into_iter().map(|append| changes.append(draft, append)).collect()
        });
        written.await.unwrap_or_else(|error| {
            (0..count).map(|_| Err(Error::new(error.kind(), error.to_string()))).collect()
        })
    }

    async fn inbox_page(&self, user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage> {
        let user = user.clone();
        let places = move |view: &View<'_>| pages::inbox_places(view, &user, begin, end, limit);
        let (rows, top) = self.readers.read_listed(places, pages::inbox_row).await?;
        Ok(InboxPage { rows, top })
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let users = users.to_vec();
        self.readers.read(move |view| users.iter().map(|user| pages::inbox_top(view, user)).collect()).await
    }

    async fn outbox_pages(&self, ranges: &[OutboxRange], limit: usize) -> Result<Vec<Vec<OutboxRow>>> {
        let ranges = ranges.to_vec();
        self.readers.read(move |view| pages::outbox_pages(view, &ranges, limit)).await
    }

    async fn outbox_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        let conversations = conversations.to_vec();
        self.readers.read(move |view| conversations.iter().map(|id| pages::top(view, id)).collect()).await
    }

    async fn history(&self, range: HistoryRange) -> Result<HistoryPage> {
        self.readers.read(move |view| pages::history(view, &range)).await
    }

    async fn receivers(&self, conversation: &ConversationId, seq: u64) -> Result<Vec<UserId>> {
        let conversation = conversation.clone();
        self.readers.read(move |view| fan_out::receivers(view, &conversation, seq)).await
    }

    async fn fan_out(&self, conversation: &ConversationId, seq: u64, users: Vec<UserId>) -> Result<Vec<u64>> {
        let conversation = conversation.clone();
        let bytes = INBOX_ROW_BYTES * users.len();
        self.change(bytes, Durability::Durable, move |changes, draft| {
            changes.fan_out(draft, &conversation, seq, &users)
        })
        .await
    }

    async fn fanned_out_to(&self, conversation: &ConversationId) -> Result<u64> {
        let conversation = conversation.clone();
        self.readers.read(move |view| fan_out::fanned_out_to(view, &conversation)).await
    }

    async fn advance_fanned_out(&self, conversation: &ConversationId, from: u64, to: u64) -> Result<bool> {
        let conversation = conversation.clone();
        self.change(0, Durability::Durable, move |_, draft| {
            fan_out::advance_fanned_out(draft, &conversation, from, to)
        })
        .await
    }

    async fn intents(&self, lane: IntentLane, before_ms: u64, limit: usize) -> Result<Vec<Intent>> {
        let lanes = Arc::clone(&self.lanes);
        self.readers.run(move |database| lanes.page(database, lane, before_ms, limit)).await
    }

    async fn clear_intents(&self, lane: IntentLane, message_ids: Vec<u64>) -> Result<()> {
        let bytes = 64 * message_ids.len();
        self.change(bytes, Durability::Relaxed, move |changes, draft| {
            changes.intents.clear(draft, lane, &message_ids)
        })
        .await
    }

    async fn position(&self, user: &UserId, device: &DeviceId) -> Result<Option<u64>> {
        let (user, device) = (user.clone(), device.clone());
        self.readers.read(move |view| positions::position(view, &user, &device)).await
    }

    async fn set_positions(&self, positions: Vec<Position>) -> Result<()> {
        let bytes = 256 * positions.len();
        self.change(bytes, Durability::Durable, move |_, draft| positions::set_positions(draft, &positions))
            .await
    }

    async fn received(
        &self,
        user: &UserId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<(ConversationId, u64)>> {
        let user = user.clone();
        self.readers.read(move |view| positions::received(view, &user, from, to, limit)).await
    }

    async fn groups(&self, groups: &[GroupId]) -> Result<Vec<Option<Group>>> {
        let groups = groups.to_vec();
        self.readers.read(move |view| groups.iter().map(|id| groups::group(view, id)).collect()).await
    }

    async fn members(&self, group: &GroupId, users: &[UserId]) -> Result<Vec<Option<Member>>> {
        let (group, users) = (group.clone(), users.to_vec());
        self.readers
            .read(move |view| users.iter().map(|user| groups::member(view, &group, user)).collect())
            .await
    }

    async fn members_page(
        &self,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>> {
        let (group, after) = (group.clone(), after.cloned());
        self.readers.read(move |view| groups::members_page(view, &group, after.as_ref(), limit)).await
    }

    async fn change_group(&self, change: GroupChange) -> Result<Option<GroupChanged>> {
        let bytes = change.content.len() + MEMBER_BYTES * change.members.len();
        self.change(bytes, Durability::Durable, move |changes, draft| changes.change_group(draft, change))
            .await
    }

    async fn super_groups(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<(ConversationId, Standing)>> {
        let (owner, after) = (user.clone(), after.cloned());
        let list =
            move |view: &View<'_>| Ok((states::super_groups(view, &owner, after.as_ref(), limit)?, ()));
        let user = user.clone();
        let standing = move |view: &View<'_>, id| states::super_group(view, &user, id);
        Ok(self.readers.read_listed(list, standing).await?.0)
    }

    async fn put_join_request(&self, group: &GroupId, request: JoinRequest, limit: usize) -> Result<bool> {
        let group = group.clone();
        self.change(request.text.len(), Durability::Durable, move |_, draft| {
            groups::put_join_request(draft, &group, &request, limit)
        })
        .await
    }

    async fn join_requests(&self, group: &GroupId) -> Result<Vec<JoinRequest>> {
        let group = group.clone();
        self.readers.read(move |view| groups::join_requests(view, &group)).await
    }

    async fn remove_join_request(&self, group: &GroupId, user: &UserId) -> Result<bool> {
        let (group, user) = (group.clone(), user.clone());
        self.change(0, Durability::Durable, move |_, draft| groups::remove_join_request(draft, &group, &user))
            .await
    }

    async fn standings(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Standing>>> {
        let (user, conversations) = (user.clone(), conversations.to_vec());
        self.readers.read_each(conversations, move |view, id| states::standing(view, &user, &id)).await
    }

    async fn conversations(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Conversation>>> {
        let (user, conversations) = (user.clone(), conversations.to_vec());
        self.readers
            .read(move |view| {
                conversations.iter().map(|id| conversations::conversation(view, &user, id)).collect()
            })
            .await
    }

    async fn conversations_since(
        &self,
        user: &UserId,
        version: u64,
        limit: usize,
    ) -> Result<ConversationPage> {
        let user = user.clone();
        self.readers.read(move |view| conversations::since(view, &user, version, limit)).await
    }

    async fn set_read(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        seq: u64,
    ) -> Result<Option<ReadMoved>> {
        let (user, conversation) = (user.clone(), conversation.clone());
        self.change(0, Durability::Durable, move |changes, draft| {
            changes.set_read(draft, &user, &conversation, seq)
        })
        .await
    }

    async fn reads(&self, conversation: &ConversationId, users: &[UserId]) -> Result<Vec<u64>> {
        let (conversation, users) = (conversation.clone(), users.to_vec());
        self.readers.read(move |view| states::reads(view, &conversation, &users)).await
    }

    async fn set_choices(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        pinned: Option<bool>,
        muted: Option<bool>,
    ) -> Result<bool> {
        let (user, conversation) = (user.clone(), conversation.clone());
        self.change(0, Durability::Durable, move |changes, draft| {
            changes.set_choices(draft, &user, &conversation, pinned, muted)
        })
        .await
    }

    async fn set_blocked(&self, user: &UserId, other: &UserId, blocked: bool, limit: usize) -> Result<bool> {
        let (user, other) = (user.clone(), other.clone());
        self.change(0, Durability::Durable, move |changes, draft| {
            changes.blocks.set(draft, &user, &other, blocked, limit)
        })
        .await
    }

    async fn blocked(&self, user: &UserId) -> Result<Vec<UserId>> {
        let user = user.clone();
        self.readers.read(move |view| blocks::blocked(view, &user)).await
    }

    async fn have_blocked(&self, users: &[UserId], other: &UserId) -> Result<Vec<bool>> {
        let (users, other) = (users.to_vec(), other.clone());
        self.readers
            .read(move |view| users.iter().map(|user| blocks::has_blocked(view, user, &other)).collect())
            .await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let users = users.to_vec();
        self.readers
            .read(move |view| users.iter().map(|user| positions::last_seen(view, user)).collect())
            .await
    }

    async fn set_last_seen(&self, seen: Vec<(UserId, u64)>) -> Result<()> {
        let bytes = 128 * seen.len();
        self.change(bytes, Durability::Relaxed, move |_, draft| positions::set_last_seen(draft, &seen)).await
    }

    async fn sweep_answers(&self, before_ms: u64, limit: usize) -> Result<usize> {
        let mut forgotten = 0;
        while forgotten < limit {
            let floors = Arc::clone(&self.floors);
            let find = move |database: &Database| {
                floors.answers.scan(|floor| answers::old(&database.view(), floor, before_ms))
            };
            let rows = self.readers.run(find).await?;
            if rows.is_empty() {
                break;
            }
            let more = rows.len() == SWEEP_ROWS;
            let left = limit - forgotten;
            forgotten += self
                .change(SWEEP_BYTES, Durability::Relaxed, move |changes, draft| {
                    changes.answers.forget(draft, &rows, before_ms, left)
                })
                .await?;
            if !more {
                break;
            }
        }
        Ok(forgotten)
    }
}
