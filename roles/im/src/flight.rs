//! Rows between their commit and the removal of their intents.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use contracts::{Error, Kind};
use metrics::Counter;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// How often a row that push cannot take for a fault of its own is tried before it is left to who asks for it.
const ATTEMPTS_MAX: u32 = 5;
/// Rows whose attempts are remembered; one more is given up at its first.
const FAULTY_MAX: usize = 4_096;

/// A row between its commit and the removal of its intent.
pub(crate) struct Flight {
    pub(crate) message_id: u64,
    /// To how many it is still to be handed.
    open: AtomicUsize,
    /// For one of them it was not taken: the intent stays.
    failed: AtomicBool,
}

impl Flight {
    /// A row that is handed to this many.
    pub(crate) fn new(message_id: u64, open: usize) -> Arc<Self> {
        Arc::new(Self { message_id, open: AtomicUsize::new(open), failed: AtomicBool::new(false) })
    }

    /// One of those to whom it goes is done with; answers true where the intent is to be removed, and ends the
    /// flight where it is not.
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

/// The rows in flight, so that the sweep leaves them alone, and those that failed for a fault of their own.
#[derive(Default)]
pub(crate) struct Flights {
    in_flight: Mutex<HashSet<u64>>,
    attempts: Mutex<HashMap<u64, u32>>,
}

impl Flights {
    /// Takes a row into flight; false where it is already.
    pub(crate) fn begin(&self, message_id: u64) -> bool {
        self.in_flight.lock().insert(message_id)
    }

    /// Rows are in flight no more.
    pub(crate) fn end(&self, message_ids: &[u64]) {
        let mut in_flight = self.in_flight.lock();
        for message_id in message_ids {
            in_flight.remove(message_id);
        }
    }

    /// Forgets earlier attempts of rows that are done with.
    pub(crate) fn forget_attempts(&self, message_ids: &[u64]) {
        let mut attempts = self.attempts.lock();
        if !attempts.is_empty() {
            for message_id in message_ids {
                attempts.remove(message_id);
            }
        }
    }

    /// A row was not taken that was given alone; answers whether to try it again.
    fn try_again(&self, message_id: u64) -> bool {
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
}

/// How flights end: the same in every lane.
#[derive(Clone)]
pub(crate) struct Landing {
    flights: Arc<Flights>,
    cleared: mpsc::Sender<u64>,
    failed: Counter,
    given_up: Counter,
}

impl Landing {
    /// Ends these flights; the ids of rows that were handed over whole go to `cleared`.
    pub(crate) fn new(flights: Arc<Flights>, cleared: mpsc::Sender<u64>) -> Self {
        let failed = metrics::counter!("anser_im_hand_on_failed_total");
        let given_up = metrics::counter!("anser_im_hand_on_given_up_total");
        Self { flights, cleared, failed, given_up }
    }

    /// A flight is done with for one of those to whom it goes.
    pub(crate) async fn finish(&self, flight: &Flight, taken: bool) {
        if flight.finish(taken, &self.flights) {
            // It is closed only after every lane has ended.
            let _ = self.cleared.send(flight.message_id).await;
        }
    }

    /// A flight was not taken, through no fault of its own: the sweep tries it again.
    pub(crate) async fn leave(&self, flight: &Flight) {
        self.failed.increment(1);
        self.finish(flight, false).await;
    }

    /// A flight was not taken, and was given alone: it may be at fault. Answers whether the sweep tries it again; else
    /// its intent is removed, so that it does not stand before the others for good.
    pub(crate) async fn blame(&self, flight: &Flight, error: &Error) -> bool {
        let message_id = flight.message_id;
        let again = error.retryable() && self.flights.try_again(message_id);
        if again {
            self.failed.increment(1);
            tracing::warn!(target: "im", ?error, message_id, "push did not take a row");
        } else {
            self.given_up.increment(1);
        }
        self.finish(flight, !again).await;
        again
    }
}

/// Tells whether a failure may lie in what was handed over, and not in push being away.
pub(crate) fn at_fault(error: &Error) -> bool {
    matches!(error.kind(), Kind::Refused(_) | Kind::Internal)
}
