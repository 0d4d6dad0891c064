//! A thread that is a member of a consumer group: it reads ahead, follows rebalances and passes commits on.
//!
//! librdkafka wants to be asked for records again and again, also while a consumer is at work, or the group takes it
//! for dead and a rebalance of the others does not end. So each subscription has a thread of its own that does
//! nothing else. Whatever Kafka does, it goes on until it is told to stop; then it leaves the group, so that the
//! others need not wait for its session to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use super::buffer::{Buffer, Place};
use super::context::{self, Asking};
use crate::broker::Delivered;

/// How long it waits for a record before it looks around.
const POLL: Duration = Duration::from_millis(50);
/// The same while nothing is read because the buffer is full.
const POLL_FULL: Duration = Duration::from_millis(2);
/// Records that are taken from librdkafka before those who wait are told.
const DRAIN_MAX: usize = 1_024;
/// How often places of a topic that is not durable are committed.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// How long it waits before it tries again what failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long Kafka may take to tell where a topic ends.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// What a subscription and its thread share.
pub(super) struct Shared {
    pub(super) topic: String,
    pub(super) is_durable: bool,
    pub(super) buffer: Buffer,
    pub(super) config: ClientConfig,
    /// The consumer while there is one.
    consumer: RwLock<Option<Arc<BaseConsumer<Member>>>>,
    /// Whether the name has a place in each partition.
    pub(super) is_placed: AtomicBool,
    pub(super) stop: AtomicBool,
    ended: AtomicBool,
}

impl Shared {
    pub(super) fn new(topic: String, is_durable: bool, config: ClientConfig, buffer: Buffer) -> Self {
        Self {
            topic,
            is_durable,
            buffer,
            config,
            consumer: RwLock::new(None),
            is_placed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ended: AtomicBool::new(true),
        }
    }

    /// Whether no thread reads.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Commits places, and waits for Kafka in a thread that may be held up.
    pub(super) async fn commit(&self, places: &[Place]) -> KafkaResult<()> {
        let consumer = self.consumer.read().clone().ok_or(KafkaError::Canceled)?;
        let list = list(&self.topic, places)?;
        // librdkafka answers only a commit that is waited for.
        let committed = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync));
        committed.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

