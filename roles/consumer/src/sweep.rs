//! Finds conversations whose hint was lost, and intents of rows that are done.
//!
//! A row of a group keeps its intent from its commit until its fan-out is done. So what a crash, or a broker that
//! could not be reached, left behind is found here about a second late, by what the store alone says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backends::Result;
use backends::store::{IntentLane, OutboxRow, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::Counter;
use protocol::ConversationId;
use runtime::clock::now_ms;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use crate::Config;

/// How many times as far as usual it looks where the same rows stand before the others.
const FURTHER_MAX: usize = 32;
/// Marks that are read at once.
const MARKS_AT_ONCE: usize = 16;

/// A row that has its intent.
struct Row {
    seq: u64,
    message_id: u64,
}

/// Looks for what was left lying.
pub(crate) struct Sweep {
    store: Arc<dyn Store>,
    finds: mpsc::Sender<ConversationId>,
    cleared: mpsc::Sender<Vec<u64>>,
    period: Duration,
    /// How long it waits where there is more: until the intents that it has found done are removed.
    period_behind: Duration,
    age_ms: u64,
    intents_max: usize,
    /// The oldest row of the last full look, and how far that looked.
    stuck: Option<(u64, usize)>,
    found: Counter,
}

impl Sweep {
    /// A sweep that tells which conversations have work, and which rows' intents can go.
    pub(crate) fn new(
        config: &Config,
        store: Arc<dyn Store>,
        finds: mpsc::Sender<ConversationId>,
        cleared: mpsc::Sender<Vec<u64>>,
    ) -> Self {
        Self {
            store,
            finds,
            cleared,
            period: config.sweep_period,
            period_behind: (config.clear_window * 2).min(config.sweep_period),
            age_ms: u64::try_from(config.sweep_age.as_millis()).unwrap_or(u64::MAX),
            intents_max: config.sweep_intents_max.max(1),
            stuck: None,
            found: metrics::counter!("anser_consumer_swept_total"),
        }
    }

    /// Sweeps at once and then periodically, until it is told to stop.
    pub(crate) async fn run(mut self, stop: Stop) {
        loop {
            let swept = tokio::select! {
                () = stop.triggered() => return,
                swept = self.sweep() => swept,
            };
            let pause = match swept {
                Ok(true) => self.period_behind,
                Ok(false) => self.period,
                Err(error) => {
                    tracing::warn!(target: "consumer", ?error, "rows that were not fanned out cannot be read");
                    self.period
                }
            };
            tokio::select! {
                () = stop.triggered() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes one look; answers whether there is more to be found at once.
    async fn sweep(&mut self) -> Result<bool> {
        let limit = self.stuck.map_or(self.intents_max, |(_, limit)| limit);
        let before_ms = now_ms().saturating_sub(self.age_ms);
        let intents = self.store.intents(IntentLane::FanOut, before_ms, limit).await?;
        let more =
            self.look_further(intents.first().map(|intent| intent.message.message_id), intents.len(), limit);
        let mut found: BTreeMap<ConversationId, Vec<Row>> = BTreeMap::new();
        for intent in intents {
            let OutboxRow { conversation, seq, message_id, .. } = intent.message;
            found.entry(conversation).or_default().push(Row { seq, message_id });
        }
        let conversations: Vec<ConversationId> = found.keys().cloned().collect();
        let marks: Vec<_> =
            conversations.iter().map(|conversation| self.store.fanned_out_to(conversation)).collect();
        let marks: Vec<u64> = stream::iter(marks).buffered(MARKS_AT_ONCE).try_collect().await?;
        for ((conversation, rows), fanned_out_to) in found.into_iter().zip(marks) {
            self.sort(conversation, rows, fanned_out_to).await;
        }
        Ok(more)
    }

    /// Has the intents of rows that are done removed, and tells that a conversation has others.
    async fn sort(&self, conversation: ConversationId, rows: Vec<Row>, fanned_out_to: u64) {
        let (done, left): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.seq <= fanned_out_to);
        // Where nobody takes them the process is ending, and the sweep of the next one finds them.
        if !done.is_empty() {
            let _ = self.cleared.send(done.iter().map(|row| row.message_id).collect()).await;
        }
        if !left.is_empty() {
            self.found.increment(1);
            tracing::debug!(target: "consumer", %conversation, count = left.len(), "rows were found by the sweep");
            let _ = self.finds.send(conversation).await;
        }
    }

    /// Decides how far to look the next time; answers whether to do so soon. Rows that stay where they are, of a
    /// conversation that cannot go on or has much to do, must not stand before the others for good.
    fn look_further(&mut self, oldest: Option<u64>, count: usize, limit: usize) -> bool {
        let stays = oldest.is_some() && self.stuck.map(|(before, _)| before) == oldest;
        let full = count >= limit;
        self.stuck = match oldest {
            Some(oldest) if full => {
                let further = if stays { limit * 2 } else { self.intents_max };
                Some((oldest, further.min(self.intents_max * FURTHER_MAX)))
            }
            _ => self.stuck.filter(|_| stays),
        };
        full && !stays
    }
}
