//! Reads topic `fanout`, takes what the sweep finds, and has each conversation carried on.
//!
//! A conversation is worked on once at a time in this process, several conversations at once, a page each in turn.
//! One that is told of while in work is done again afterwards. What fails for the moment is tried again with a
//! growing pause; what cannot succeed is counted, logged and rests, so that it does not stand before the others.
//!
//! A batch of hints is committed when its conversations are done, or have had their time: a hint that is lost then
//! is one whose rows the sweep finds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use backends::Result;
use backends::broker::{Delivered, Subscription};
use metrics::Counter;
use protocol::ConversationId;
use runtime::lifecycle::Stop;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Config;
use crate::fanout::{Carried, Failure, Fanout, PushFailures};

/// Conversations in work, and a batch more; then nothing is read until some of them are done.
const IN_WORK_MAX: usize = 4_096;

/// Works on topic `fanout` and on what the sweep finds.
pub(crate) struct Worker {
    config: Config,
    carrier: Arc<Carrier>,
    /// Which conversations are in work; true: it was told of since.
    in_work: HashMap<ConversationId, bool>,
    running: JoinSet<ConversationId>,
    /// The hints that are not committed.
    batch: Option<Batch>,
    stop: Stop,
    bad_records: Counter,
}

/// Hints that were handed out together.
struct Batch {
    waiting: HashSet<ConversationId>,
    deadline: Instant,
}

impl Worker {
    /// Carries conversations on by this fan-out.
    pub(crate) fn new(config: Config, fanout: Fanout, stop: Stop) -> Self {
        let carrier = Carrier {
            fanout,
            slots: Semaphore::new(config.conversations_max.max(1)),
            back_off: config.back_off,
            back_off_max: config.back_off_max,
            abandoned_pause: config.abandoned_pause,
            abandoned: metrics::counter!("anser_consumer_abandoned_total"),
        };
        Self {
            config,
            carrier: Arc::new(carrier),
            in_work: HashMap::new(),
            running: JoinSet::new(),
            batch: None,
            stop,
            bad_records: metrics::counter!("anser_consumer_bad_records_total"),
        }
    }

    /// Works until it is told to stop. A batch that is not finished then comes again.
    pub(crate) async fn run(
        mut self,
        mut subscription: Box<dyn Subscription>,
        mut found: mpsc::Receiver<ConversationId>,
    ) {
        let mut pause = self.config.back_off;
        let mut resume_at = Instant::now();
        loop {
            let has_room = self.in_work.len() < IN_WORK_MAX;
            let deadline = self.batch.as_ref().map_or_else(Instant::now, |batch| batch.deadline);
            tokio::select! {
                () = self.stop.triggered() => break,
                Some(ended) = self.running.join_next() => self.end(ended),
                Some(conversation) = found.recv(), if has_room => self.begin(conversation),
                next = next(&mut *subscription, self.config.batch_records_max, resume_at),
                    if has_room && self.batch.is_none() => match next
                {
                    Ok(records) => {
                        pause = self.config.back_off;
                        self.begin_batch(records);
                    }
                    Err(error) => {
                        tracing::warn!(target: "consumer", ?error, "topic fanout cannot be read");
                        resume_at = Instant::now() + pause;
                        pause = (pause * 2).min(self.config.back_off_max);
                    }
                },
                () = sleep_until(deadline), if self.batch.is_some() => {
                    self.batch.iter_mut().for_each(|batch| batch.waiting.clear());
                }
            }
            if self.batch.take_if(|batch| batch.waiting.is_empty()).is_some()
                && let Err(error) = subscription.commit().await
            {
                // It comes again and finds nothing left to do.
                tracing::warn!(target: "consumer", ?error, "a batch was not committed");
            }
        }
        self.running.shutdown().await;
    }

    fn begin_batch(&mut self, records: Vec<Delivered>) {
        let waiting = self.conversations(records);
        for conversation in &waiting {
            self.begin(conversation.clone());
        }
        self.batch = Some(Batch { waiting, deadline: Instant::now() + self.config.batch_time_limit });
    }

    /// Each conversation that the records name, once.
    fn conversations(&self, records: Vec<Delivered>) -> HashSet<ConversationId> {
        let mut conversations = HashSet::new();
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

    /// Has a conversation carried on, at once or, where it is in work, afterwards.
    fn begin(&mut self, conversation: ConversationId) {
        if let Some(again) = self.in_work.get_mut(&conversation) {
            *again = true;
            return;
        }
        self.in_work.insert(conversation.clone(), false);
        self.running.spawn(self.carrier.clone().carry_on(conversation));
    }

    /// A conversation is done, or left.
    fn end(&mut self, ended: std::result::Result<ConversationId, JoinError>) {
        let conversation = match ended {
            Ok(conversation) => conversation,
            Err(error) => match error.try_into_panic() {
                // As if it had been done here: whoever watches this task must learn of it.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        if self.in_work.remove(&conversation) == Some(true) {
            self.begin(conversation);
        } else if let Some(batch) = &mut self.batch {
            batch.waiting.remove(&conversation);
        }
    }
}

/// Waits for the next hints, not before a time. Safe to drop while waiting.
async fn next(
    subscription: &mut dyn Subscription,
    records_max: usize,
    resume_at: Instant,
) -> Result<Vec<Delivered>> {
    sleep_until(resume_at).await;
    subscription.next(records_max).await
}

/// Carries single conversations on.
struct Carrier {
    fanout: Fanout,
    slots: Semaphore,
    back_off: Duration,
    back_off_max: Duration,
    abandoned_pause: Duration,
    abandoned: Counter,
}

impl Carrier {
    /// Carries a conversation on until nothing is left that may still succeed; answers it.
    async fn carry_on(self: Arc<Self>, conversation: ConversationId) -> ConversationId {
        let mut pause = self.back_off;
        let mut failures = PushFailures::default();
        loop {
            // The slots are never closed. They are handed out in the order asked, so that all take turns.
            let slot = self.slots.acquire().await;
            let carried = self.fanout.carry_on(&conversation, &mut failures).await;
            drop(slot);
            match carried {
                Ok(Carried::Further) => pause = self.back_off,
                Ok(Carried::ToTheEnd) => return conversation,
                Err(Failure::ForNow(reason)) => {
                    tracing::warn!(target: "consumer", %conversation, reason, "a fan-out is tried again");
                    sleep(pause).await;
                    pause = (pause * 2).min(self.back_off_max);
                }
                Err(Failure::ForGood(reason)) => {
                    self.abandoned.increment(1);
                    tracing::error!(target: "consumer", %conversation, reason, "a fan-out cannot go on");
                    sleep(self.abandoned_pause).await;
                    return conversation;
                }
            }
        }
    }
}
