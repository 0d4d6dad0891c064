//! Reads topic `fanout` and has the conversations that it names carried on.
//!
//! Each conversation of a batch is worked on once, several at once. What fails for the moment is tried again
//! with a growing pause until it succeeds, and only then is the batch committed: a hint that is lost would be a
//! message that waits. A conversation that can never succeed is counted, logged and left, so that it does not
//! stand before the others.

use std::collections::BTreeSet;
use std::time::Duration;

use backends::broker::{Delivered, Subscription};
use futures_util::StreamExt;
use futures_util::stream;
use metrics::Counter;
use protocol::ConversationId;
use runtime::lifecycle::Stop;

use crate::Config;
use crate::fanout::{Failure, Fanout};

/// Works on topic `fanout`.
pub(crate) struct Worker {
    config: Config,
    fanout: Fanout,
    stop: Stop,
    bad_records: Counter,
    abandoned: Counter,
}

impl Worker {
    /// Carries conversations on by this fan-out.
    pub(crate) fn new(config: Config, fanout: Fanout, stop: Stop) -> Self {
        Self {
            config,
            fanout,
            stop,
            bad_records: metrics::counter!("anser_consumer_bad_records_total"),
            abandoned: metrics::counter!("anser_consumer_abandoned_total"),
        }
    }

    /// Works on a subscription until it is told to stop. A batch that is not finished then comes again.
    pub(crate) async fn run(self, subscription: Box<dyn Subscription>) {
        tokio::select! {
            () = self.stop.triggered() => {}
            () = self.work(subscription) => {}
        }
    }

    async fn work(&self, mut subscription: Box<dyn Subscription>) {
        let mut pause = self.config.back_off;
        loop {
            match subscription.next(self.config.batch_records_max).await {
                Ok(records) => {
                    pause = self.config.back_off;
                    self.carry_on_all(self.conversations(records)).await;
                    if let Err(error) = subscription.commit().await {
                        // It comes again and finds nothing left to do.
                        tracing::warn!(target: "consumer", ?error, "a batch was not committed");
                    }
                }
                Err(error) => {
                    tracing::warn!(target: "consumer", ?error, "topic fanout cannot be read");
                    tokio::time::sleep(pause).await;
                    pause = self.longer(pause);
                }
            }
        }
    }

    /// Each conversation that the records name, once.
    fn conversations(&self, records: Vec<Delivered>) -> BTreeSet<ConversationId> {
        let mut conversations = BTreeSet::new();
        for Delivered { partition, offset, key, .. } in records {
            match std::str::from_utf8(&key).ok().and_then(ConversationId::parse) {
                Some(conversation) => {
                    conversations.insert(conversation);
                }
                None => {
                    self.bad_records.increment(1);
                    tracing::warn!(target: "consumer", partition, offset, "a record names no conversation");
                }
            }
        }
        conversations
    }

    /// Carries conversations on until none is left that may still succeed.
    async fn carry_on_all(&self, conversations: BTreeSet<ConversationId>) {
        let mut left: Vec<ConversationId> = conversations.into_iter().collect();
        let mut pause = self.config.back_off;
        loop {
            left = stream::iter(left)
                .map(|conversation| self.carry_on(conversation))
                .buffer_unordered(self.config.conversations_max.max(1))
                .filter_map(std::future::ready)
                .collect()
                .await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = self.longer(pause);
        }
    }

    /// Carries one conversation on; answers it where it is to be tried again.
    async fn carry_on(&self, conversation: ConversationId) -> Option<ConversationId> {
        match self.fanout.carry_on(&conversation).await {
            Ok(()) => None,
            Err(Failure::ForNow(reason)) => {
                tracing::warn!(target: "consumer", %conversation, reason, "a fan-out is tried again");
                Some(conversation)
            }
            Err(Failure::ForGood(reason)) => {
                self.abandoned.increment(1);
                tracing::error!(target: "consumer", %conversation, reason, "a fan-out cannot go on");
                None
            }
        }
    }

    fn longer(&self, pause: Duration) -> Duration {
        (pause * 2).min(self.config.back_off_max)
    }
}
