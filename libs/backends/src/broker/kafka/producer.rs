//! Hands records to Kafka and tells whoever published them when they are there.
//!
//! **Two producers**, so that neither waits for the other: one for topic `fanout`, whose records have their time to
//! arrive, and one for topics `push` and `presence`, whose records are dropped when they are late.
//!
//! **Bounds.** A producer that holds as much as it may answers `Full`. A caller waits until all of its records are
//! acknowledged, for as long as the durable topic's time limit and for a second elsewhere, and no longer than until
//! it is known that Kafka is away; what has not reached Kafka then is still tried until its time is over.
//!
//! **Dropped.** Every record of a topic that is not durable which Kafka does not get is counted once under its reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::Counter;
use parking_lot::{Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::context::{self, failure};
use super::health::Health;
use super::settings::{DURABLE_TIME_LIMIT, Settings, TRANSIENT_TIME_LIMIT};
use crate::broker::{Record, Topic};
use crate::{Error, Kind, Result};

/// How long a caller waits for records of a topic that is not durable.
const TRANSIENT_WAIT: Duration = Duration::from_secs(1);
/// Beyond the time limit of the producer, which answers itself when it is over.
const GRACE: Duration = Duration::from_secs(1);
/// How often a caller that waits looks whether Kafka is away.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a broker may take to show that it can be reached.
const ASK_LIMIT: Duration = Duration::from_secs(1);

type Native = ThreadedProducer<Context>;

/// A producer and the topics that it carries.
pub(super) struct Producer {
    /// `None` only while it is dropped.
    native: RwLock<Option<Arc<Native>>>,
    config: ClientConfig,
    health: Arc<Health>,
    topics: HashMap<Topic, Carried>,
    wait_max: Duration,
}

struct Carried {
    name: String,
    /// `None` where the topic is durable: then the caller is told, and nothing is dropped.
    dropped: Option<Arc<Dropped>>,
}

struct Dropped {
    away: Counter,
    full: Counter,
    late: Counter,
    refused: Counter,
}

impl Producer {
    /// The producer of the durable topic.
    pub(super) fn durable(settings: &Settings) -> Result<Arc<Self>> {
        let carried = Carried { name: settings.topic_name(Topic::Fanout), dropped: None };
        let topics = HashMap::from([(Topic::Fanout, carried)]);
        Self::start(settings.producer(DURABLE_TIME_LIMIT), topics, DURABLE_TIME_LIMIT + GRACE)
    }

    /// The producer of the topics that are not durable.
    pub(super) fn transient(settings: &Settings) -> Result<Arc<Self>> {
        let carried = |topic: Topic| {
            let dropped = Some(Arc::new(Dropped::new(topic)));
            (topic, Carried { name: settings.topic_name(topic), dropped })
        };
        let topics = [Topic::Push, Topic::Presence].map(carried).into();
        Self::start(settings.producer(TRANSIENT_TIME_LIMIT), topics, TRANSIENT_WAIT)
    }

    fn start(config: ClientConfig, topics: HashMap<Topic, Carried>, wait_max: Duration) -> Result<Arc<Self>> {
        let health = Arc::new(Health::new());
        let native = RwLock::new(Some(Arc::new(make(&config, &health)?)));
        Ok(Arc::new(Self { native, config, health, topics, wait_max }))
    }

    /// Answers when Kafka has all of the records, or why it is not known to.
    pub(super) async fn publish(self: &Arc<Self>, topic: Topic, records: &[Record]) -> Result<()> {
        let Some(carried) = self.topics.get(&topic) else {
            return Err(Error::new(Kind::Missing, format!("topic {} is another producer's", topic.name())));
        };
        if records.is_empty() {
            return Ok(());
        }
        self.look_after();
        if let Some(reason) = self.health.away() {
            carried.drop_all(records.len(), |dropped| &dropped.away);
            return Err(away(&carried.name, reason));
        }
        let mut answer = self.hand(carried, records)?;
        let end = Instant::now() + self.wait_max;
        loop {
            match timeout(LOOK_INTERVAL.min(end.saturating_duration_since(Instant::now())), &mut answer).await
            {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(error))) => {
                    return Err(failure(format!("records of topic {} did not arrive", carried.name), error));
                }
                Ok(Err(_)) => return Err(away(&carried.name, "the producer has ended")),
                Err(_) => {}
            }
            self.look_after();
            if let Some(reason) = self.health.away() {
                return Err(away(&carried.name, reason));
            }
            if Instant::now() >= end {
                return Err(away(&carried.name, "records are not acknowledged in time"));
            }
        }
    }

    /// Drops records because Kafka is not to be sent anything yet.
    pub(super) fn refuse(&self, topic: Topic, count: usize) -> Error {
        if let Some(carried) = self.topics.get(&topic) {
            carried.drop_all(count, |dropped| &dropped.away);
        }
        away(topic.name(), "its topics have not been looked at since this process began")
    }

    /// Puts records into the producer's queue, in their order.
    fn hand(&self, carried: &Carried, records: &[Record]) -> Result<oneshot::Receiver<Option<KafkaError>>> {
        let (batch, answer) = Batch::new(records.len(), carried.dropped.clone());
        let native = self.native()?;
        for (index, record) in records.iter().enumerate() {
            let (key, value): (&[u8], &[u8]) = (&record.key, &record.value);
            let sent = BaseRecord::with_opaque_to(&carried.name, Arc::clone(&batch)).key(key).payload(value);
            self.health.sent();
            let Err((error, _)) = native.send(sent) else { continue };
            self.health.given_up();
            let rest = records.len() - index;
            let message = match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    carried.drop_all(rest, |dropped| &dropped.full);
                    format!("kafka takes records of topic {} slower than they come", carried.name)
                }
                code => {
                    if code == Some(RDKafkaErrorCode::Fatal) {
                        self.health.breaks();
                    }
                    carried.drop_all(rest, |dropped| &dropped.refused);
                    let bytes = record.value.len();
                    format!("a record of {bytes} bytes cannot be sent to topic {}", carried.name)
                }
            };
            return Err(failure(message, error));
        }
        Ok(answer)
    }

    fn native(&self) -> Result<Arc<Native>> {
        let native = self.native.read().clone();
        native.ok_or_else(|| Error::new(Kind::Transient, "the producer has ended"))
    }

    /// Has what blocks done elsewhere: whether a broker can be reached, and a producer in place of a broken one.
    fn look_after(self: &Arc<Self>) {
        if self.health.must_ask() {
            let (native, health) = (self.native(), Arc::clone(&self.health));
            tokio::task::spawn_blocking(move || {
                let reached =
                    native.is_ok_and(|native| native.client().fetch_metadata(None, ASK_LIMIT).is_ok());
                health.answered(reached);
            });
        }
        if self.health.take_broken() {
            let producer = Arc::clone(self);
            tokio::task::spawn_blocking(move || match make(&producer.config, &producer.health) {
                Ok(native) => {
                    let broken = producer.native.write().replace(Arc::new(native));
                    tracing::warn!(target: "broker", "a producer that could not go on was replaced");
                    drop(broken);
                }
                Err(error) => {
                    tracing::warn!(target: "broker", %error, "a producer cannot be made");
                    producer.health.breaks();
                }
            });
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // Its end waits for a thread, and whoever drops it is to wait for nothing.
        let native = self.native.get_mut().take();
        let ending = std::thread::Builder::new().name("end of a producer".to_owned());
        if let Err(error) = ending.spawn(move || drop(native)) {
            tracing::debug!(target: "broker", %error, "a producer ended without a thread of its own");
        }
    }
}

