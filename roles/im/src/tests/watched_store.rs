//! The embedded store, counting some of its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use backends::Result;
use backends::store::{
    Append, Conversation, ConversationPage, Group, GroupChange, GroupChanged, HistoryPage, HistoryRange,
    InboxPage, Intent, IntentLane, JoinRequest, Member, OutboxRange, OutboxRow, Outcome, Position, ReadMoved,
    Standing, Store,
};
use protocol::{ConversationId, DeviceId, GroupId, UserId};

/// A store that counts.
pub(super) struct WatchedStore {
    store: Arc<dyn Store>,
    pub(super) position_writes: AtomicUsize,
    pub(super) top_reads: AtomicUsize,
    pub(super) clearings: AtomicUsize,
    pub(super) outbox_reads: AtomicUsize,
}

impl WatchedStore {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let count = || AtomicUsize::new(0);
        Self {
            store,
            position_writes: count(),
            top_reads: count(),
            clearings: count(),
            outbox_reads: count(),
        }
    }
}

/// Calls that are handed on as they come.
macro_rules! handed_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for WatchedStore {
            async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
                self.top_reads.fetch_add(1, Ordering::Relaxed);
                self.store.inbox_tops(users).await
            }

            async fn clear_intents(&self, lane: IntentLane, message_ids: Vec<u64>) -> Result<()> {
                self.clearings.fetch_add(1, Ordering::Relaxed);
                self.store.clear_intents(lane, message_ids).await
            }

            async fn set_positions(&self, positions: Vec<Position>) -> Result<()> {
                self.position_writes.fetch_add(1, Ordering::Relaxed);
                self.store.set_positions(positions).await
            }

            async fn outbox_pages(&self, ranges: &[OutboxRange], limit: usize) -> Result<Vec<Vec<OutboxRow>>> {
                self.outbox_reads.fetch_add(1, Ordering::Relaxed);
                self.store.outbox_pages(ranges, limit).await
            }

            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                self.store.$name($($argument),*).await
            })*
        }
    };
}

handed_on! {
    fn append(appends: Vec<Append>) -> Vec<Result<Outcome>>;
    fn inbox_page(user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage>;
    fn outbox_tops(conversations: &[ConversationId]) -> Result<Vec<u64>>;
    fn history(range: HistoryRange) -> Result<HistoryPage>;
    fn receivers(conversation: &ConversationId, seq: u64) -> Result<Vec<UserId>>;
    fn fan_out(conversation: &ConversationId, seq: u64, users: Vec<UserId>) -> Result<Vec<u64>>;
    fn fanned_out_to(conversation: &ConversationId) -> Result<u64>;
    fn advance_fanned_out(conversation: &ConversationId, from: u64, to: u64) -> Result<bool>;
    fn intents(lane: IntentLane, before_ms: u64, limit: usize) -> Result<Vec<Intent>>;
    fn position(user: &UserId, device: &DeviceId) -> Result<Option<u64>>;
    fn received(user: &UserId, from: u64, to: u64, limit: usize) -> Result<Vec<(ConversationId, u64)>>;
    fn groups(groups: &[GroupId]) -> Result<Vec<Option<Group>>>;
    fn members(group: &GroupId, users: &[UserId]) -> Result<Vec<Option<Member>>>;
    fn members_page(group: &GroupId, after: Option<&UserId>, limit: usize) -> Result<Vec<Member>>;
    fn change_group(change: GroupChange) -> Result<Option<GroupChanged>>;
    fn super_groups(user: &UserId, after: Option<&ConversationId>, limit: usize) -> Result<Vec<(ConversationId, Standing)>>;
    fn put_join_request(group: &GroupId, request: JoinRequest, limit: usize) -> Result<bool>;
    fn join_requests(group: &GroupId) -> Result<Vec<JoinRequest>>;
    fn remove_join_request(group: &GroupId, user: &UserId) -> Result<bool>;
    fn standings(user: &UserId, conversations: &[ConversationId]) -> Result<Vec<Option<Standing>>>;
    fn conversations(user: &UserId, conversations: &[ConversationId]) -> Result<Vec<Option<Conversation>>>;
    fn conversations_since(user: &UserId, version: u64, limit: usize) -> Result<ConversationPage>;
    fn set_read(user: &UserId, conversation: &ConversationId, seq: u64) -> Result<Option<ReadMoved>>;
    fn reads(conversation: &ConversationId, users: &[UserId]) -> Result<Vec<u64>>;
    fn set_choices(user: &UserId, conversation: &ConversationId, pinned: Option<bool>, muted: Option<bool>) -> Result<bool>;
    fn set_blocked(user: &UserId, other: &UserId, blocked: bool, limit: usize) -> Result<bool>;
    fn blocked(user: &UserId) -> Result<Vec<UserId>>;
    fn have_blocked(users: &[UserId], other: &UserId) -> Result<Vec<bool>>;
    fn last_seen(users: &[UserId]) -> Result<Vec<u64>>;
    fn set_last_seen(seen: Vec<(UserId, u64)>) -> Result<()>;
    fn sweep_answers(before_ms: u64, limit: usize) -> Result<usize>;
}
