//! What can be lost without losing a message: shortcuts past the store.
//!
//! Every value may vanish at any time, and a caller that finds none reads the store. A value is only ever
//! raised; where the cache lost what was raised last, an earlier value may be answered, with that one's age. So an
//! answer is never above what the store holds, and is a top that the store had no longer than the asked age ago.
//! Nothing here is waited for longer than a short time-out.

pub mod embedded;
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::{ConversationId, UserId};

use crate::Result;

/// Keeps shortcuts.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The highest seq of each inbox as last raised no longer than `age_max` ago, in the order asked.
    ///
    /// # Errors
    /// `Transient`; callers go to the store.
    async fn inbox_tops(&self, users: &[UserId], age_max: Duration) -> Result<Vec<Option<u64>>>;

    /// Raises the highest seq of inboxes as just read from, or written to, the store. A lower value than the
    /// one there is not taken, but renews its age.
    ///
    /// # Errors
    /// `Transient`; callers go on without it.
    async fn raise_inbox_tops(&self, tops: &[(UserId, u64)]) -> Result<()>;

    /// The highest seq of each conversation as last raised no longer than `age_max` ago, in the order asked.
    ///
    /// # Errors
    /// `Transient`; callers go to the store.
    async fn outbox_tops(
        &self,
        conversations: &[ConversationId],
        age_max: Duration,
    ) -> Result<Vec<Option<u64>>>;

    /// Raises the highest seq of conversations, as `raise_inbox_tops` does for inboxes.
    ///
    /// # Errors
    /// `Transient`; callers go on without it.
    async fn raise_outbox_tops(&self, tops: &[(ConversationId, u64)]) -> Result<()>;
}

/// Opens the cache that a URL names: `embedded:`, `redis://…` or `redis-sentinel://…`.
///
/// # Errors
/// An unknown scheme, or what the implementation fails with.
pub async fn open(url: &str) -> Result<Arc<dyn Cache>> {
    match crate::open::by_scheme(url, "cache", &["embedded", "redis", "redis-sentinel"])? {
        ("redis", rest) => redis::open_single(rest).await,
        ("redis-sentinel", rest) => redis::open_sentinel(rest).await,
        (_, rest) => embedded::open(rest),
    }
}
