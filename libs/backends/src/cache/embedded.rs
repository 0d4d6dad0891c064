//! The cache inside this process: the highest seq of the boxes touched last.
//!
//! It is split into shards so that callers on several threads rarely meet. Each shard keeps at most
//! [`TOPS_PER_SHARD`] boxes of a kind touched last and as many before them; beyond that the oldest are forgotten and
//! counted.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use protocol::{ConversationId, UserId};

use super::Cache;
use crate::generations::Generations;
use crate::{Error, Kind, Result};

/// A power of two, well above the cores of a machine.
const SHARDS_COUNT: usize = 16;
/// Boxes of one shard's young generation: about 100 bytes each, so 26 MB in all when inboxes and outboxes are full.
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
    Ok(Arc::new(EmbeddedCache { inboxes: Tops::new(), outboxes: Tops::new() }))
}

struct EmbeddedCache {
    inboxes: Tops<UserId>,
    outboxes: Tops<ConversationId>,
}

#[async_trait]
impl Cache for EmbeddedCache {
    async fn inbox_tops(&self, users: &[UserId], age_max: Duration) -> Result<Vec<Option<u64>>> {
        Ok(self.inboxes.get(users, age_max))
    }

    async fn raise_inbox_tops(&self, tops: &[(UserId, u64)]) -> Result<()> {
        self.inboxes.raise(tops);
        Ok(())
    }

    async fn outbox_tops(
        &self,
        conversations: &[ConversationId],
        age_max: Duration,
    ) -> Result<Vec<Option<u64>>> {
        Ok(self.outboxes.get(conversations, age_max))
    }

    async fn raise_outbox_tops(&self, tops: &[(ConversationId, u64)]) -> Result<()> {
        self.outboxes.raise(tops);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Top {
    seq: u64,
    raised_at: Instant,
}

/// The highest seq of boxes of one kind.
struct Tops<K> {
    hasher: foldhash::fast::RandomState,
    shards: [Mutex<Generations<K, Top>>; SHARDS_COUNT],
    forgotten: metrics::Counter,
}

impl<K: Clone + Eq + Hash> Tops<K> {
    fn new() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::new(Generations::new(TOPS_PER_SHARD))),
            forgotten: metrics::counter!("anser_cache_forgotten_total", "reason" => "full"),
        }
    }

    fn shard(&self, owner: &K) -> &Mutex<Generations<K, Top>> {
        let hash = self.hasher.hash_one(owner) >> 32;
        &self.shards[usize::try_from(hash).unwrap_or(0) % SHARDS_COUNT]
    }

    fn get(&self, owners: &[K], age_max: Duration) -> Vec<Option<u64>> {
        let now = Instant::now();
        let top = |owner| {
            let top = self.shard(owner).lock().get(owner).copied();
            top.filter(|top| now.saturating_duration_since(top.raised_at) <= age_max).map(|top| top.seq)
        };
        owners.iter().map(top).collect()
    }

    fn raise(&self, tops: &[(K, u64)]) {
        let raised_at = Instant::now();
        for (owner, seq) in tops {
            let mut shard = self.shard(owner).lock();
            let known = shard.get(owner).map_or(0, |top| top.seq);
            let top = Top { seq: known.max(*seq), raised_at };
            let forgotten = shard.insert(owner.clone(), top);
            if forgotten > 0 {
                self.forgotten.increment(forgotten as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Identifier;

    use super::*;

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_was_raised_last() {
        let cache = Tops::new();
        let users: Vec<UserId> =
            (1..=300_000).map(|number| UserId::new(&format!("user-{number}")).unwrap()).collect();
        for (user, seq) in users.iter().zip(1..) {
            cache.raise(&[(user.clone(), seq)]);
        }
        let tops = cache.get(&users, Duration::MAX);
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
