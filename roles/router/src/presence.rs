//! Tells topic `presence` who has come and who has gone.
//!
//! A change takes its number while its user is locked, so of two changes of one user the later has the higher
//! number. It is handed to a bounded queue, and a task publishes what is there in batches: nobody who comes or goes
//! waits for the broker. Where the queue is full, or the broker does not take a batch, changes are dropped and
//! counted: whoever must know for certain asks where a user is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backends::broker::{Broker, Record, Topic};
use contracts::router::PresenceRecord;
use metrics::Counter;
use prost::Message as _;
use protocol::{Identifier, UserId};
use runtime::clock::now_ms;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

/// Changes that wait for the broker: what a storm of reconnects brings while one batch is on its way.
const QUEUE_CHANGES_MAX: usize = 64 * 1024;
/// Changes of one batch.
const BATCH_CHANGES_MAX: usize = 512;
/// How long the broker may take for a batch, so that one which hangs does not hold up an expiry.
const PUBLISH_TIME_LIMIT: Duration = Duration::from_secs(5);

/// A user's first connection has come, or the last one has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) user: UserId,
    pub(crate) online: bool,
    pub(crate) number: u64,
    time_ms: u64,
}

/// The way from the directory to the topic.
pub(crate) struct Feed {
    queue: mpsc::Sender<Change>,
    number: AtomicU64,
    dropped: Counter,
}

impl Feed {
    /// A feed, and the end at which its changes come out.
    pub(crate) fn open() -> (Self, mpsc::Receiver<Change>) {
        let (queue, changes) = mpsc::channel(QUEUE_CHANGES_MAX);
        (Self { queue, number: AtomicU64::new(0), dropped: dropped("queue_full") }, changes)
    }

    /// A change with the next number; the caller holds the user's lock.
    pub(crate) fn change(&self, user: &UserId, online: bool) -> Change {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        Change { user: user.clone(), online, number, time_ms: now_ms() }
    }

    /// Hands a change on without waiting.
    pub(crate) fn offer(&self, change: Change) {
        if self.queue.try_send(change).is_err() {
            self.dropped.increment(1);
        }
    }

    /// Hands changes on, waiting for room; the caller holds no lock. One that is overtaken by a newer change of its
    /// user is told by its number.
    pub(crate) async fn hand(&self, changes: Vec<Change>) {
        for change in changes {
            if self.queue.send(change).await.is_err() {
                self.dropped.increment(1);
            }
        }
    }
}

/// Publishes changes.
pub(crate) struct Publisher {
    epoch: u64,
    changes: mpsc::Receiver<Change>,
    broker: Arc<dyn Broker>,
    dropped: Counter,
}

impl Publisher {
    /// Publishes these changes under an epoch.
    pub(crate) fn new(epoch: u64, changes: mpsc::Receiver<Change>, broker: Arc<dyn Broker>) -> Self {
        Self { epoch, changes, broker, dropped: dropped("broker_failed") }
    }

    /// Publishes until it is told to stop or the feed is gone.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut batch = Vec::with_capacity(BATCH_CHANGES_MAX);
        loop {
            let count = tokio::select! {
                () = stop.triggered() => return,
                count = self.changes.recv_many(&mut batch, BATCH_CHANGES_MAX) => count,
            };
            if count == 0 {
                return;
            }
            let records = batch.drain(..).map(|change| record(self.epoch, change)).collect();
            let published = self.broker.publish(Topic::Presence, records);
            let reason = match tokio::time::timeout(PUBLISH_TIME_LIMIT, published).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => format!("{error:?}"),
                Err(_) => format!("the broker did not answer within {PUBLISH_TIME_LIMIT:?}"),
            };
            self.dropped.increment(count as u64);
            tracing::warn!(target: "router", reason, count, "who came and went was not published");
        }
    }
}

fn dropped(reason: &'static str) -> Counter {
    metrics::counter!("anser_router_presence_dropped_total", "reason" => reason)
}

fn record(epoch: u64, change: Change) -> Record {
    let Change { user, online, number, time_ms } = change;
    let user = user.as_str().to_owned();
    let key = user.clone().into();
    let value = PresenceRecord { user, online, epoch, number, time_ms };
    Record { key, value: value.encode_to_vec().into() }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use backends::broker::Subscription;
    use backends::{Error, Kind, Result};
    use parking_lot::Mutex;
    use tokio::sync::Notify;

    use super::*;

    /// A broker that answers as it is told and remembers what it took.
    #[derive(Default)]
    struct Answering {
        answers: Mutex<VecDeque<Result<()>>>,
        taken: Mutex<Vec<Vec<PresenceRecord>>>,
        took: Notify,
    }

    #[async_trait]
    impl Broker for Answering {
        async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<()> {
            assert_eq!(topic, Topic::Presence);
            let answer = self.answers.lock().pop_front().unwrap_or(Ok(()));
            if answer.is_ok() {
                let read = |record: Record| {
                    let read = PresenceRecord::decode(record.value).unwrap();
                    assert_eq!(record.key, read.user.as_bytes());
                    read
                };
                self.taken.lock().push(records.into_iter().map(read).collect());
                self.took.notify_one();
            }
            answer
        }

        async fn subscribe(&self, _: Topic, _: &str) -> Result<Box<dyn Subscription>> {
            unreachable!("the router reads no topic")
        }
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[tokio::test]
    async fn changes_are_published_in_their_order_and_in_batches() {
        let broker = Arc::new(Answering::default());
        let (feed, changes) = Feed::open();
        feed.offer(feed.change(&user("alice"), true));
        feed.offer(feed.change(&user("bob"), true));
        feed.hand(vec![feed.change(&user("alice"), false)]).await;
        let stop = Stop::new();
        let task = tokio::spawn(Publisher::new(7, changes, broker.clone()).run(stop.clone()));
        broker.took.notified().await;
        let taken = broker.taken.lock().clone();
        let seen: Vec<Vec<_>> = taken
            .iter()
            .map(|batch| batch.iter().map(|one| (&*one.user, one.online, one.epoch, one.number)).collect())
            .collect();
        assert_eq!(seen, [[("alice", true, 7, 1), ("bob", true, 7, 2), ("alice", false, 7, 3)]]);
        assert!(taken[0].iter().all(|one| one.time_ms > 1_700_000_000_000));
        stop.trigger();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_batch_that_the_broker_refuses_does_not_keep_the_next_one_back() {
        let broker = Arc::new(Answering::default());
        let refusal = Error::new(Kind::Transient, "the broker cannot be reached");
        broker.answers.lock().push_back(Err(refusal));
        let (feed, changes) = Feed::open();
        let task = tokio::spawn(Publisher::new(1, changes, broker.clone()).run(Stop::new()));
        feed.offer(feed.change(&user("alice"), true));
        while !broker.answers.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        feed.offer(feed.change(&user("bob"), true));
        broker.took.notified().await;
        assert_eq!(broker.taken.lock()[0][0].user, "bob");
        drop(feed);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_comes_while_the_queue_is_full_does_not_wait() {
        let (feed, mut changes) = Feed::open();
        for _ in 0..QUEUE_CHANGES_MAX + 10 {
            feed.offer(feed.change(&user("alice"), true));
        }
        let mut batch = Vec::new();
        assert_eq!(changes.recv_many(&mut batch, usize::MAX).await, QUEUE_CHANGES_MAX);
    }
}
