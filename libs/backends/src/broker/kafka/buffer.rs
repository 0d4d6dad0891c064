//! What was read from Kafka and waits for the consumer, and how far the consumer is in each partition.
//!
//! **Bound.** Of a durable topic nothing more is read while it is full. Of another one the oldest records make room
//! and are counted, as in the embedded broker.
//!
//! **Partitions.** Only those that this process has: with one that is taken away go its records that were not
//! handed out, and its place, so that nothing of it is committed any more.

use std::collections::{BTreeMap, VecDeque};

use metrics::Counter;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::Delivered;

/// Records of a durable topic read ahead; a few times what one call of `next` takes.
const DURABLE_RECORDS_MAX: usize = 4 * 1024;
/// Records of another topic: seconds of what rooms and broadcasts amount to.
const TRANSIENT_RECORDS_MAX: usize = 64 * 1024;
const DURABLE_BYTES_MAX: usize = 8 * 1024 * 1024;
const TRANSIENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that one call of `next` hands out, beyond its first record.
const NEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a record costs beside its key and value.
const RECORD_BYTES: usize = 128;

/// A partition, and the offset of the next record that is not done.
pub(super) type Place = (i32, i64);

pub(super) struct Buffer {
    is_durable: bool,
    kept: Mutex<Kept>,
    /// Records have arrived, or none will any more.
    pub(super) arrived: Notify,
    dropped: Counter,
}

#[derive(Default)]
struct Kept {
    waiting: VecDeque<Delivered>,
    bytes: usize,
    partitions: BTreeMap<i32, Progress>,
    /// Records were handed out of a partition that was then taken away.
    is_lost: bool,
}

/// How far it is in a partition; each is the offset of the next record, -1 before the first.
#[derive(Clone, Copy)]
struct Progress {
    handed_out: i64,
    done: i64,
    committed: i64,
}

impl Buffer {
    pub(super) fn new(is_durable: bool, dropped: Counter) -> Self {
        Self { is_durable, kept: Mutex::default(), arrived: Notify::new(), dropped }
    }

