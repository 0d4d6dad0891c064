//! consumer: writes messages of a conversation into its members' inboxes.
//!
//! In the seed's picture this is consumerService (syncService). It reads topic `fanout`, in which a record is
//! only a hint that a conversation has work, and carries each conversation's outbox on from where its fan-out
//! stands, strictly in seq order: inboxes, push, then the mark. It promises that a message is in every inbox
//! once, in the order of the conversation, whatever comes twice or is raced for. It leaves to push who is
//! connected, and to im's sweep that no hint is lost for good.

mod fanout;
mod progress;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use backends::broker::{Broker, Topic};
use backends::store::Store;
use contracts::push::Push;
use runtime::lifecycle::Stop;
use tokio::task::JoinHandle;

use crate::fanout::Fanout;
use crate::worker::Worker;

/// What can be set about consumer.
#[derive(Debug, Clone)]
pub struct Config {
    /// Hints that are worked on together.
    pub batch_records_max: usize,
    /// Conversations that are worked on at once.
    pub conversations_max: usize,
    /// How long it waits before it tries again after the store, push or the broker failed.
    pub back_off: Duration,
    /// To what the waiting grows, doubled with each failure.
    pub back_off_max: Duration,
    /// How often push is tried for one message before the message is left to the inboxes.
    pub push_attempts_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_records_max: 512,
            conversations_max: 16,
            back_off: Duration::from_millis(100),
            back_off_max: Duration::from_secs(5),
            push_attempts_max: 5,
        }
    }
}

/// What consumer works with.
pub struct Deps {
    /// Keeps outboxes and inboxes.
    pub store: Arc<dyn Store>,
    /// Carries topic `fanout`.
    pub broker: Arc<dyn Broker>,
    /// Takes what was written into inboxes.
    pub push: Arc<dyn Push>,
    /// Ends the worker.
    pub stop: Stop,
}

/// Starts the worker.
///
/// # Errors
/// What the broker failed with.
pub async fn start(config: Config, deps: Deps) -> backends::Result<JoinHandle<()>> {
    let Deps { store, broker, push, stop } = deps;
    let subscription = broker.subscribe(Topic::Fanout, "consumer").await?;
    let fanout = Fanout::new(store, push, config.push_attempts_max);
    Ok(tokio::spawn(Worker::new(config, fanout, stop).run(subscription)))
}

#[cfg(test)]
mod tests;
