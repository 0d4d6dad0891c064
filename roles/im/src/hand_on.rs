//! Hands stored rows on, each the way that its conversation has, and removes the intents of those that arrived.
//!
//! | conversation | way | its intent is removed by |
//! |---|---|---|
//! | single chat | a lane a user to push, so that each user's rows keep their order | im, when every lane has handed its part over |
//! | group | a hint in topic `fanout` that the conversation has work | consumer, when the row is in all inboxes |
//! | super group | a lane a group to topic `push`, so that the group's rows keep their order | im, when the broker has it |
//!
//! What does not get that far keeps its intent, and the sweep (consumer's for a group) hands it on again: nothing here
//! is waited for by an answer, and nothing that is lost here is lost.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backends::broker::Broker;
use backends::cache::Cache;
use backends::store::{FanOut, IntentLane, Store};
use contracts::push::Push;
use metrics::Counter;
use protocol::client::Message;
use protocol::{ConnectionId, ConversationId, GroupId, Identifier, UserId};
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::Config;
use crate::flight::{Flight, Flights, Landing};
use crate::hint;
use crate::lane::{Job, Lane};
use crate::membership::Memberships;
use crate::room_lane::{RoomJob, RoomLane};

/// A task to be spawned.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the ways lead to.
pub(crate) struct Onward<'a> {
    pub(crate) push: &'a Arc<dyn Push>,
    pub(crate) cache: &'a Arc<dyn Cache>,
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) broker: &'a Arc<dyn Broker>,
}

/// The ways from the store to those for whom a row is.
pub(crate) struct HandOn {
    lanes: Box<[mpsc::Sender<Job>]>,
    room_lanes: Box<[mpsc::Sender<RoomJob>]>,
    hints: mpsc::Sender<ConversationId>,
    flights: Arc<Flights>,
    skipped: Counter,
    hints_skipped: Counter,
}

impl HandOn {
    /// Opens the lanes, and gives their tasks and the one that removes intents to `spawn`. Whoever holds the
    /// sender in the answer may have intents removed; the tasks end when `stop` was given and all such senders
    /// are gone.
    pub(crate) fn start(
        config: &Config,
        to: &Onward<'_>,
        stop: &Stop,
        mut spawn: impl FnMut(Task),
    ) -> (Self, mpsc::Sender<u64>) {
        let flights = Arc::<Flights>::default();
        let (cleared, to_clear) = mpsc::channel(config.clear_batch_max.max(1) * 4);
        let landing = Landing::new(flights.clone(), cleared.clone());
        let (lane_count, jobs_max) = (config.lane_count.max(1), config.lane_jobs_max.max(1));
        let batch_max = config.lane_batch_max.max(1);
        let mut lanes = Vec::with_capacity(lane_count);
        let mut room_lanes = Vec::with_capacity(lane_count);
        for _ in 0..lane_count {
            let (sender, jobs) = mpsc::channel(jobs_max);
            let lane = Lane::new(to.push.clone(), to.cache.clone(), landing.clone());
            spawn(Box::pin(lane.run(jobs, batch_max, stop.clone())));
            lanes.push(sender);
            let (sender, jobs) = mpsc::channel(jobs_max);
            let memberships = Memberships::new(to.store.clone(), to.push.clone());
            let lane = RoomLane::new(memberships, to.broker.clone(), to.cache.clone(), landing.clone());
            spawn(Box::pin(lane.run(jobs, batch_max, stop.clone())));
            room_lanes.push(sender);
        }
        let (hints, waiting) = mpsc::channel(config.hints_max.max(1));
        spawn(Box::pin(hint::run(to.broker.clone(), waiting, stop.clone())));
        let clearing = Clearing {
            store: to.store.clone(),
            flights: flights.clone(),
            window: config.clear_window,
            batch_max: config.clear_batch_max.max(1),
            failed: metrics::counter!("anser_im_clear_failed_total"),
        };
        spawn(Box::pin(clearing.run(to_clear)));
        let hand_on = Self {
            lanes: lanes.into(),
            room_lanes: room_lanes.into(),
            hints,
            flights,
            skipped: metrics::counter!("anser_im_hand_on_skipped_total"),
            hints_skipped: metrics::counter!("anser_im_hints_skipped_total"),
        };
        (hand_on, cleared)
    }

