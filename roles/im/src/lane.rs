//! One lane of single chats to push: what waits is handed over together, each user's in the order of the inbox.

use std::sync::Arc;

use backends::cache::Cache;
use contracts::Error;
use contracts::push::{Push, StoredPush};
use protocol::client::Message;
use protocol::{ConnectionId, UserId};
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use crate::flight::{Flight, Landing, at_fault};

/// A stored row for one user, on its way through a lane.
pub(crate) struct Job {
    pub(crate) user: UserId,
    pub(crate) inbox_seq: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) except: Option<ConnectionId>,
    pub(crate) flight: Arc<Flight>,
}

/// Hands jobs over to push.
pub(crate) struct Lane {
    push: Arc<dyn Push>,
    cache: Arc<dyn Cache>,
    landing: Landing,
}

impl Lane {
    /// A lane to this push.
    pub(crate) fn new(push: Arc<dyn Push>, cache: Arc<dyn Cache>, landing: Landing) -> Self {
        Self { push, cache, landing }
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
            Ok(()) => {
                for job in batch {
                    self.landing.finish(&job.flight, true).await;
                }
            }
            // One of them may be at fault: the others must not wait for it.
            Err(error) if at_fault(&error) && batch.len() > 1 => {
                for job in batch {
                    match self.push_all(std::slice::from_ref(&job)).await {
                        Ok(()) => self.landing.finish(&job.flight, true).await,
                        // Logged with its number below, or the whole lot's failure was.
                        Err(error) => self.refuse(&job, &error).await,
                    }
                }
            }
            Err(error) => {
                let count = batch.len();
                tracing::warn!(target: "im", ?error, count, "push did not take rows: the sweep hands them on");
                for job in batch {
                    self.refuse(&job, &error).await;
                }
            }
        }
    }

    /// Does what push's refusal means for a job.
    async fn refuse(&self, job: &Job, error: &Error) {
        let message_id = job.flight.message_id;
        if !at_fault(error) {
            return self.landing.leave(&job.flight).await;
        }
        if !self.landing.blame(&job.flight, error).await {
            tracing::error!(
                target: "im", ?error, message_id, user = %job.user, inbox_seq = job.inbox_seq,
                "push never took a row: it is left to the inbox"
            );
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
}
