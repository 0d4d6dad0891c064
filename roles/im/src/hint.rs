//! Tells consumer, through topic `fanout`, which groups have rows to be written into inboxes.
//!
//! A hint says no more than that: consumer reads the outbox itself, and its own sweep finds what no hint told. So
//! hints that wait together for one conversation are one, and a hint that the broker does not take is counted and
//! not tried again.

use std::collections::HashSet;
use std::sync::Arc;

use backends::broker::{Broker, Record, Topic};
use bytes::Bytes;
use protocol::ConversationId;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

/// Hints that are published together.
const BATCH_MAX: usize = 512;

/// Publishes until it is told to stop and what waits is published.
pub(crate) async fn run(broker: Arc<dyn Broker>, mut waiting: mpsc::Receiver<ConversationId>, stop: Stop) {
    let failed = metrics::counter!("anser_im_hints_failed_total");
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut batch, BATCH_MAX) => {
                if count == 0 {
                    return;
                }
            }
            () = stop.triggered(), if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        }
        let conversations: HashSet<ConversationId> = batch.drain(..).collect();
        let count = conversations.len();
        let record = |conversation: ConversationId| Record {
            key: Bytes::copy_from_slice(conversation.as_str().as_bytes()),
            value: Bytes::new(),
        };
        let records = conversations.into_iter().map(record).collect();
        if let Err(error) = broker.publish(Topic::Fanout, records).await {
            failed.increment(count as u64);
            tracing::warn!(target: "im", ?error, count, "consumer was not told of groups: its sweep finds them");
        }
    }
}
