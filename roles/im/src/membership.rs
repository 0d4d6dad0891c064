//! Keeps the rooms of super groups in step with their members, as far as one lane of rows goes.
//!
//! Before a row is published, every change of members up to it has been commanded: who was removed is out of the
//! room, who was invited is in it. A row that was overtaken on its way here, or was stored by another process, is
//! looked up where the seqs show a hole. A command says how the user stands at that moment and carries the seq of the
//! row that made it so: one which is given twice or late changes nothing.
//!
//! A group that was converted is *settled* first: its rows below the conversion must be in the inboxes, else they
//! would come after those above it; and its members, who came in while there was no room, must be in the room. That
//! is done again where this process does not know it: once more is harmless, and [`SETTLING_ROWS`] bounds it. One that
//! was found not to be settled is settled however many rows come meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backends::mailbox;
use backends::store::{OutboxRange, OutboxRow, Store};
use contracts::Result;
use contracts::push::{Membership, Push};
use protocol::client::Message;
use protocol::message::kind;
use protocol::{ConversationId, GroupId, Identifier, UserId};
use tokio::time::Instant;

use crate::failure;
use crate::recent::Recent;

/// Rows after a conversion within which a process that does not know the group settles it. What was stored so long
/// after it was published after somebody had settled it.
const SETTLING_ROWS: u64 = 1_000;
/// How long a batch waits for the inboxes of converted groups; then their rows are left to the sweep.
const SETTLING_WAIT: Duration = Duration::from_millis(300);
/// How long it waits between two looks, doubled each time.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// Groups of one lane that are remembered; one that is forgotten is learnt again.
const GROUPS_MAX: usize = 16_384;
/// Members in one command.
const MEMBERSHIPS_MAX: usize = 500;
/// Rows that are looked through where seqs show a hole; the sweep commands what is older.
const HOLE_ROWS_MAX: usize = 500;
/// Members that are read at once.
const MEMBERS_MAX: usize = 1_000;

/// Commands who is in the rooms of super groups.
pub(crate) struct Memberships {
    store: Arc<dyn Store>,
    push: Arc<dyn Push>,
    /// Up to which seq the changes of a group's members were commanded.
    commanded: Recent<GroupId, u64>,
    /// Converted groups that this lane has found not to be settled.
    unsettled: Recent<GroupId, ()>,
    settle_until: Instant,
}

impl Memberships {
    /// Reads this store and commands through this push.
    pub(crate) fn new(store: Arc<dyn Store>, push: Arc<dyn Push>) -> Self {
        Self {
            store,
            push,
            commanded: Recent::new(GROUPS_MAX),
            unsettled: Recent::new(GROUPS_MAX),
            settle_until: Instant::now(),
        }
    }

    /// From here on [`SETTLING_WAIT`] may be waited.
    pub(crate) fn begin_batch(&mut self) {
        self.settle_until = Instant::now() + SETTLING_WAIT;
    }

