//! Finds what was left lying: rows that were not handed on to push, and answers that are old.
//!
//! A row of a single chat or a super group keeps its intent from its commit until push has taken it. So what a crash,
//! a full lane or a failing push left behind is found here, about a second late. It may be handed on twice, and
//! devices know what they have. A row that cannot be read is left to who asks for it, so that it does not stand
//! before the others. What consumer has to fan out is found by consumer's own sweep.

use std::sync::Arc;
use std::time::Duration;

use backends::mailbox;
use backends::store::{Intent, IntentLane, Store};
use metrics::Counter;
use runtime::clock::now_ms;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use crate::Config;
use crate::hand_on::HandOn;

/// Calls of the store in one round of forgetting answers, so that a round ends.
const ANSWER_CALLS_MAX: usize = 100;

/// Hands on again what is older than it should be.
pub(crate) struct Sweep {
    store: Arc<dyn Store>,
    hand_on: Arc<HandOn>,
    cleared: mpsc::Sender<u64>,
    age: Duration,
    period: Duration,
    /// How long it waits where there is more: until what it handed on is out of the way.
    period_behind: Duration,
    intents_max: usize,
    swept: Counter,
}

impl Sweep {
    /// A sweep through these lanes.
    pub(crate) fn new(
        config: &Config,
        store: Arc<dyn Store>,
        hand_on: Arc<HandOn>,
        cleared: mpsc::Sender<u64>,
    ) -> Self {
        Self {
            store,
            hand_on,
            cleared,
            age: config.sweep_age,
            period: config.sweep_period,
            period_behind: config.clear_window.min(config.sweep_period),
            intents_max: config.sweep_intents_max.max(1),
            swept: metrics::counter!("anser_im_swept_total"),
        }
    }

    /// Sweeps at once and then periodically, until it is told to stop.
    pub(crate) async fn run(self, stop: Stop) {
        loop {
            let swept = tokio::select! {
                () = stop.triggered() => return,
                swept = self.sweep() => swept,
            };
            let pause = match swept {
                Ok(true) => self.period_behind,
                Ok(false) => self.period,
                Err(error) => {
                    tracing::warn!(target: "im", ?error, "rows that were not handed on cannot be read");
                    self.period
                }
            };
            tokio::select! {
                () = stop.triggered() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes one look; answers whether there is more to be done at once.
    async fn sweep(&self) -> backends::Result<bool> {
        let age_ms = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let intents =
            self.store.intents(IntentLane::Push, now_ms().saturating_sub(age_ms), self.intents_max).await?;
        let full = intents.len() >= self.intents_max;
        let mut handed_count = 0;
        for intent in intents {
            handed_count += u64::from(self.hand_on(intent).await);
        }
        if handed_count > 0 {
            self.swept.increment(handed_count);
            tracing::info!(target: "im", count = handed_count, "handed on what was left lying");
        }
        Ok(full && handed_count > 0)
    }

    async fn hand_on(&self, intent: Intent) -> bool {
        match mailbox::message_of(&intent.message) {
            Ok(message) => {
                self.hand_on.hand(&Arc::new(message), intent.message.fan_out, intent.inboxes).await
            }
            Err(error) => {
                let message_id = intent.message.message_id;
                let begun = self.hand_on.flights().begin(message_id);
                if begun {
                    tracing::error!(target: "im", ?error, message_id, "a row is not handed on");
                    let _ = self.cleared.send(message_id).await;
                }
                begun
            }
        }
    }
}

/// Forgets first answers past their time, periodically, until it is told to stop.
pub(crate) async fn forget_answers(config: Config, store: Arc<dyn Store>, stop: Stop) {
    let kept_ms = u64::try_from(config.answer_kept.as_millis()).unwrap_or(u64::MAX);
    loop {
        tokio::select! {
            () = stop.triggered() => return,
            () = tokio::time::sleep(config.answer_sweep_period) => {}
        }
        let before_ms = now_ms().saturating_sub(kept_ms);
        for _ in 0..ANSWER_CALLS_MAX {
            match store.sweep_answers(before_ms, config.answer_sweep_max).await {
                Ok(count) if count >= config.answer_sweep_max && !stop.is_triggered() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(target: "im", ?error, "old answers were not forgotten");
                    break;
                }
            }
        }
    }
}
