//! The store on MySQL or MariaDB, for many processes at once.
//!
//! **Writes** wait in a line ([`line`]) and are carried out by a few lanes ([`lane`]), each with a session of its own.
//! What waits goes together: a batch of appends is one transaction of two packets, which locks the heads of its boxes
//! in ascending order, reads what its rows depend on, and writes each table with one statement. Everyone is answered
//! after the commit. Seqs come from the heads, which the same transaction holds and moves: a crash leaves no hole, and
//! no other process comes between.
//!
//! **Reads** run on a few sessions of their own and see what is committed.
//!
//! **Lost connections.** When the answer to a commit is lost, the change is looked up before it is made again, by its
//! first answer or message id, so that nothing is written twice. What cannot be told apart is answered `Transient`.
//!
//! **Closing.** When the last reference is dropped, what stands in line is carried out in the background.
//!
//! **Here** the inbox rows named in an append are always in the same commit. Of a fan-out, 100 inboxes go in one.

mod address;
mod append;
mod blocks;
mod connect;
mod conversations;
mod facts;
mod fan_out;
mod groups;
mod heads;
mod intents;
mod jobs;
mod lane;
mod line;
mod log;
mod migrate;
mod outbox;
mod pages;
mod pair;
mod positions;
mod readers;
mod requests;
mod settings;
mod simple;
mod sql;
mod states;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use protocol::{ConversationId, DeviceId, GroupId, UserId};

use super::rules::check_length;
use super::{
    Append, Conversation, ConversationPage, Group, GroupChange, GroupChanged, HistoryPage, HistoryRange,
    InboxPage, Intent, IntentLane, JoinRequest, Member, OutboxRange, OutboxRow, Outcome, Position, ReadMoved,
    Standing, Store,
};
use crate::{Error, Kind, Result};
use address::Address;
use connect::Servers;
use fan_out::{Advance, CHUNK_USERS, FanOutChunk};
use intents::SWEEP_ROWS;
use jobs::Jobs;
use lane::Simple;
pub use migrate::Version;
use readers::Readers;

/// Bytes of a content that the store takes: far above what the protocol allows, and within what a server takes as
/// one packet.
const CONTENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Opens the store on the servers that a URL names, `//user:password@host:port[,host:port]/database`.
///
/// # Errors
/// `Missing` where the URL, the user, the database, its tables or a setting are not as they must be, with what to do;
/// `Conflict` where the tables are newer than this build; `Transient` where no server can be reached.
pub async fn open(rest: &str) -> Result<Arc<dyn Store>> {
    let servers = Arc::new(Servers::new(Address::parse(rest)?));
    let mut session = servers.connect().await?;
    let address = servers.address();
    settings::check(&mut session, address.user(), address.database()).await?;
    migrate::check(&mut session).await?;
    tracing::info!(target: "store", place = %servers.place(), writer = %session.place(), "open");
    let jobs = Jobs::start(&servers);
    Ok(Arc::new(MysqlStore { readers: Readers::new(servers), jobs }))
}

/// Applies the versions of the tables that a server does not have; answers which.
///
/// # Errors
/// `Transient` where the server cannot be reached; `Conflict` where its tables are newer than this build or broken.
pub async fn migrate_up(url: &str) -> Result<Vec<Version>> {
    migrate::up(url).await
}

/// The versions of the tables that this build knows and that a server has, ascending.
///
/// # Errors
/// As [`migrate_up`].
pub async fn migrate_status(url: &str) -> Result<Vec<Version>> {
    migrate::status(url).await
}

/// What [`migrate_up`] would apply; nothing is changed.
///
/// # Errors
/// As [`migrate_up`].
pub async fn migrate_dry_run(url: &str) -> Result<Vec<Version>> {
    migrate::dry_run(url).await
}

struct MysqlStore {
    readers: Readers,
    jobs: Jobs,
}

