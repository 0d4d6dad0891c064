//! Removes the intents of rows that are fanned out, many at once.
//!
//! An intent says that a row may have been forgotten; nobody waits for it to go. What is not removed here, after a
//! crash or because the store failed, is found by the sweep.

use std::sync::Arc;
use std::time::Duration;

use backends::store::{IntentLane, Store};
use metrics::Counter;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Intents that are removed in one call, and a page more.
const BATCH_MAX: usize = 4_096;

/// Removes intents.
pub(crate) struct Clearing {
    window: Duration,
    store: Arc<dyn Store>,
    failed: Counter,
}

impl Clearing {
    /// Removes from this store what has come within a window.
    pub(crate) fn new(window: Duration, store: Arc<dyn Store>) -> Self {
        Self { window, store, failed: metrics::counter!("anser_consumer_clear_failed_total") }
    }

    /// Removes what comes, as global message ids, until all who send are gone.
    pub(crate) async fn run(self, mut to_clear: mpsc::Receiver<Vec<u64>>) {
        while let Some(mut message_ids) = to_clear.recv().await {
            let end = Instant::now() + self.window;
            while message_ids.len() < BATCH_MAX {
                match timeout_at(end, to_clear.recv()).await {
                    Ok(Some(more)) => message_ids.extend(more),
                    Ok(None) | Err(_) => break,
                }
            }
            let count = message_ids.len();
            if let Err(error) = self.store.clear_intents(IntentLane::FanOut, message_ids).await {
                self.failed.increment(count as u64);
                tracing::warn!(target: "consumer", ?error, count, "intents were not removed: the sweep finds them");
            }
        }
    }
}
