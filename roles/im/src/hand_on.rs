//! Hands stored messages on to push, and removes the intents of those that it took.
//!
//! A message goes to several users, and each user's messages go through one lane, so that they keep their order.
//! Its intent is removed when every lane has handed its part over. What does not get that far keeps its intent,
//! and the sweep hands it on again: nothing here is waited for by an answer, and nothing that is lost here is
//! lost.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backends::cache::Cache;
use backends::store::Store;
use contracts::push::Push;
use metrics::Counter;
use parking_lot::Mutex;
use protocol::client::Message;
use protocol::{ConnectionId, UserId};
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::Config;
use crate::lane::Lane;

/// How often a message that push cannot take for a fault of its own is tried before it is left to the inbox.
const ATTEMPTS_MAX: u32 = 5;
/// Messages whose attempts are remembered; one more is given up at its first.
const FAULTY_MAX: usize = 4_096;

/// A task to be spawned.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stored message for one user, on its way through a lane.
pub(crate) struct Job {
    pub(crate) user: UserId,
    pub(crate) inbox_seq: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) except: Option<ConnectionId>,
    pub(crate) flight: Arc<Flight>,
}

/// A message between its commit and the removal of its intent.
pub(crate) struct Flight {
    pub(crate) message_id: u64,
    /// Users to whom it is still to be handed.
    open: AtomicUsize,
    /// For one of them it was not taken: the intent stays.
    failed: AtomicBool,
}

impl Flight {
    /// One of the users is done with; answers true where the intent is to be removed, and ends the flight where
    /// it is not.
    pub(crate) fn finish(&self, taken: bool, flights: &Flights) -> bool {
        if !taken {
            self.failed.store(true, Ordering::Relaxed);
        }
        let last = self.open.fetch_sub(1, Ordering::AcqRel) == 1;
        let failed = self.failed.load(Ordering::Relaxed);
        if last && failed {
            flights.end(&[self.message_id]);
        }
        last && !failed
    }
}

/// The messages in flight, so that the sweep leaves them alone, and those that failed for a fault of their own.
#[derive(Default)]
pub(crate) struct Flights {
    in_flight: Mutex<HashSet<u64>>,
    attempts: Mutex<HashMap<u64, u32>>,
}

impl Flights {
    /// Takes a message into flight; false where it is already.
    pub(crate) fn begin(&self, message_id: u64) -> bool {
        self.in_flight.lock().insert(message_id)
    }

    /// Messages are in flight no more.
    pub(crate) fn end(&self, message_ids: &[u64]) {
        let mut in_flight = self.in_flight.lock();
        for message_id in message_ids {
            in_flight.remove(message_id);
        }
    }

    /// Push could not take a message that was given to it alone; answers whether to try it again.
    pub(crate) fn try_again(&self, message_id: u64) -> bool {
        let mut attempts = self.attempts.lock();
        if attempts.len() >= FAULTY_MAX && !attempts.contains_key(&message_id) {
            return false;
        }
        let count = attempts.entry(message_id).or_default();
        *count += 1;
        let again = *count < ATTEMPTS_MAX;
        if !again {
            attempts.remove(&message_id);
        }
        again
    }

    /// Forgets earlier attempts of messages that are done with.
    fn forget_attempts(&self, message_ids: &[u64]) {
        let mut attempts = self.attempts.lock();
        if !attempts.is_empty() {
            for message_id in message_ids {
                attempts.remove(message_id);
            }
        }
    }
}

/// The way from the store to push.
pub(crate) struct HandOn {
    lanes: Box<[mpsc::Sender<Job>]>,
    flights: Arc<Flights>,
    skipped: Counter,
}

impl HandOn {
    /// Opens the lanes, and gives their tasks and the one that removes intents to `spawn`. Whoever holds the
    /// sender in the answer may have intents removed; the tasks end when `stop` was given and all such senders
    /// are gone.
    pub(crate) fn start(
        config: &Config,
        push: &Arc<dyn Push>,
        cache: &Arc<dyn Cache>,
        store: &Arc<dyn Store>,
        stop: &Stop,
        mut spawn: impl FnMut(Task),
    ) -> (Self, mpsc::Sender<u64>) {
        let flights = Arc::<Flights>::default();
        let (cleared, to_clear) = mpsc::channel(config.clear_batch_max.max(1) * 4);
        let lanes = (0..config.lane_count.max(1)).map(|_| {
            let (sender, jobs) = mpsc::channel(config.lane_jobs_max.max(1));
            let lane = Lane::new(push.clone(), cache.clone(), flights.clone(), cleared.clone());
            spawn(Box::pin(lane.run(jobs, config.lane_batch_max.max(1), stop.clone())));
            sender
        });
        let lanes = lanes.collect();
        let clearing = Clearing {
            store: store.clone(),
            flights: flights.clone(),
            window: config.clear_window,
            batch_max: config.clear_batch_max.max(1),
            failed: metrics::counter!("anser_im_clear_failed_total"),
        };
        spawn(Box::pin(clearing.run(to_clear)));
        let skipped = metrics::counter!("anser_im_hand_on_skipped_total");
        (Self { lanes, flights, skipped }, cleared)
    }

    /// Hands a message on without waiting; where a lane is full, that user's part is skipped and counted, and
    /// the sweep hands the message on.
    pub(crate) fn offer(
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

    /// Hands a message on, waiting for room in the lanes; false where it is in flight already.
    pub(crate) async fn hand(&self, message: &Arc<Message>, inboxes: Vec<(UserId, u64)>) -> bool {
        let jobs = self.jobs(message, inboxes, None);
        let begun = !jobs.is_empty();
        for job in jobs {
            if let Err(mpsc::error::SendError(job)) = self.lane(&job.user).send(job).await {
                job.flight.finish(false, &self.flights);
            }
        }
        begun
    }

    /// The messages in flight.
    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Takes a message into flight; no jobs where it is already, or where it is for nobody.
    fn jobs(
        &self,
        message: &Arc<Message>,
        inboxes: Vec<(UserId, u64)>,
        except: Option<ConnectionId>,
    ) -> Vec<Job> {
        let message_id = message.message_id;
        if inboxes.is_empty() || !self.flights.begin(message_id) {
            return Vec::new();
        }
        let open = AtomicUsize::new(inboxes.len());
        let flight = Arc::new(Flight { message_id, open, failed: AtomicBool::new(false) });
        let job = |(user, inbox_seq)| Job {
            user,
            inbox_seq,
            message: message.clone(),
            except,
            flight: flight.clone(),
        };
        inboxes.into_iter().map(job).collect()
    }

    fn lane(&self, user: &UserId) -> &mpsc::Sender<Job> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(user) as usize;
        &self.lanes[hash % self.lanes.len()]
    }
}

/// Removes the intents of messages that were handed on, many at once.
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
            if let Err(error) = self.store.clear_intents(message_ids.clone()).await {
                // They are handed on once more by the sweep, and devices know what they have.
                self.failed.increment(message_ids.len() as u64);
                tracing::warn!(target: "im", ?error, count = message_ids.len(), "intents were not removed");
            }
            self.flights.forget_attempts(&message_ids);
            self.flights.end(&message_ids);
        }
    }
}
