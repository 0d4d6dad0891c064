//! The broker on Kafka: three topics under a prefix, read by consumer groups.
//!
//! In the seed's picture this is the Kafka between logicService, imService and those who work behind them.
//!
//! **Publishing** is answered when all in-sync replicas have the records ([`producer`]). While Kafka is away it is
//! answered with `Transient` at once: topic `fanout`'s hints are found by consumer's sweep, and what was for a room
//! is dropped and counted.
//!
//! **Reading** goes on by itself whatever happens to Kafka ([`subscription`]). A record of topic `fanout` comes again
//! where a partition changed hands before it was committed; one of the other topics where a process was killed.
//!
//! **Away at the start.** A process must be able to start while Kafka is away, so [`open`] waits for it a moment and
//! then goes on without; the topics are looked at as soon as it is back.

mod buffer;
mod context;
mod health;
mod producer;
mod reader;
mod settings;
mod subscription;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Broker, Record, Subscription, Topic};
use crate::{Error, Kind, Result};
use producer::Producer;
use reader::Leaving;
use settings::Settings;
use subscription::KafkaSubscription;

/// How long it waits before it looks for Kafka again.
const PREPARE_PAUSE: Duration = Duration::from_secs(1);
/// How long the end of a broker waits for its consumers to leave their groups.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Opens the broker on these servers, creating topics that are missing.
///
/// # Errors
/// `Missing` where the URL cannot be read; `Conflict` where a topic is there and does not fit. Where Kafka cannot be
/// reached, it is opened all the same and says so in the log.
pub async fn open(rest: &str) -> Result<Arc<dyn Broker>> {
    let settings = Arc::new(Settings::parse(rest)?);
    let durable = Producer::durable(&settings)?;
    let transient = Producer::transient(&settings)?;
    let is_prepared = Arc::new(AtomicBool::new(false));
    let mut preparing = None;
    match prepare(&settings).await {
        Ok(()) => is_prepared.store(true, Ordering::Release),
        Err(error) if error.kind() == Kind::Transient => {
            tracing::warn!(target: "broker", ?error, "kafka is away: topics are looked at when it is back");
            preparing = Some(tokio::spawn(prepare_later(Arc::clone(&settings), Arc::clone(&is_prepared))));
        }
        Err(error) => return Err(error),
    }
    tracing::info!(target: "broker", servers = settings.servers, "open");
    let leaving = Arc::default();
    Ok(Arc::new(KafkaBroker { settings, durable, transient, is_prepared, preparing, leaving }))
}

async fn prepare(settings: &Arc<Settings>) -> Result<()> {
    let (settings, handle) = (Arc::clone(settings), Handle::current());
    let prepared = tokio::task::spawn_blocking(move || topics::prepare(&settings, &handle));
    prepared.await.unwrap_or_else(|error| {
        Err(Error::new(Kind::Transient, "topics of kafka cannot be looked at").caused_by(error))
    })
}

async fn prepare_later(settings: Arc<Settings>, is_prepared: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(PREPARE_PAUSE).await;
        match prepare(&settings).await {
            Ok(()) => {
                tracing::info!(target: "broker", "kafka is there");
                return is_prepared.store(true, Ordering::Release);
            }
            Err(error) if error.kind() == Kind::Transient => {
                tracing::debug!(target: "broker", ?error, "kafka is still away");
            }
            Err(error) => {
                tracing::error!(target: "broker", ?error, "nothing is published: put it right and start again");
                return;
            }
        }
    }
}

struct KafkaBroker {
    settings: Arc<Settings>,
    durable: Arc<Producer>,
    transient: Arc<Producer>,
    /// Whether the topics are there; before, nothing is published.
    is_prepared: Arc<AtomicBool>,
    preparing: Option<JoinHandle<()>>,
    leaving: Arc<Leaving>,
}

#[async_trait]
impl Broker for KafkaBroker {
    async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<()> {
        let producer = if topics::is_durable(topic) { &self.durable } else { &self.transient };
        if !self.is_prepared.load(Ordering::Acquire) {
            return Err(producer.refuse(topic, records.len()));
        }
        producer.publish(topic, &records).await
    }

    async fn subscribe(&self, topic: Topic, consumer: &str) -> Result<Box<dyn Subscription>> {
        let is_away = !self.is_prepared.load(Ordering::Acquire);
        let leaving = Arc::clone(&self.leaving);
        let opened = KafkaSubscription::open(&self.settings, topic, consumer, leaving, is_away).await?;
        Ok(Box::new(opened))
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        if let Some(preparing) = &self.preparing {
            preparing.abort();
        }
        // A process that ends before its consumers have left leaves their partitions unread until their sessions end.
        self.leaving.wait(LEAVE_LIMIT);
    }
}