    /// Keeps a record that was read, where its partition is ours.
    pub(super) fn push(&self, record: Delivered) {
        let mut kept = self.kept.lock();
        if !kept.partitions.contains_key(&(record.partition.cast_signed())) {
            return;
        }
        kept.bytes += bytes_of(&record);
        kept.waiting.push_back(record);
        if self.is_durable {
            return;
        }
        while kept.waiting.len() > TRANSIENT_RECORDS_MAX
            || (kept.bytes > TRANSIENT_BYTES_MAX && kept.waiting.len() > 1)
        {
            let Some(oldest) = kept.waiting.pop_front() else { break };
            kept.bytes -= bytes_of(&oldest);
            self.dropped.increment(1);
        }
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_full(&self) -> bool {
        let kept = self.kept.lock();
        self.is_durable && (kept.waiting.len() >= DURABLE_RECORDS_MAX || kept.bytes >= DURABLE_BYTES_MAX)
    }

    /// Whether there is room again for a good part of what it holds.
    pub(super) fn has_room(&self) -> bool {
        let kept = self.kept.lock();
        kept.waiting.len() <= DURABLE_RECORDS_MAX / 2 && kept.bytes <= DURABLE_BYTES_MAX / 2
    }

    /// Hands out what waits, at most `limit` records.
    pub(super) fn take(&self, limit: usize) -> Vec<Delivered> {
        let mut kept = self.kept.lock();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < limit {
            let Some(record) = kept.waiting.pop_front() else { break };
            bytes += bytes_of(&record);
            if bytes > NEXT_BYTES_MAX && !taken.is_empty() {
                kept.waiting.push_front(record);
                break;
            }
            kept.bytes -= bytes_of(&record);
            if let Some(progress) = kept.partitions.get_mut(&record.partition.cast_signed()) {
                progress.handed_out = record.offset.cast_signed() + 1;
            }
            taken.push(record);
        }
        taken
    }

    /// These partitions are ours from here on.
    pub(super) fn assign(&self, partitions: impl Iterator<Item = i32>) {
        let mut kept = self.kept.lock();
        for partition in partitions {
            kept.partitions.insert(partition, Progress { handed_out: -1, done: -1, committed: -1 });
        }
    }

    /// These partitions are another's from here on.
    pub(super) fn revoke(&self, partitions: &[i32]) {
        let mut kept = self.kept.lock();
        for partition in partitions {
            if let Some(progress) = kept.partitions.remove(partition) {
                kept.is_lost |= progress.handed_out > progress.committed;
            }
        }
        let gone = |record: &Delivered| partitions.contains(&record.partition.cast_signed());
        let kept = &mut *kept;
        kept.waiting.retain(|record| !gone(record));
        kept.bytes = kept.waiting.iter().map(bytes_of).sum();
    }

    /// Nothing is ours any more.
    pub(super) fn clear(&self) {
        let all: Vec<i32> = self.kept.lock().partitions.keys().copied().collect();
        self.revoke(&all);
    }

    /// What was handed out is done.
    pub(super) fn finish(&self) {
        for progress in self.kept.lock().partitions.values_mut() {
            progress.done = progress.handed_out;
        }
    }

    /// What is done and not committed, in the order of the partitions.
    pub(super) fn to_commit(&self) -> Vec<Place> {
        let kept = self.kept.lock();
        let open = kept.partitions.iter().filter(|(_, progress)| progress.done > progress.committed);
        open.map(|(partition, progress)| (*partition, progress.done)).collect()
    }

    /// Kafka has these places.
    pub(super) fn committed(&self, places: &[Place]) {
        let mut kept = self.kept.lock();
        for (partition, offset) in places {
            if let Some(progress) = kept.partitions.get_mut(partition) {
                progress.committed = progress.committed.max(*offset);
            }
        }
    }

    /// Whether something that was handed out went to another consumer before it was committed; true once.
    pub(super) fn take_lost(&self) -> bool {
        std::mem::take(&mut self.kept.lock().is_lost)
    }
}

fn bytes_of(record: &Delivered) -> usize {
    RECORD_BYTES + record.key.len() + record.value.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn buffer(is_durable: bool) -> Buffer {
        let buffer = Buffer::new(is_durable, Counter::noop());
        buffer.assign([0, 1].into_iter());
        buffer
    }

    fn record(partition: u32, offset: u64, bytes: usize) -> Delivered {
        Delivered { partition, offset, key: Bytes::new(), value: Bytes::from(vec![0; bytes]) }
    }

    fn offsets(records: &[Delivered]) -> Vec<(u32, u64)> {
        records.iter().map(|record| (record.partition, record.offset)).collect()
    }

    #[test]
    fn only_what_was_handed_out_and_is_done_is_committed() {
        let buffer = buffer(true);
        for offset in 5..8 {
            buffer.push(record(0, offset, 1));
        }
        buffer.push(record(1, 9, 1));
        assert_eq!(offsets(&buffer.take(2)), [(0, 5), (0, 6)]);
        assert_eq!(buffer.to_commit(), []);
        buffer.finish();
        assert_eq!(buffer.to_commit(), [(0, 7)]);
        buffer.committed(&[(0, 7)]);
        assert_eq!(buffer.to_commit(), []);
        assert_eq!(offsets(&buffer.take(9)), [(0, 7), (1, 9)]);
        buffer.finish();
        assert_eq!(buffer.to_commit(), [(0, 8), (1, 10)]);
    }

    #[test]
    fn with_a_partition_go_its_records_and_its_place() {
        let buffer = buffer(true);
        buffer.push(record(0, 5, 1));
        buffer.push(record(1, 5, 1));
        buffer.push(record(1, 6, 1));
        buffer.take(2);
        buffer.finish();
        buffer.revoke(&[1]);
        assert_eq!(buffer.to_commit(), [(0, 6)]);
        assert!(buffer.take_lost() && !buffer.take_lost());
        assert_eq!(buffer.take(9), []);
        buffer.push(record(1, 7, 1));
        assert_eq!(buffer.take(9), [], "it is another's");
        buffer.assign([1].into_iter());
        buffer.push(record(1, 5, 1));
        assert_eq!(offsets(&buffer.take(9)), [(1, 5)]);
    }

    #[test]
    fn a_durable_topic_is_not_read_while_it_is_full_and_loses_nothing() {
        let buffer = buffer(true);
        for offset in 0..DURABLE_RECORDS_MAX as u64 + 10 {
            buffer.push(record(0, offset, 1));
        }
        assert!(buffer.is_full() && !buffer.has_room());
        assert_eq!(buffer.take(usize::MAX).len(), DURABLE_RECORDS_MAX + 10);
        assert!(!buffer.is_full() && buffer.has_room());
        buffer.push(record(0, 1, DURABLE_BYTES_MAX));
        assert!(buffer.is_full());
    }

    #[test]
    fn a_consumer_that_falls_behind_on_another_topic_loses_the_oldest() {
        let buffer = buffer(false);
        for offset in 0..TRANSIENT_RECORDS_MAX as u64 + 10 {
            buffer.push(record(0, offset, 1));
        }
        assert!(!buffer.is_full());
        assert_eq!(offsets(&buffer.take(1)), [(0, 10)]);
        for offset in 0..8 {
            buffer.push(record(1, offset, TRANSIENT_BYTES_MAX / 4));
        }
        assert_eq!(offsets(&buffer.take(9)), [(1, 5)], "and one call hands out a part of it");
        assert_eq!(offsets(&buffer.take(9)), [(1, 6)]);
    }
}