#[async_trait]
impl Store for MysqlStore {
    async fn append(&self, appends: Vec<Append>) -> Vec<Result<Outcome>> {
        let check = |append: Append| match checked(&append) {
            Ok(()) => Ok(append),
            Err(error) => Err(error),
        };
        self.jobs.append(appends.into_iter().map(check).collect()).await
    }

    async fn inbox_page(&self, user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage> {
        pages::inbox_page(&self.readers, user, begin, end, limit).await
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let heads = states::inbox_heads(&self.readers, users).await?;
        Ok(users.iter().map(|user| heads.get(user).map_or(0, |head| head.top)).collect())
    }

    async fn outbox_pages(&self, ranges: &[OutboxRange], limit: usize) -> Result<Vec<Vec<OutboxRow>>> {
        pages::outbox_pages(&self.readers, ranges, limit).await
    }

    async fn outbox_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        pages::outbox_tops(&self.readers, conversations).await
    }

    async fn history(&self, range: HistoryRange) -> Result<HistoryPage> {
        pages::history(&self.readers, &range).await
    }

    async fn receivers(&self, conversation: &ConversationId, seq: u64) -> Result<Vec<UserId>> {
        fan_out::receivers(&self.readers, conversation, seq).await
    }

    async fn fan_out(&self, conversation: &ConversationId, seq: u64, users: Vec<UserId>) -> Result<Vec<u64>> {
        let mut written: BTreeMap<UserId, u64> = BTreeMap::new();
        let chunk = |users: &[UserId]| FanOutChunk {
            conversation: conversation.clone(),
            seq,
            users: users.iter().cloned().collect(),
        };
        // With nobody to write to, whether there is such a row is still answered.
        let none: &[UserId] = &[];
        let chunks = if users.is_empty() { vec![none] } else { users.chunks(CHUNK_USERS).collect() };
        for users in chunks {
            written.extend(self.jobs.fan_out(chunk(users)).await?);
        }
        let inbox_seq = |user: &UserId| {
            let missing = || Error::new(Kind::Corrupt, format!("the inbox of {user} has no head"));
            written.get(user).copied().ok_or_else(missing)
        };
        users.iter().map(inbox_seq).collect()
    }

    async fn fanned_out_to(&self, conversation: &ConversationId) -> Result<u64> {
        fan_out::fanned_out_to(&self.readers, conversation).await
    }

    async fn advance_fanned_out(&self, conversation: &ConversationId, from: u64, to: u64) -> Result<bool> {
        check_length("conversation", conversation.as_str())?;
        self.jobs.advance(Advance { conversation: conversation.clone(), from, to }).await
    }

    async fn intents(&self, lane: IntentLane, before_ms: u64, limit: usize) -> Result<Vec<Intent>> {
        intents::intents(&self.readers, lane, before_ms, limit).await
    }

    async fn clear_intents(&self, lane: IntentLane, message_ids: Vec<u64>) -> Result<()> {
        self.jobs.simple(Simple::Clear(outbox::lane_number(lane), message_ids)).await
    }

    async fn position(&self, user: &UserId, device: &DeviceId) -> Result<Option<u64>> {
        positions::position(&self.readers, user, device).await
    }

    async fn set_positions(&self, positions: Vec<Position>) -> Result<()> {
        self.jobs.simple(Simple::Positions(positions)).await
    }