    /// Hands a row on without waiting; where its way is full, it is skipped and counted, and the sweep hands it on.
    pub(crate) fn offer(
        &self,
        message: &Arc<Message>,
        fan_out: FanOut,
        inboxes: Vec<(UserId, u64)>,
        except: Option<ConnectionId>,
    ) {
        match fan_out {
            FanOut::InCommit => self.offer_to_users(message, inboxes, except),
            FanOut::OnRead => {
                let Some(job) = self.room_job(message) else { return };
                if let Err(error) = self.room_lane(&job.group).try_send(job) {
                    let (mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) =
                        error;
                    job.flight.finish(false, &self.flights);
                    self.skipped.increment(1);
                }
            }
            FanOut::OnWrite => {
                let conversation = ConversationId::parse(&message.conversation);
                if conversation.is_none_or(|conversation| self.hints.try_send(conversation).is_err()) {
                    self.hints_skipped.increment(1);
                }
            }
        }
    }

    fn offer_to_users(
        &self,
        message: &Arc<Message>,
        inboxes: Vec<(UserId, u64)>,
        except: Option<ConnectionId>,
    ) {
        for job in self.jobs(message, inboxes, except) {
            if let Err(error) = self.lane(&job.user).try_send(job) {
                let (mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) = error;
                job.flight.finish(false, &self.flights);
                self.skipped.increment(1);
            }
        }
    }

    /// Hands a row of the push lane on, waiting for room; false where it is in flight already.
    pub(crate) async fn hand(
        &self,
        message: &Arc<Message>,
        fan_out: FanOut,
        inboxes: Vec<(UserId, u64)>,
    ) -> bool {
        if fan_out == FanOut::OnRead {
            let Some(job) = self.room_job(message) else { return false };
            if let Err(mpsc::error::SendError(job)) = self.room_lane(&job.group).send(job).await {
                job.flight.finish(false, &self.flights);
            }
            return true;
        }
        let jobs = self.jobs(message, inboxes, None);
        let begun = !jobs.is_empty();
        for job in jobs {
            if let Err(mpsc::error::SendError(job)) = self.lane(&job.user).send(job).await {
                job.flight.finish(false, &self.flights);
            }
        }
        begun
    }

    /// The rows in flight.
    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Takes a row into flight; no jobs where it is already, or where it is for nobody.
    fn jobs(
        &self,
        message: &Arc<Message>,
        inboxes: Vec<(UserId, u64)>,
        except: Option<ConnectionId>,
    ) -> Vec<Job> {
        if inboxes.is_empty() || !self.flights.begin(message.message_id) {
            return Vec::new();
        }
        let flight = Flight::new(message.message_id, inboxes.len());
        let job = |(user, inbox_seq)| Job {
            user,
            inbox_seq,
            message: message.clone(),
            except,
            flight: flight.clone(),
        };
        inboxes.into_iter().map(job).collect()
    }

    /// Takes a row of a super group into flight; `None` where it is already.
    fn room_job(&self, message: &Arc<Message>) -> Option<RoomJob> {
        let group = GroupId::new(message.group.as_deref()?).ok()?;
        self.flights.begin(message.message_id).then(|| RoomJob {
            group,
            message: message.clone(),
            flight: Flight::new(message.message_id, 1),
        })
    }

    fn lane(&self, user: &UserId) -> &mpsc::Sender<Job> {
        &self.lanes[place(user, self.lanes.len())]
    }

    fn room_lane(&self, group: &GroupId) -> &mpsc::Sender<RoomJob> {
        &self.room_lanes[place(group, self.room_lanes.len())]
    }
}

fn place(key: impl Hash, count: usize) -> usize {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key) as usize % count
}

/// Removes the intents of rows that were handed on, many at once.
struct Clearing {
    store: Arc<dyn Store>,
    flights: Arc<Flights>,
    window: Duration,
    batch_max: usize,
    failed: Counter,
}

impl Clearing {
    async fn run(self, mut to_clear: mpsc::Receiver<u64>) {
        while let Some(first) = to_clear.recv().await {
            let mut message_ids = vec![first];
            let end = Instant::now() + self.window;
            while message_ids.len() < self.batch_max {
                match timeout_at(end, to_clear.recv()).await {
                    Ok(Some(message_id)) => message_ids.push(message_id),
                    Ok(None) | Err(_) => break,
                }
            }
            if let Err(error) = self.store.clear_intents(IntentLane::Push, message_ids.clone()).await {
                // They are handed on once more by the sweep, and devices know what they have.
                self.failed.increment(message_ids.len() as u64);
                tracing::warn!(target: "im", ?error, count = message_ids.len(), "intents were not removed");
            }
            self.flights.forget_attempts(&message_ids);
            self.flights.end(&message_ids);
        }
    }
}
