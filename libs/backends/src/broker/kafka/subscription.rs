//! A consumer's place in a topic of Kafka.
//!
//! Only one that is asked for records joins the group, so one that nobody reads holds no partition back. What fails
//! in Kafka is tried again behind it: `next` waits until there is a record, however long that takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep, timeout_at};

use super::buffer::Buffer;
use super::context::failure;
use super::reader::{self, Leaving, Shared};
use super::settings::Settings;
use super::topics::is_durable;
use crate::broker::{Delivered, Subscription, Topic};
use crate::{Error, Kind, Result};

/// Bytes of a consumer name.
const CONSUMER_BYTES_MAX: usize = 200;
/// How long Kafka may take for a commit.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
/// How long it waits before it commits again what fell into a rebalance.
const COMMIT_PAUSE: Duration = Duration::from_millis(100);
/// How long a new name may take to get its place.
const PLACE_LIMIT: Duration = Duration::from_secs(6);

pub(super) struct KafkaSubscription {
    shared: Arc<Shared>,
    leaving: Arc<Leaving>,
}

impl KafkaSubscription {
    /// Prepares to read; where Kafka is away (`is_away`), a new name gets its place when it is back.
    pub(super) async fn open(
        settings: &Settings,
        topic: Topic,
        consumer: &str,
        leaving: Arc<Leaving>,
        is_away: bool,
    ) -> Result<Self> {
        if consumer.is_empty() || consumer.len() > CONSUMER_BYTES_MAX {
            let message =
                format!("consumer name of {} bytes: it has 1 to {CONSUMER_BYTES_MAX}", consumer.len());
            return Err(Error::new(Kind::Conflict, message));
        }
        let dropped = metrics::counter!(
            "anser_broker_dropped_records_total",
            "topic" => topic.name(), "consumer" => consumer.to_owned(), "reason" => "behind"
        );
        let config = settings.consumer(&settings.group_name(topic, consumer));
        let buffer = Buffer::new(is_durable(topic), dropped);
        let shared = Arc::new(Shared::new(settings.topic_name(topic), is_durable(topic), config, buffer));
        if !is_durable(topic) && !is_away {
            Self::place(&shared).await;
        }
        Ok(Self { shared, leaving })
    }

    /// Gives a name that has none its place at the end, as the contract says of a topic that is not durable.
    async fn place(shared: &Arc<Shared>) {
        let asking = Arc::clone(shared);
        let placed = tokio::task::spawn_blocking(move || reader::place_alone(&asking));
        let outcome = match tokio::time::timeout(PLACE_LIMIT, placed).await {
            Ok(Ok(Ok(()))) => return shared.is_placed.store(true, Ordering::Release),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PLACE_LIMIT:?}"),
        };
        let topic = &shared.topic;
        tracing::warn!(target: "broker", topic, outcome, "a consumer gets its place when it begins to read");
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivered>> {
        if self.shared.has_ended() {
            reader::start(&self.shared, Arc::clone(&self.leaving)).map_err(|error| {
                Error::new(Kind::Transient, "a reading thread cannot be started").caused_by(error)
            })?;
        }
        loop {
            let records = self.shared.buffer.take(limit.max(1));
            if !records.is_empty() {
                return Ok(records);
            }
            if self.shared.has_ended() {
                let message = format!("topic {}: its reading thread ended", self.shared.topic);
                return Err(Error::new(Kind::Transient, message));
            }
            // What arrived since the look before is kept as a permit, so no record is waited past.
            self.shared.buffer.arrived.notified().await;
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let shared = &self.shared;
        shared.buffer.finish();
        if !shared.is_durable {
            // The thread commits it shortly, and before it gives a partition away.
            return Ok(());
        }
        let end = Instant::now() + COMMIT_LIMIT;
        loop {
            let places = shared.buffer.to_commit();
            if places.is_empty() {
                break;
            }
            let error = match timeout_at(end, shared.commit(&places)).await {
                Ok(Ok(())) => {
                    shared.buffer.committed(&places);
                    break;
                }
                Ok(Err(error)) => error,
                Err(_) => KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut),
            };
            let passes = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::IllegalGeneration)
            );
            if !passes || Instant::now() + COMMIT_PAUSE >= end {
                return Err(failure(format!("topic {} is not committed", shared.topic), error));
            }
            sleep(COMMIT_PAUSE).await;
        }
        if shared.buffer.take_lost() {
            let message = format!(
                "topic {}: partitions went to another consumer before they were committed",
                shared.topic
            );
            return Err(Error::new(Kind::Transient, message));
        }
        Ok(())
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        if !self.shared.has_ended() {
            self.leaving.begin();
        }
        self.shared.stop.store(true, Ordering::Release);
    }
}