    async fn received(
        &self,
        user: &UserId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<(ConversationId, u64)>> {
        positions::received(&self.readers, user, from, to, limit).await
    }

    async fn groups(&self, groups: &[GroupId]) -> Result<Vec<Option<Group>>> {
        groups::groups(&self.readers, groups).await
    }

    async fn members(&self, group: &GroupId, users: &[UserId]) -> Result<Vec<Option<Member>>> {
        groups::members(&self.readers, group, users).await
    }

    async fn members_page(
        &self,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>> {
        groups::members_page(&self.readers, group, after, limit).await
    }

    async fn change_group(&self, change: GroupChange) -> Result<Option<GroupChanged>> {
        check_content(change.content.len())?;
        self.jobs.change_group(change).await
    }

    async fn super_groups(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<(ConversationId, Standing)>> {
        states::super_groups(&self.readers, user, after, limit).await
    }

    async fn put_join_request(&self, group: &GroupId, request: JoinRequest, limit: usize) -> Result<bool> {
        let request = requests::PutRequest { group: group.clone(), request, limit };
        self.jobs.put_request(request).await
    }

    async fn join_requests(&self, group: &GroupId) -> Result<Vec<JoinRequest>> {
        requests::join_requests(&self.readers, group).await
    }

    async fn remove_join_request(&self, group: &GroupId, user: &UserId) -> Result<bool> {
        let request = requests::RemoveRequest { group: group.clone(), user: user.clone() };
        self.jobs.remove_request(request).await
    }

    async fn standings(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Standing>>> {
        let parts = states::parts(&self.readers, user, conversations).await?;
        Ok(parts.into_iter().map(|part| part.map(|part| part.standing)).collect())
    }

    async fn conversations(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Conversation>>> {
        conversations::conversations(&self.readers, user, conversations).await
    }

    async fn conversations_since(
        &self,
        user: &UserId,
        version: u64,
        limit: usize,
    ) -> Result<ConversationPage> {
        conversations::since(&self.readers, user, version, limit).await
    }

    async fn set_read(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        seq: u64,
    ) -> Result<Option<ReadMoved>> {
        let change = states::SetRead { user: user.clone(), conversation: conversation.clone(), seq };
        self.jobs.set_read(change).await
    }

    async fn reads(&self, conversation: &ConversationId, users: &[UserId]) -> Result<Vec<u64>> {
        states::reads(&self.readers, conversation, users).await
    }

    async fn set_choices(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        pinned: Option<bool>,
        muted: Option<bool>,
    ) -> Result<bool> {
        let (user, conversation) = (user.clone(), conversation.clone());
        self.jobs.set_choices(states::SetChoices { user, conversation, pinned, muted }).await
    }

    async fn set_blocked(&self, user: &UserId, other: &UserId, blocked: bool, limit: usize) -> Result<bool> {
        let (user, other) = (user.clone(), other.clone());
        self.jobs.set_blocked(blocks::SetBlocked { user, other, blocked, limit }).await
    }

    async fn blocked(&self, user: &UserId) -> Result<Vec<UserId>> {
        blocks::blocked(&self.readers, user).await
    }

    async fn have_blocked(&self, users: &[UserId], other: &UserId) -> Result<Vec<bool>> {
        blocks::have_blocked(&self.readers, users, other).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<u64>> {
        positions::last_seen(&self.readers, users).await
    }

    async fn set_last_seen(&self, seen: Vec<(UserId, u64)>) -> Result<()> {
        self.jobs.simple(Simple::Seen(seen)).await
    }

    async fn sweep_answers(&self, before_ms: u64, limit: usize) -> Result<usize> {
        let mut forgotten = 0;
        while forgotten < limit {
            let count = SWEEP_ROWS.min(limit - forgotten);
            let found = self.jobs.sweep(intents::Sweep { before_ms, count }).await?;
            forgotten += found;
            if found < count {
                break;
            }
        }
        Ok(forgotten)
    }
}

/// Whether a message is one that the store takes.
fn checked(append: &Append) -> Result<()> {
    check_length("conversation", append.conversation.as_str())?;
    check_length("client message id", &append.client_message_id)?;
    check_content(append.content.len())?;
    check_content(append.replaces.as_ref().map_or(0, |replacement| replacement.content.len()))
}

fn check_content(bytes: usize) -> Result<()> {
    if bytes <= CONTENT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, format!("content of {bytes} bytes is longer than {CONTENT_BYTES_MAX}")))
}
