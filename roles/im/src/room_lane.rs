//! One lane of super groups to topic `push`: each group's rows in the order of their seqs, each behind the commands
//! that its members' connections need.
//!
//! A row that changes who is a member is published after the connections concerned have entered the group's room or
//! left it, so that who was removed gets nothing that is said afterwards, and who was invited misses nothing. Where
//! that cannot be done, the group's rows are left to the sweep; clients see the hole by the group's seq.

use std::sync::Arc;

use backends::broker::{self, Broker, Topic};
use backends::cache::Cache;
use bytes::Bytes;
use contracts::push::Record;
use prost::Message as _;
use protocol::client::Message;
use protocol::{ConversationId, GroupId, Identifier, RoomId};
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use crate::flight::{Flight, Landing, at_fault};
use crate::membership::Memberships;

/// A row of a super group, on its way through a lane.
pub(crate) struct RoomJob {
    pub(crate) group: GroupId,
    pub(crate) message: Arc<Message>,
    pub(crate) flight: Arc<Flight>,
}

/// Hands jobs over to the rooms of super groups.
pub(crate) struct RoomLane {
    memberships: Memberships,
    broker: Arc<dyn Broker>,
    cache: Arc<dyn Cache>,
    landing: Landing,
}

impl RoomLane {
    /// A lane to this broker; who is in a room is commanded through `memberships`.
    pub(crate) fn new(
        memberships: Memberships,
        broker: Arc<dyn Broker>,
        cache: Arc<dyn Cache>,
        landing: Landing,
    ) -> Self {
        Self { memberships, broker, cache, landing }
    }

    /// Works until it is told to stop and what waits is handed over.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<RoomJob>, batch_max: usize, stop: Stop) {
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
            // Two rows that were stored one after the other may have come here in any order.
            batch.sort_unstable_by(|one, other| {
                (&one.group, one.message.seq).cmp(&(&other.group, other.message.seq))
            });
            let ready = self.command(std::mem::take(&mut batch)).await;
            if !ready.is_empty() {
                self.publish(ready).await;
            }
        }
    }

    /// Brings the rooms to where the rows need them; answers the rows whose rooms are.
    async fn command(&mut self, batch: Vec<RoomJob>) -> Vec<RoomJob> {
        self.memberships.begin_batch();
        let mut ready = Vec::with_capacity(batch.len());
        for jobs in of_one_group(batch) {
            let rows: Vec<Arc<Message>> = jobs.iter().map(|job| job.message.clone()).collect();
            let Some(group) = jobs.first().map(|job| job.group.clone()) else { continue };
            match self.memberships.bring_up(&group, &rows).await {
                Ok(true) => ready.extend(jobs),
                Ok(false) => {
                    tracing::debug!(target: "im", %group, "a converted group is not settled yet");
                    for job in jobs {
                        self.landing.leave(&job.flight).await;
                    }
                }
                Err(error) if at_fault(&error) => {
                    for job in jobs {
                        self.blame(&job, &error).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        target: "im", ?error, %group, "members were not commanded: the sweep does it again"
                    );
                    for job in jobs {
                        self.landing.leave(&job.flight).await;
                    }
                }
            }
        }
        ready
    }

    async fn blame(&self, job: &RoomJob, error: &contracts::Error) {
        if !self.landing.blame(&job.flight, error).await {
            let (message_id, group, seq) = (job.flight.message_id, &job.group, job.message.seq);
            tracing::error!(
                target: "im", ?error, message_id, %group, seq,
                "members were never commanded: they are when they connect again"
            );
        }
    }

    async fn publish(&self, jobs: Vec<RoomJob>) {
        self.raise_tops(&jobs).await;
        let record = |job: &RoomJob| {
            let room = RoomId::of_group(&job.group);
            let row = Some(Message::clone(&job.message));
            let record = Record { room: room.to_string(), row, ..Record::default() };
            broker::Record {
                key: Bytes::copy_from_slice(room.as_str().as_bytes()),
                value: record.encode_to_vec().into(),
            }
        };
        let records = jobs.iter().map(record).collect();
        let published = self.broker.publish(Topic::Push, records).await;
        if let Err(error) = &published {
            let count = jobs.len();
            tracing::warn!(target: "im", ?error, count, "rows were not published: the sweep hands them on");
        }
        for job in jobs {
            match published {
                Ok(()) => self.landing.finish(&job.flight, true).await,
                Err(_) => self.landing.leave(&job.flight).await,
            }
        }
    }

    /// Tells the cache the highest seq of each group, whose rows stand together in ascending order: heartbeats tell
    /// it where a push is lost.
    async fn raise_tops(&self, jobs: &[RoomJob]) {
        let of_one_group = jobs.chunk_by(|one, next| one.group == next.group);
        let tops = of_one_group.filter_map(|jobs| jobs.last());
        let tops: Vec<(ConversationId, u64)> =
            tops.map(|job| (ConversationId::group(&job.group), job.message.seq)).collect();
        if let Err(error) = self.cache.raise_outbox_tops(&tops).await {
            tracing::debug!(target: "im", ?error, "tops of super groups were not raised");
        }
    }
}

/// The jobs of each group, which stand together.
fn of_one_group(batch: Vec<RoomJob>) -> Vec<Vec<RoomJob>> {
    let mut groups: Vec<Vec<RoomJob>> = Vec::new();
    for job in batch {
        match groups.last_mut() {
            Some(jobs) if jobs.first().is_some_and(|first| first.group == job.group) => jobs.push(job),
            _ => groups.push(vec![job]),
        }
    }
    groups
}