impl Carried {
    fn drop_all(&self, count: usize, reason: impl Fn(&Dropped) -> &Counter) {
        if let Some(dropped) = &self.dropped {
            reason(dropped).increment(count as u64);
        }
    }
}

impl Dropped {
    fn new(topic: Topic) -> Self {
        let counter = |reason: &'static str| metrics::counter!("anser_broker_dropped_total", "topic" => topic.name(), "reason" => reason);
        Self {
            away: counter("away"),
            full: counter("full"),
            late: counter("late"),
            refused: counter("refused"),
        }
    }
}

fn away(topic: &str, reason: &str) -> Error {
    Error::new(Kind::Transient, format!("kafka takes no records of topic {topic}: {reason}"))
}

fn make(config: &ClientConfig, health: &Arc<Health>) -> Result<Native> {
    config
        .create_with_context(Context { health: Arc::clone(health) })
        .map_err(|error| failure("a producer of kafka cannot be made".to_owned(), error))
}

/// Records that were published together.
struct Batch {
    missing: AtomicUsize,
    outcome: Mutex<Outcome>,
    dropped: Option<Arc<Dropped>>,
}

struct Outcome {
    failure: Option<KafkaError>,
    answer: Option<oneshot::Sender<Option<KafkaError>>>,
}

impl Batch {
    fn new(
        count: usize,
        dropped: Option<Arc<Dropped>>,
    ) -> (Arc<Self>, oneshot::Receiver<Option<KafkaError>>) {
        let (answer, receiver) = oneshot::channel();
        let outcome = Mutex::new(Outcome { failure: None, answer: Some(answer) });
        (Arc::new(Self { missing: AtomicUsize::new(count), outcome, dropped }), receiver)
    }

    fn fail(&self, error: &KafkaError) {
        if let Some(dropped) = &self.dropped {
            let late = matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::MessageTimedOut
                        | RDKafkaErrorCode::PurgeQueue
                        | RDKafkaErrorCode::PurgeInflight
                )
            );
            if late { &dropped.late } else { &dropped.refused }.increment(1);
        }
        self.outcome.lock().failure.get_or_insert_with(|| error.clone());
    }

    fn end_one(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut outcome = self.outcome.lock();
            if let Some(answer) = outcome.answer.take() {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(outcome.failure.take());
            }
        }
    }
}

/// Takes what librdkafka says about a producer and its records.
struct Context {
    health: Arc<Health>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.health.suspect(),
            Some(RDKafkaErrorCode::Fatal) => self.health.breaks(),
            _ => {}
        }
        context::warn(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        match result {
            Ok(_) => self.health.acknowledged(),
            Err((error, record)) => {
                self.health.given_up();
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                    self.health.breaks();
                }
                tracing::debug!(target: "broker", %error, topic = record.topic(), "a record did not arrive");
                batch.fail(error);
            }
        }
        batch.end_one();
    }
}
