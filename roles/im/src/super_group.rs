//! The super groups of a user, and where they stand: what a proxy needs to put a connection into their rooms, and to
//! tell it with a heartbeat that something is missing.

use std::sync::Arc;
use std::time::Duration;

use backends::cache::Cache;
use backends::store::{Standing, Store};
use contracts::Result;
use contracts::im::SuperGroup;
use protocol::limits::SUPER_GROUPS_PER_USER_MAX;
use protocol::{ConversationId, UserId};

use crate::failure;

/// Super groups that are read at once.
const PAGE: usize = 500;

/// Reads where super groups stand.
pub(crate) struct SuperGroups {
    store: Arc<dyn Store>,
    cache: Arc<dyn Cache>,
    top_age_max: Duration,
}

impl SuperGroups {
    /// Reads this store, and this cache where it is not older than `top_age_max`.
    pub(crate) fn new(store: Arc<dyn Store>, cache: Arc<dyn Cache>, top_age_max: Duration) -> Self {
        Self { store, cache, top_age_max }
    }

    /// As [`of_user`].
    pub(crate) async fn of_user(&self, user: &UserId) -> Result<Vec<SuperGroup>> {
        of_user(&self.store, user).await
    }

    /// The highest seq of each conversation, from the cache where it is fresh there.
    pub(crate) async fn tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        let cached = match self.cache.outbox_tops(conversations, self.top_age_max).await {
            Ok(cached) if cached.len() == conversations.len() => cached,
            Ok(_) => vec![None; conversations.len()],
            Err(error) => {
                tracing::debug!(target: "im", ?error, "tops of conversations are read from the store");
                vec![None; conversations.len()]
            }
        };
        let missing = conversations.iter().zip(&cached).filter(|(_, top)| top.is_none());
        let missing: Vec<ConversationId> = missing.map(|(conversation, _)| conversation.clone()).collect();
        if missing.is_empty() {
            return Ok(cached.into_iter().flatten().collect());
        }
        let read = self.store.outbox_tops(&missing).await.map_err(failure::of_backend)?;
        let tops: Vec<(ConversationId, u64)> = missing.into_iter().zip(read.iter().copied()).collect();
        if let Err(error) = self.cache.raise_outbox_tops(&tops).await {
            tracing::debug!(target: "im", ?error, "tops of conversations were not raised");
        }
        let mut read = read.into_iter();
        Ok(cached.into_iter().map(|top| top.or_else(|| read.next()).unwrap_or(0)).collect())
    }
}

/// The super groups of a user that have not ended, up to as many as a user may join. Who was let into more by others
/// is in the rooms of the first of them, and asks for the rest.
pub(crate) async fn of_user(store: &Arc<dyn Store>, user: &UserId) -> Result<Vec<SuperGroup>> {
    let mut found = Vec::new();
    let mut after: Option<ConversationId> = None;
    while found.len() < SUPER_GROUPS_PER_USER_MAX {
        let page = store.super_groups(user, after.as_ref(), PAGE).await.map_err(failure::of_backend)?;
        let full = page.len() >= PAGE;
        after = page.last().map(|(conversation, _)| conversation.clone());
        found.extend(page.into_iter().filter_map(going_on));
        if !full {
            break;
        }
    }
    found.truncate(SUPER_GROUPS_PER_USER_MAX);
    Ok(found)
}

/// A super group, unless it has ended: in one that has, nothing is said any more, and it takes no other's place.
fn going_on((conversation, standing): (ConversationId, Standing)) -> Option<SuperGroup> {
    let group = conversation.group_id().filter(|_| !standing.dismissed)?;
    Some(SuperGroup { group, version: standing.joined })
}
