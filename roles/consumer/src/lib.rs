//! consumer: writes the rows of a group into its members' inboxes.
//!
//! In the seed's picture this is consumerService (syncService). It reads topic `fanout`, in which a record is
//! only a hint that a conversation has work, and sweeps the store for what no hint told. Each conversation's outbox
//! is carried on from where its fan-out stands, strictly in seq order: inboxes, push, then the mark. It promises that
//! a row is in the inbox of everybody who was a member then, once, in the order of the conversation, whatever comes
//! twice, is raced for or is lost on the way. It leaves to push who is connected, and to im what stands in the
//! outbox alone: single chats, and super groups from their conversion on.

mod clearing;
mod fanout;
mod progress;
mod receivers;
mod sweep;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use backends::broker::{Broker, Topic};
use backends::cache::Cache;
use backends::store::Store;
use contracts::push::Push;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clearing::Clearing;
use crate::fanout::Fanout;
use crate::sweep::Sweep;
use crate::worker::Worker;

/// Pages of rows that wait for their intents to be removed; who has another waits.
const CLEARED_PAGES_MAX: usize = 256;
/// Conversations that the sweep has found and nobody has begun; the sweep waits.
const FOUND_MAX: usize = 64;

/// What can be set about consumer.
#[derive(Debug, Clone)]
pub struct Config {
    /// Hints that are worked on together.
    pub batch_records_max: usize,
    /// How long hints wait for their conversations before they are committed all the same: the rows' intents remain,
    /// so a conversation with much to do does not keep hints of others from being read.
    pub batch_time_limit: Duration,
    /// Conversations that are worked on at once.
    pub conversations_max: usize,
    /// How long it waits before it tries again after the store, push or the broker failed.
    pub back_off: Duration,
    /// To what the waiting grows, doubled with each failure.
    pub back_off_max: Duration,
    /// How long a conversation rests that cannot go on before a person has looked.
    pub abandoned_pause: Duration,
    /// How often push is tried for one row before the row is left to the inboxes.
    pub push_attempts_max: u32,
    /// How often it looks for rows that no hint told.
    pub sweep_period: Duration,
    /// How old a row is that the hint should have told.
    pub sweep_age: Duration,
    /// Rows of one look, at first.
    pub sweep_intents_max: usize,
    /// How long rows that are done wait for others, so that their intents are removed together.
    pub clear_window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_records_max: 512,
            batch_time_limit: Duration::from_secs(1),
            conversations_max: 16,
            back_off: Duration::from_millis(100),
            back_off_max: Duration::from_secs(5),
            abandoned_pause: Duration::from_secs(60),
            push_attempts_max: 5,
            sweep_period: Duration::from_secs(1),
            sweep_age: Duration::from_secs(1),
            sweep_intents_max: 512,
            clear_window: Duration::from_millis(100),
        }
    }
}

/// What consumer works with.
pub struct Deps {
    /// Keeps outboxes and inboxes.
    pub store: Arc<dyn Store>,
    /// Keeps shortcuts past the store.
    pub cache: Arc<dyn Cache>,
    /// Carries topic `fanout`.
    pub broker: Arc<dyn Broker>,
    /// Takes what was written into inboxes.
    pub push: Arc<dyn Push>,
    /// Ends the worker.
    pub stop: Stop,
}

/// Starts the worker, the sweep and the removing of intents; all of them are one task.
///
/// # Errors
/// What the broker failed with.
pub async fn start(config: Config, deps: Deps) -> backends::Result<JoinHandle<()>> {
    let Deps { store, cache, broker, push, stop } = deps;
    let subscription = broker.subscribe(Topic::Fanout, "consumer").await?;
    let (cleared, to_clear) = mpsc::channel(CLEARED_PAGES_MAX);
    let (finds, found) = mpsc::channel(FOUND_MAX);
    let clearing = Clearing::new(config.clear_window, store.clone()).run(to_clear);
    let sweep = Sweep::new(&config, store.clone(), finds, cleared.clone()).run(stop.clone());
    let fanout = Fanout::new(store, cache, push, cleared, config.push_attempts_max);
    let worker = Worker::new(config, fanout, stop).run(subscription, found);
    Ok(tokio::spawn(async move {
        tokio::join!(worker, sweep, clearing);
    }))
}

#[cfg(test)]
mod tests;
