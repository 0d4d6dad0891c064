//! The embedded store, counting some of its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use backends::Result;
use backends::store::{Append, Appended, InboxPage, Intent, OutboxRow, Position, Store};
use protocol::{ConversationId, DeviceId, UserId};

/// A store that counts.
pub(super) struct WatchedStore {
    store: Arc<dyn Store>,
    pub(super) position_writes: AtomicUsize,
    pub(super) top_reads: AtomicUsize,
    pub(super) clearings: AtomicUsize,
}

impl WatchedStore {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let count = || AtomicUsize::new(0);
        Self { store, position_writes: count(), top_reads: count(), clearings: count() }
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn append(&self, appends: Vec<Append>) -> Vec<Result<Appended>> {
        self.store.append(appends).await
    }

    async fn inbox_page(&self, user: &UserId, begin: u64, end: u64, limit: usize) -> Result<InboxPage> {
        self.store.inbox_page(user, begin, end, limit).await
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        self.top_reads.fetch_add(1, Ordering::Relaxed);
        self.store.inbox_tops(users).await
    }

    async fn outbox_page(
        &self,
        conversation: &ConversationId,
        begin: u64,
        end: u64,
        limit: usize,
    ) -> Result<Vec<OutboxRow>> {
        self.store.outbox_page(conversation, begin, end, limit).await
    }

    async fn fan_out(&self, conversation: &ConversationId, seq: u64, users: Vec<UserId>) -> Result<Vec<u64>> {
        self.store.fan_out(conversation, seq, users).await
    }

    async fn fanned_out_to(&self, conversation: &ConversationId) -> Result<u64> {
        self.store.fanned_out_to(conversation).await
    }

    async fn advance_fanned_out(&self, conversation: &ConversationId, from: u64, to: u64) -> Result<bool> {
        self.store.advance_fanned_out(conversation, from, to).await
    }

    async fn intents(&self, before_ms: u64, limit: usize) -> Result<Vec<Intent>> {
        self.store.intents(before_ms, limit).await
    }

    async fn clear_intents(&self, message_ids: Vec<u64>) -> Result<()> {
        self.clearings.fetch_add(1, Ordering::Relaxed);
        self.store.clear_intents(message_ids).await
    }

    async fn position(&self, user: &UserId, device: &DeviceId) -> Result<Option<u64>> {
        self.store.position(user, device).await
    }

    async fn set_positions(&self, positions: Vec<Position>) -> Result<()> {
        self.position_writes.fetch_add(1, Ordering::Relaxed);
        self.store.set_positions(positions).await
    }

    async fn sweep_answers(&self, before_ms: u64, limit: usize) -> Result<usize> {
        self.store.sweep_answers(before_ms, limit).await
    }
}
