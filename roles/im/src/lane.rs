//! One lane of messages to push: what waits is handed over together, each user's in the order of the inbox.

use std::sync::Arc;

use backends::cache::Cache;
use contracts::push::{Push, StoredPush};
use contracts::{Error, Kind};
use metrics::Counter;
use protocol::UserId;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use crate::hand_on::{Flights, Job};

/// Hands jobs over to push.
pub(crate) struct Lane {
    push: Arc<dyn Push>,
    cache: Arc<dyn Cache>,
    flights: Arc<Flights>,
    cleared: mpsc::Sender<u64>,
    failed: Counter,
    given_up: Counter,
}

impl Lane {
    /// A lane to this push; the ids of messages that all lanes have handed over go to `cleared`.
    pub(crate) fn new(
        push: Arc<dyn Push>,
        cache: Arc<dyn Cache>,
        flights: Arc<Flights>,
        cleared: mpsc::Sender<u64>,
    ) -> Self {
        let failed = metrics::counter!("anser_im_hand_on_failed_total");
        let given_up = metrics::counter!("anser_im_hand_on_given_up_total");
        Self { push, cache, flights, cleared, failed, given_up }
    }

    /// Works until it is told to stop and what waits is handed over.
    pub(crate) async fn run(self, mut jobs: mpsc::Receiver<Job>, batch_max: usize, stop: Stop) {
        let mut batch = Vec::with_capacity(batch_max);
        loop {
            tokio::select! {
                count = jobs.recv_many(&mut batch, batch_max) => {
                    if count == 0 {
                        return;
                    }
                }
                () = stop.triggered(), if !jobs.is_closed() => {
                    jobs.close();
                    continue;
                }
            }
            // Two sends that were stored one after the other may have come here in any order.
            batch.sort_unstable_by(|one, other| {
                (&one.user, one.inbox_seq).cmp(&(&other.user, other.inbox_seq))
            });
            self.raise_tops(&batch).await;
            self.hand_over(std::mem::take(&mut batch)).await;
        }
    }

    /// Tells the cache the highest seq of each user, whose jobs stand together in ascending order.
    async fn raise_tops(&self, batch: &[Job]) {
        let of_one_user = batch.chunk_by(|one, next| one.user == next.user);
        let tops: Vec<(UserId, u64)> =
            of_one_user.filter_map(|jobs| jobs.last()).map(|job| (job.user.clone(), job.inbox_seq)).collect();
        if let Err(error) = self.cache.raise_inbox_tops(&tops).await {
            tracing::debug!(target: "im", ?error, "tops of inboxes were not raised");
        }
    }

    async fn hand_over(&self, batch: Vec<Job>) {
        match self.push_all(&batch).await {
            Ok(()) => self.finish(batch, true).await,
            // One of them may be at fault: the others must not wait for it.
            Err(error) if at_fault(&error) && batch.len() > 1 => {
                for job in batch {
                    let result = self.push_all(std::slice::from_ref(&job)).await;
                    self.settle(vec![job], result).await;
                }
            }
            Err(error) => self.settle(batch, Err(error)).await,
        }
    }

    /// Does what an answer of push means for jobs that were handed over together.
    async fn settle(&self, jobs: Vec<Job>, result: contracts::Result<()>) {
        let Err(error) = result else { return self.finish(jobs, true).await };
        let count = jobs.len();
        if !at_fault(&error) {
            self.failed.increment(count as u64);
            tracing::warn!(target: "im", ?error, count, "push did not take messages: the sweep hands them on");
            return self.finish(jobs, false).await;
        }
        for job in jobs {
            let message_id = job.flight.message_id;
            let again = error.retryable() && self.flights.try_again(message_id);
            if again {
                self.failed.increment(1);
                tracing::warn!(target: "im", ?error, message_id, "push did not take a message");
            } else {
                self.given_up.increment(1);
                tracing::error!(
                    target: "im", ?error, message_id, user = %job.user, inbox_seq = job.inbox_seq,
                    "push never took a message: it is left to the inbox"
                );
            }
            self.finish(vec![job], !again).await;
        }
    }

    async fn push_all(&self, jobs: &[Job]) -> contracts::Result<()> {
        let push = |job: &Job| StoredPush {
            user: job.user.clone(),
            inbox_seq: job.inbox_seq,
            message: job.message.clone(),
            except: job.except,
        };
        self.push.push_stored(jobs.iter().map(push).collect()).await
    }

    async fn finish(&self, jobs: Vec<Job>, taken: bool) {
        for job in jobs {
            if job.flight.finish(taken, &self.flights) {
                // It is closed only after every lane has ended.
                let _ = self.cleared.send(job.flight.message_id).await;
            }
        }
    }
}

/// Tells whether a failure may lie in what was handed over, and not in push being away.
fn at_fault(error: &Error) -> bool {
    matches!(error.kind(), Kind::Refused(_) | Kind::Internal)
}
