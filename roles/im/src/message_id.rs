//! Global message ids: rising with time, distinct between processes.
//!
//! 41 bits of milliseconds since 2020, 10 bits of node, 12 bits of counter, as in Twitter's Snowflake; they last
//! until 2089. Time and counter are one number that only rises: where the clock goes back, or more than 4,096
//! ids are taken in a millisecond, ids go on from the last one and run ahead of the clock.

use std::sync::atomic::{AtomicU64, Ordering};

/// 2020-01-01 UTC in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_577_836_800_000;
const NODE_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;

/// Makes message ids.
pub(crate) struct MessageIds {
    node: u64,
    /// Milliseconds and counter of the last id, the counter in the low bits.
    last: AtomicU64,
}

impl MessageIds {
    /// Ids of a node; only its lowest 10 bits count.
    pub(crate) fn new(node: u16) -> Self {
        Self { node: u64::from(node) & ((1 << NODE_BITS) - 1), last: AtomicU64::new(0) }
    }

    /// The next id; higher than every one before it.
    pub(crate) fn next(&self, now_ms: u64) -> u64 {
        let now = now_ms.saturating_sub(BEGINNING_MS) << COUNTER_BITS;
        let rise = |last: u64| now.max(last + 1);
        let last = self.last.update(Ordering::Relaxed, Ordering::Relaxed, rise);
        let taken = rise(last);
        let (milliseconds, counter) = (taken >> COUNTER_BITS, taken & ((1 << COUNTER_BITS) - 1));
        (milliseconds << (NODE_BITS + COUNTER_BITS)) | (self.node << COUNTER_BITS) | counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_790_000_000_000;

    #[test]
    fn ids_rise_though_the_clock_goes_back_and_the_counter_runs_over() {
        let ids = MessageIds::new(1023);
        let times = (0..20_000).map(|count| NOW_MS - count / 2);
        let taken: Vec<u64> = times.map(|now_ms| ids.next(now_ms)).collect();
        assert!(taken.is_sorted_by(|one, next| one < next));
        assert!(taken.iter().all(|id| (id >> COUNTER_BITS) & 1023 == 1023));
    }

    #[test]
    fn an_id_tells_its_time_and_nodes_do_not_share_ids() {
        let (one, other) = (MessageIds::new(0), MessageIds::new(1));
        let (id, same_time) = (one.next(NOW_MS), other.next(NOW_MS));
        assert_eq!((id >> 22) + BEGINNING_MS, NOW_MS);
        assert_ne!(id, same_time);
        assert!(i64::try_from(id).is_ok());
    }

    #[test]
    fn threads_never_get_the_same_id() {
        let ids = MessageIds::new(0);
        let take = || (0..5_000).map(|_| ids.next(NOW_MS)).collect::<Vec<_>>();
        let mut taken: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 20_000);
    }
}