    /// Commands all changes of a group's members up to the last of these rows, which ascend. Answers false where the
    /// rows may not be published yet, since inboxes still wait for what stands below them.
    ///
    /// # Errors
    /// What push or the store failed with: nothing may be published.
    pub(crate) async fn bring_up(&mut self, group: &GroupId, rows: &[Arc<Message>]) -> Result<bool> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(true) };
        let commanded = match self.commanded.get(group).copied() {
            Some(commanded) => commanded,
            None => match self.begin(group, first.seq).await? {
                Some(commanded) => commanded,
                None => return Ok(false),
            },
        };
        let mut changes = self.overtaken(group, commanded, rows).await?;
        changes.extend(rows.iter().flat_map(|row| memberships_of(group, row)));
        let changes = self.as_they_stand(group, changes).await?;
        self.command(changes).await?;
        self.commanded.insert(group.clone(), commanded.max(last.seq));
        Ok(true)
    }

    /// From which seq on the changes of a group are to be commanded that this lane does not know; `None` where it
    /// is not settled yet.
    async fn begin(&mut self, group: &GroupId, first_seq: u64) -> Result<Option<u64>> {
        let found = self.store.groups(std::slice::from_ref(group)).await.map_err(failure::of_backend)?;
        let super_from = found.into_iter().flatten().map(|group| group.super_from).next().unwrap_or_default();
        let conversation = ConversationId::group(group);
        let is_early = first_seq < super_from.saturating_add(SETTLING_ROWS);
        if super_from > 1 && (is_early || self.unsettled.get(group).is_some()) {
            self.unsettled.insert(group.clone(), ());
            if !self.inboxes_are_written(&conversation, super_from - 1).await? {
                return Ok(None);
            }
            self.command_all(group).await?;
            self.unsettled.remove(group);
            return Ok(Some(super_from - 1));
        }
        // The last change below is commanded again; those before it have intents of their own where they need it.
        let below = self.row(&conversation, first_seq - 1).await?;
        Ok(Some(below.map_or(0, |row| row.membership_seq.saturating_sub(1))))
    }

    /// Waits for consumer, as long as this batch may.
    async fn inboxes_are_written(&self, conversation: &ConversationId, up_to: u64) -> Result<bool> {
        let mut pause = LOOK_PAUSE;
        loop {
            let written = self.store.fanned_out_to(conversation).await.map_err(failure::of_backend)?;
            if written >= up_to {
                return Ok(true);
            }
            if Instant::now() + pause > self.settle_until {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Commands every member into the room.
    async fn command_all(&self, group: &GroupId) -> Result<()> {
        let mut after: Option<UserId> = None;
        loop {
            let page = self.store.members_page(group, after.as_ref(), MEMBERS_MAX).await;
            let page = page.map_err(failure::of_backend)?;
            let full = page.len() >= MEMBERS_MAX;
            after = page.last().map(|member| member.user.clone());
            let members = page.into_iter().filter(|member| member.left == 0);
            let membership = |member: backends::store::Member| Membership {
                user: member.user,
                group: group.clone(),
                version: member.joined,
                member: true,
            };
            self.command(members.map(membership).collect()).await?;
            if !full {
                return Ok(());
            }
        }
    }

    /// Changes above `commanded` that are not among the rows, but below the last of them.
    async fn overtaken(
        &self,
        group: &GroupId,
        commanded: u64,
        rows: &[Arc<Message>],
    ) -> Result<Vec<Membership>> {
        let mut hole_end = 0;
        let mut known = commanded;
        for row in rows {
            if row.seq > known + 1 {
                hole_end = row.seq - 1;
            }
            known = known.max(row.seq);
        }
        if hole_end <= commanded {
            return Ok(Vec::new());
        }
        let conversation = ConversationId::group(group);
        let last_change = self.row(&conversation, hole_end).await?.map_or(0, |row| row.membership_seq);
        if last_change <= commanded {
            return Ok(Vec::new());
        }
        let begin = last_change.saturating_sub(HOLE_ROWS_MAX as u64 - 1).max(commanded + 1);
        let range = OutboxRange { conversation, begin, end: last_change };
        let pages = self.store.outbox_pages(&[range], HOLE_ROWS_MAX).await.map_err(failure::of_backend)?;
        let found = pages.into_iter().flatten();
        let changes = found.filter(|row| row.membership_seq == row.seq);
        // What cannot be read was logged by who found it first, and is left out here as everywhere.
        let messages = changes.filter_map(|row| mailbox::message_of(&row).ok());
        Ok(messages.flat_map(|row| memberships_of(group, &row)).collect())
    }

    /// What these changes come to as the store has their users: a join that is commanded again, by the sweep or by
    /// another process, must not bring back who has gone since. A connection that was made after the leaving knows no
    /// version that would tell it.
    async fn as_they_stand(&self, group: &GroupId, changes: Vec<Membership>) -> Result<Vec<Membership>> {
        let last: BTreeMap<UserId, Membership> =
            changes.into_iter().map(|change| (change.user.clone(), change)).collect();
        let users: Vec<UserId> = last.keys().cloned().collect();
        let mut standing = Vec::with_capacity(users.len());
        for users in users.chunks(MEMBERS_MAX) {
            let members = self.store.members(group, users).await.map_err(failure::of_backend)?;
            for (user, member) in users.iter().zip(members) {
                match member {
                    Some(member) => standing.push(Membership {
                        user: member.user,
                        group: group.clone(),
                        version: member.joined.max(member.left),
                        member: member.left == 0,
                    }),
                    // One who has left may be forgotten by the store.
                    None => standing.extend(last.get(user).filter(|change| !change.member).cloned()),
                }
            }
        }
        Ok(standing)
    }

    /// One row of a conversation.
    async fn row(&self, conversation: &ConversationId, seq: u64) -> Result<Option<OutboxRow>> {
        if seq == 0 {
            return Ok(None);
        }
        let range = OutboxRange { conversation: conversation.clone(), begin: seq, end: seq };
        let pages = self.store.outbox_pages(&[range], 1).await.map_err(failure::of_backend)?;
        Ok(pages.into_iter().flatten().next())
    }

    async fn command(&self, changes: Vec<Membership>) -> Result<()> {
        for changes in changes.chunks(MEMBERSHIPS_MAX) {
            self.push.set_memberships(changes.to_vec()).await?;
        }
        Ok(())
    }
}

/// What a row means for the room of its group.
fn memberships_of(group: &GroupId, row: &Message) -> Vec<Membership> {
    let member = match row.kind.as_deref() {
        Some(kind::CREATED | kind::INVITED | kind::JOINED) => true,
        Some(kind::LEFT | kind::REMOVED) => false,
        _ => return Vec::new(),
    };
    let users = row.users.iter().filter_map(|user| UserId::new(user).ok());
    users.map(|user| Membership { user, group: group.clone(), version: row.seq, member }).collect()
}
