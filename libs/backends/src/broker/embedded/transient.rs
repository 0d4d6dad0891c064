//! The topics that are not durable, `push` and `presence`: a ring of records in memory for each consumer name.
//!
//! **Bound.** A ring holds at most [`RECORDS_MAX`] records and [`BYTES_MAX`] bytes; beyond that its oldest
//! records are dropped and counted. A record goes to the names that are subscribed when it is published; when
//! the last subscription of a name is dropped, its ring goes with it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use super::{PARTITION, Record, Subscription, Topic};
use crate::Result;
use crate::broker::Delivered;

/// Records of one ring: seconds of what rooms and broadcasts amount to.
const RECORDS_MAX: usize = 64 * 1024;
/// Bytes of one ring. An empty ring takes one record of any size.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a record costs beside its key and value.
const RECORD_BYTES: usize = 128;

pub(super) struct Transient {
    topic: Topic,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    /// Offsets begin at 1 in every process: nothing that remembers one outlives it.
    last_offset: u64,
    rings: HashMap<String, Weak<Ring>>,
}

struct Ring {
    records: Mutex<Records>,
    arrived: Notify,
    /// Held by the subscription that reads.
    reading: Arc<AsyncMutex<()>>,
    dropped_behind: metrics::Counter,
    dropped_unsubscribed: metrics::Counter,
}

#[derive(Default)]
struct Records {
    waiting: VecDeque<Delivered>,
    bytes: usize,
}

impl Transient {
    pub(super) fn new(topic: Topic) -> Self {
        Self { topic, published: Mutex::default() }
    }

    pub(super) fn publish(&self, records: Vec<Record>) {
        let mut published = self.published.lock();
        let mut rings = Vec::with_capacity(published.rings.len());
        published.rings.retain(|_, ring| {
            let ring = ring.upgrade();
            rings.extend(ring.clone());
            ring.is_some()
        });
        for record in records {
            published.last_offset += 1;
            let delivered = Delivered {
                partition: PARTITION,
                offset: published.last_offset,
                key: record.key,
                value: record.value,
            };
            for ring in &rings {
                ring.push(delivered.clone());
            }
        }
        for ring in rings {
            ring.arrived.notify_one();
        }
    }

    pub(super) fn subscribe(&self, consumer: &str) -> TransientSubscription {
        let mut published = self.published.lock();
        let ring = published.rings.get(consumer).and_then(Weak::upgrade).unwrap_or_else(|| {
            let ring = Arc::new(Ring::new(self.topic, consumer));
            published.rings.insert(consumer.to_owned(), Arc::downgrade(&ring));
            ring
        });
        TransientSubscription { ring, reading: None }
    }
}

impl Ring {
    fn new(topic: Topic, consumer: &str) -> Self {
        let dropped = |reason: &'static str| {
            let consumer = consumer.to_owned();
            metrics::counter!(
                "anser_broker_dropped_records_total",
                "topic" => topic.name(), "consumer" => consumer, "reason" => reason
            )
        };
        Self {
            records: Mutex::default(),
            arrived: Notify::new(),
            reading: Arc::default(),
            dropped_behind: dropped("behind"),
            dropped_unsubscribed: dropped("unsubscribed"),
        }
    }

    fn push(&self, record: Delivered) {
        let mut records = self.records.lock();
        records.bytes += bytes_of(&record);
        records.waiting.push_back(record);
        while records.waiting.len() > RECORDS_MAX || (records.bytes > BYTES_MAX && records.waiting.len() > 1)
        {
            let Some(oldest) = records.waiting.pop_front() else { break };
            records.bytes -= bytes_of(&oldest);
            self.dropped_behind.increment(1);
        }
    }

    fn take(&self, limit: usize) -> Vec<Delivered> {
        let mut records = self.records.lock();
        let count = limit.min(records.waiting.len());
        let taken: Vec<Delivered> = records.waiting.drain(..count).collect();
        records.bytes -= taken.iter().map(bytes_of).sum::<usize>();
        taken
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.dropped_unsubscribed.increment(self.records.get_mut().waiting.len() as u64);
    }
}

fn bytes_of(record: &Delivered) -> usize {
    RECORD_BYTES + record.key.len() + record.value.len()
}

pub(super) struct TransientSubscription {
    ring: Arc<Ring>,
    reading: Option<OwnedMutexGuard<()>>,
}

#[async_trait]
impl Subscription for TransientSubscription {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivered>> {
        if self.reading.is_none() {
            self.reading = Some(Arc::clone(&self.ring.reading).lock_owned().await);
        }
        loop {
            let records = self.ring.take(limit.max(1));
            if !records.is_empty() {
                return Ok(records);
            }
            // What arrived since the look before is kept as a permit, so no record is waited past.
            self.ring.arrived.notified().await;
        }
    }

    async fn commit(&mut self) -> Result<()> {
        // What was handed out has left the ring.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(bytes: usize) -> Record {
        Record { key: Bytes::new(), value: Bytes::from(vec![0; bytes]) }
    }

    #[tokio::test]
    async fn a_consumer_that_falls_behind_loses_the_oldest() {
        let topic = Transient::new(Topic::Push);
        let mut subscription = topic.subscribe("slow");
        topic.publish(vec![record(1); RECORDS_MAX + 10]);
        assert_eq!(subscription.next(1).await.unwrap()[0].offset, 11);
        let rest = subscription.next(usize::MAX).await.unwrap();
        assert_eq!(rest.len(), RECORDS_MAX - 1);
    }

    #[tokio::test]
    async fn a_ring_is_bounded_in_bytes_and_takes_one_record_of_any_size() {
        let topic = Transient::new(Topic::Push);
        let mut subscription = topic.subscribe("slow");
        topic.publish(vec![record(BYTES_MAX / 4); 8]);
        let offsets: Vec<u64> =
            subscription.next(usize::MAX).await.unwrap().iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [6, 7, 8]);

        topic.publish(vec![record(1), record(BYTES_MAX * 2)]);
        let offsets: Vec<u64> =
            subscription.next(usize::MAX).await.unwrap().iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [10]);
    }
}