fn list(topic: &str, places: &[Place]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (partition, offset) in places {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// Starts the thread.
pub(super) fn start(shared: &Arc<Shared>, leaving: Arc<Leaving>) -> std::io::Result<()> {
    shared.ended.store(false, Ordering::Release);
    let reader = Reader { shared: Arc::clone(shared), leaving };
    let thread = std::thread::Builder::new().name(format!("read {}", shared.topic));
    thread.spawn(move || reader.run()).map(drop).inspect_err(|_| shared.ended.store(true, Ordering::Release))
}

struct Reader {
    shared: Arc<Shared>,
    leaving: Arc<Leaving>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Also where the thread panicked.
        *self.shared.consumer.write() = None;
        self.shared.buffer.clear();
        self.shared.ended.store(true, Ordering::Release);
        self.shared.buffer.arrived.notify_one();
        if self.is_stopped() {
            self.leaving.end();
        }
    }
}

impl Reader {
    fn run(self) {
        while !self.is_stopped() {
            if let Err(error) = self.read() {
                let topic = &self.shared.topic;
                tracing::warn!(target: "broker", topic, %error, "a consumer is made anew");
                self.pause();
            }
        }
    }

    /// Reads with one consumer, until it is told to stop or the consumer can do nothing more.
    fn read(&self) -> KafkaResult<()> {
        let shared = &self.shared;
        let member = Member { shared: Arc::clone(shared) };
        let consumer: Arc<BaseConsumer<Member>> = Arc::new(shared.config.create_with_context(member)?);
        while !shared.is_durable && !shared.is_placed.load(Ordering::Acquire) && !self.is_stopped() {
            match place(&consumer, &shared.topic) {
                Ok(()) => shared.is_placed.store(true, Ordering::Release),
                Err(error) => {
                    let topic = &shared.topic;
                    tracing::warn!(target: "broker", topic, %error, "where the topic ends cannot be asked");
                    self.pause();
                }
            }
        }
        consumer.subscribe(&[&shared.topic])?;
        *shared.consumer.write() = Some(Arc::clone(&consumer));
        let read = self.follow(&consumer);
        // Its end waits for Kafka: it is this thread's, or that of a commit which is not done.
        *shared.consumer.write() = None;
        drop(consumer);
        shared.buffer.clear();
        read
    }

    fn follow(&self, consumer: &BaseConsumer<Member>) -> KafkaResult<()> {
        let shared = &self.shared;
        let mut is_paused = false;
        let mut commit_at = Instant::now() + COMMIT_INTERVAL;
        while !self.is_stopped() {
            let count = self.drain(consumer, if is_paused { POLL_FULL } else { POLL })?;
            if count > 0 {
                shared.buffer.arrived.notify_one();
            }
            if is_paused && shared.buffer.has_room() {
                consumer.resume(&consumer.assignment()?)?;
                is_paused = false;
            } else if shared.buffer.is_full() && (!is_paused || count > 0) {
                // Again where a partition came in the meantime.
                consumer.pause(&consumer.assignment()?)?;
                is_paused = true;
            }
            if !shared.is_durable && Instant::now() >= commit_at {
                self.commit_in_passing(consumer);
                commit_at = Instant::now() + COMMIT_INTERVAL;
            }
        }
        Ok(())
    }

    /// Commits without waiting. A failure is made good by the next one, or is a few records that come again.
    fn commit_in_passing(&self, consumer: &BaseConsumer<Member>) {
        let places = self.shared.buffer.to_commit();
        if places.is_empty() {
            return;
        }
        let begun =
            list(&self.shared.topic, &places).and_then(|list| consumer.commit(&list, CommitMode::Async));
        match begun {
            Ok(()) => self.shared.buffer.committed(&places),
            Err(error) => tracing::debug!(target: "broker", %error, "places are committed later"),
        }
    }

    /// Takes what librdkafka has, waiting for the first record.
    fn drain(&self, consumer: &BaseConsumer<Member>, wait: Duration) -> KafkaResult<usize> {
        let mut count = 0;
        let mut wait = wait;
        while count < DRAIN_MAX {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    self.shared.buffer.push(Delivered {
                        partition: record.partition().cast_unsigned(),
                        offset: record.offset().cast_unsigned(),
                        key: Bytes::copy_from_slice(record.key().unwrap_or_default()),
                        value: Bytes::copy_from_slice(record.payload().unwrap_or_default()),
                    });
                    count += 1;
                    wait = Duration::ZERO;
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                // librdkafka goes on by itself, and the context has logged it.
                Some(Err(_)) => break,
            }
        }
        Ok(count)
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    fn pause(&self) {
        let end = Instant::now() + RETRY_PAUSE;
        while !self.is_stopped() && Instant::now() < end {
            std::thread::sleep(POLL);
        }
    }
}

/// Gives a name that has none a place at the end of each partition. It blocks.
pub(super) fn place<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> KafkaResult<()> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK_LIMIT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.map_or(&[][..], |found| found.partitions());
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        asked.add_partition(topic, partition.id());
    }
    let committed = consumer.committed_offsets(asked, ASK_LIMIT)?;
    let mut places = Vec::new();
    for known in committed.elements() {
        known.error()?;
        if known.offset() == Offset::Invalid {
            let (_, end) = consumer.fetch_watermarks(topic, known.partition(), ASK_LIMIT)?;
            places.push((known.partition(), end));
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    match consumer.commit(&list(topic, &places)?, CommitMode::Sync) {
        // Others read under this name, who have set its places or are about to.
        Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration,
        )) => Ok(()),
        outcome => outcome,
    }
}

/// Gives a name its place with a consumer of its own, which is gone afterwards. It blocks.
pub(super) fn place_alone(shared: &Shared) -> KafkaResult<()> {
    let consumer: BaseConsumer<Asking> = shared.config.create_with_context(Asking)?;
    place(&consumer, &shared.topic)
}

/// Threads that were told to stop and are not done; whoever ends the process waits for them.
#[derive(Default)]
pub(super) struct Leaving {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Leaving {
    pub(super) fn begin(&self) {
        *self.count.lock() += 1;
    }

    fn end(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Waits until all have left, at most for a time.
    pub(super) fn wait(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let mut count = self.count.lock();
        while *count > 0 {
            if self.changed.wait_until(&mut count, end).timed_out() {
                tracing::warn!(target: "broker", count = *count, "consumers did not leave in time");
                return;
            }
        }
    }
}

/// Takes what librdkafka says about a member of a group.
struct Member {
    shared: Arc<Shared>,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::warn(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let buffer = &self.shared.buffer;
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = ids(list);
                tracing::debug!(target: "broker", topic = self.shared.topic, ?partitions, "partitions came");
                buffer.assign(partitions.into_iter());
            }
            Rebalance::Revoke(revoked) => {
                let partitions = ids(revoked);
                tracing::debug!(target: "broker", topic = self.shared.topic, ?partitions, "partitions went");
                if !self.shared.is_durable && !consumer.assignment_lost() {
                    self.commit_last(consumer, &partitions);
                }
                buffer.revoke(&partitions);
            }
            Rebalance::Error(error) => context::warn(error, "rebalance"),
        }
    }
}

impl Member {
    /// Commits what is done of partitions that are about to go.
    fn commit_last(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let mut places = self.shared.buffer.to_commit();
        places.retain(|(partition, _)| partitions.contains(partition));
        if places.is_empty() {
            return;
        }
        let committed =
            list(&self.shared.topic, &places).and_then(|list| consumer.commit(&list, CommitMode::Sync));
        if let Err(error) = committed {
            tracing::debug!(target: "broker", %error, "the next consumer gets some records again");
        }
    }
}

fn ids(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(TopicPartitionListElem::partition).collect()
}
