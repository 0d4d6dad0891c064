//! What a device missed: where it stands when it connects, pages of the inbox, and the tops of inboxes.
//!
//! | the device states | the server's record | it holds up to | the record becomes |
//! |---|---|---|---|
//! | nothing | r | r | |
//! | nothing | none | max(0, top − 300) | |
//! | n, at most top | lower than n, or none | n | n |
//! | n, at most top | n or higher | n | |
//! | n past the top | any | top | |
//!
//! A device that states 0 holds nothing and gets everything again, while its record stays. What is stated past
//! the top is no ack: the device may come from another system.

use std::sync::Arc;
use std::time::Duration;

use backends::cache::Cache;
use backends::store::{InboxPage, Store};
use contracts::im::{Page, Position, Resumed};
use contracts::{Error, Result};
use protocol::client::Message;
use protocol::limits::{REPLAY_MESSAGES_MAX, SYNC_MESSAGES_MAX};
use protocol::{Code, DeviceId, UserId};

use crate::group_sync::GroupSync;
use crate::position::Positions;
use crate::{failure, history};

/// Reads inboxes and keeps positions.
pub(crate) struct Offline {
    store: Arc<dyn Store>,
    cache: Arc<dyn Cache>,
    positions: Positions,
    group_sync: GroupSync,
    top_age_max: Duration,
}

impl Offline {
    /// Reads this store, and this cache where it is not older than `top_age_max`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        cache: Arc<dyn Cache>,
        positions: Positions,
        group_sync: GroupSync,
        top_age_max: Duration,
    ) -> Self {
        Self { store, cache, positions, group_sync, top_age_max }
    }

    /// Tells where a device stands.
    pub(crate) async fn resume(
        &self,
        user: &UserId,
        device: &DeviceId,
        stated: Option<u64>,
    ) -> Result<Resumed> {
        // From the store and not from the cache: what was stored before the device came must be replayed.
        let users = std::slice::from_ref(user);
        let pending = self.positions.pending(user, device);
        let (tops, record, groups) = tokio::join!(
            self.tops_from_store(users),
            self.store.position(user, device),
            self.group_sync.first_page(user),
        );
        let inbox_top = tops?.first().copied().unwrap_or(0);
        let record = record.map_err(failure::of_backend)?.max(pending);
        let (groups, groups_next) = groups?;
        let (held_up_to, raised) = stand(inbox_top, record, stated);
        let known = match (record, raised) {
            (Some(record), _) => record,
            (None, Some(_)) => 0,
            // What is not sent to the device is not delivered to it either.
            (None, None) => held_up_to,
        };
        self.positions.know(user, device, known);
        let mut acked_up_to = record.unwrap_or(0);
        if let Some(inbox_seq) = raised {
            let position = Position { user: user.clone(), device: device.clone(), inbox_seq };
            match self.positions.record(vec![position]).await {
                Ok(()) => acked_up_to = inbox_seq,
                // The device knows what it holds; the server's record follows with its next ack.
                Err(error) => {
                    tracing::debug!(target: "im", ?error, %user, %device, "a stated position was not kept");
                }
            }
        }
        Ok(Resumed { inbox_top, acked_up_to, held_up_to, groups, groups_next })
    }

    /// Reads a part of an inbox.
    pub(crate) async fn page(&self, user: &UserId, begin: u64, end: u64, limit: u32) -> Result<Page> {
        let begin = begin.max(1);
        if end != 0 && end < begin {
            let message = format!("end {end} is before begin {begin}: give 0 or {begin} or more");
            return Err(Error::refused(Code::InvalidArgument, message));
        }
        let limit = limit.clamp(1, SYNC_MESSAGES_MAX) as usize;
        let page = self.store.inbox_page(user, begin, end, limit).await.map_err(failure::of_backend)?;
        let (top, next) = (page.top, next_of(&page, end, limit));
        let message = |row: backends::store::InboxRow| {
            let message = history::message_of(&row.message)?;
            Some(Message { inbox_seq: Some(row.inbox_seq), ..message })
        };
        Ok(Page { messages: page.rows.into_iter().filter_map(message).collect(), top, next })
    }

    /// Records positions.
    pub(crate) async fn ack(&self, positions: Vec<Position>) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        self.positions.record(positions).await
    }

    /// The highest seq of each inbox, from the cache where it is fresh there.
    pub(crate) async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let cached = match self.cache.inbox_tops(users, self.top_age_max).await {
            Ok(cached) if cached.len() == users.len() => cached,
            Ok(_) => vec![None; users.len()],
            Err(error) => {
                tracing::debug!(target: "im", ?error, "tops of inboxes are read from the store");
                vec![None; users.len()]
            }
        };
        let missing: Vec<UserId> = users
            .iter()
            .zip(&cached)
            .filter(|(_, top)| top.is_none())
            .map(|(user, _)| user.clone())
            .collect();
        if missing.is_empty() {
            return Ok(cached.into_iter().flatten().collect());
        }
        let mut read = self.tops_from_store(&missing).await?.into_iter();
        Ok(cached.into_iter().map(|top| top.or_else(|| read.next()).unwrap_or(0)).collect())
    }

    /// Reads tops from the store and leaves them in the cache.
    async fn tops_from_store(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let tops = self.store.inbox_tops(users).await.map_err(failure::of_backend)?;
        let read: Vec<(UserId, u64)> = users.iter().cloned().zip(tops.iter().copied()).collect();
        if let Err(error) = self.cache.raise_inbox_tops(&read).await {
            tracing::debug!(target: "im", ?error, "tops of inboxes were not raised");
        }
        Ok(tops)
    }
}

/// What a device holds, and to what its record is raised.
fn stand(top: u64, record: Option<u64>, stated: Option<u64>) -> (u64, Option<u64>) {
    match (stated, record) {
        (None, Some(record)) => (record.min(top), None),
        (None, None) => (top.saturating_sub(REPLAY_MESSAGES_MAX), None),
        (Some(stated), _) if stated > top => (top, None),
        (Some(stated), record) => (stated, (stated > record.unwrap_or(0)).then_some(stated)),
    }
}

/// The seq to ask for after a page that was read up to `end`, 0 being the top. Where `end` was reached below the
/// top there is more after it.
fn next_of(page: &InboxPage, end: u64, limit: usize) -> u64 {
    let last_wanted = if end == 0 { page.top } else { end.min(page.top) };
    let last_read = page.rows.last().map_or(0, |row| row.inbox_seq);
    if page.rows.len() >= limit && last_read < last_wanted {
        last_read + 1
    } else if last_wanted < page.top {
        last_wanted + 1
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_stands_where_the_rules_say() {
        let rules = [
            // top, record, stated → held, raised
            (1_000, Some(990), None, 990, None),
            (1_000, None, None, 700, None),
            (120, None, None, 0, None),
            (1_000, Some(500), Some(900), 900, Some(900)),
            (1_000, None, Some(900), 900, Some(900)),
            (1_000, Some(900), Some(900), 900, None),
            (1_000, Some(900), Some(40), 40, None),
            (1_000, Some(900), Some(0), 0, None),
            (1_000, None, Some(0), 0, None),
            (1_000, Some(500), Some(1_000), 1_000, Some(1_000)),
            (1_000, Some(500), Some(1_001), 1_000, None),
            (0, None, Some(7), 0, None),
            (0, None, None, 0, None),
            (10, Some(12), None, 10, None),
        ];
        for (top, record, stated, held, raised) in rules {
            assert_eq!(stand(top, record, stated), (held, raised), "top {top}, {record:?}, {stated:?}");
        }
    }
}
