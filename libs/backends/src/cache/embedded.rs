//! The cache inside this process: the highest seq of the inboxes touched last.
//!
//! It is split into shards so that callers on several threads rarely meet. Each shard keeps at most
//! [`TOPS_PER_SHARD`] inboxes touched last and as many before them; beyond that the oldest are forgotten and
//! counted.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use protocol::UserId;

use super::Cache;
use crate::generations::Generations;
use crate::{Error, Kind, Result};

/// A power of two, well above the cores of a machine.
const SHARDS_COUNT: usize = 16;
/// Inboxes of one shard's young generation: about 100 bytes each, so 13 MB in all when full.
const TOPS_PER_SHARD: usize = 4096;

/// Opens a cache that lives as long as what is answered.
///
/// # Errors
/// `Missing` where something comes after `embedded:`.
pub fn open(rest: &str) -> Result<Arc<dyn Cache>> {
    if !rest.is_empty() {
        let message = format!("cache embedded: takes nothing after the colon, not {rest:?}");
        return Err(Error::new(Kind::Missing, message));
    }
    Ok(Arc::new(EmbeddedCache::new()))
}

#[derive(Debug, Clone, Copy)]
struct Top {
    inbox_seq: u64,
    raised_at: Instant,
}

struct EmbeddedCache {
    hasher: foldhash::fast::RandomState,
    shards: [Mutex<Generations<UserId, Top>>; SHARDS_COUNT],
    forgotten: metrics::Counter,
}

impl EmbeddedCache {
    fn new() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::new(Generations::new(TOPS_PER_SHARD))),
            forgotten: metrics::counter!("anser_cache_forgotten_total", "reason" => "full"),
        }
    }

    fn shard(&self, user: &UserId) -> &Mutex<Generations<UserId, Top>> {
        let hash = self.hasher.hash_one(user) >> 32;
        &self.shards[usize::try_from(hash).unwrap_or(0) % SHARDS_COUNT]
    }
}

#[async_trait]
impl Cache for EmbeddedCache {
    async fn inbox_tops(&self, users: &[UserId], age_max: Duration) -> Result<Vec<Option<u64>>> {
        let now = Instant::now();
        let top = |user| {
            let top = self.shard(user).lock().get(user).copied();
            top.filter(|top| now.saturating_duration_since(top.raised_at) <= age_max).map(|top| top.inbox_seq)
        };
        Ok(users.iter().map(top).collect())
    }

    async fn raise_inbox_tops(&self, tops: &[(UserId, u64)]) -> Result<()> {
        let raised_at = Instant::now();
        for (user, inbox_seq) in tops {
            let mut shard = self.shard(user).lock();
            let known = shard.get(user).map_or(0, |top| top.inbox_seq);
            let top = Top { inbox_seq: known.max(*inbox_seq), raised_at };
            let forgotten = shard.insert(user.clone(), top);
            if forgotten > 0 {
                self.forgotten.increment(forgotten as u64);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::Identifier;

    use super::*;

    #[tokio::test]
    async fn it_stays_within_its_bound_and_keeps_what_was_raised_last() {
        let cache = EmbeddedCache::new();
        let users: Vec<UserId> =
            (1..=300_000).map(|number| UserId::new(&format!("user-{number}")).unwrap()).collect();
        for (user, seq) in users.iter().zip(1..) {
            cache.raise_inbox_tops(&[(user.clone(), seq)]).await.unwrap();
        }
        let tops = cache.inbox_tops(&users, Duration::MAX).await.unwrap();
        let kept = tops.iter().flatten().count();
        assert!(kept <= 2 * SHARDS_COUNT * (TOPS_PER_SHARD + 1), "{kept}");
        assert_eq!(tops.last(), Some(&Some(300_000)));
        assert_eq!(tops.first(), Some(&None));
    }

    #[test]
    fn nothing_may_come_after_the_colon() {
        assert!(open("").is_ok());
        assert_eq!(open("x").err().map(|error| error.kind()), Some(Kind::Missing));
    }
}
