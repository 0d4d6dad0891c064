//! Whether Kafka takes records, as a producer sees it.
//!
//! librdkafka keeps what it is given and tries for as long as it may. Whoever publishes is not to wait for that
//! each time, so two things are watched: that no broker can be reached, which is asked for once more before it is
//! believed, since a connection that was idle ends like one that broke; and that records wait and none was
//! acknowledged for a time, as when too few replicas are left.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long nothing may be acknowledged while records wait.
const STALL_MAX: Duration = Duration::from_secs(2);
/// How long it waits before it asks again whether a broker can be reached.
const ASK_PAUSE: Duration = Duration::from_millis(300);

const REACHED: u8 = 0;
const SUSPECTED: u8 = 1;
const AWAY: u8 = 2;

/// What a producer knows of Kafka.
pub(super) struct Health {
    begun: Instant,
    state: AtomicU8,
    asking: AtomicBool,
    broken: AtomicBool,
    /// Milliseconds since `begun`.
    asked_at: AtomicU64,
    acknowledged_at: AtomicU64,
    waiting_since: AtomicU64,
    waiting: AtomicUsize,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            state: AtomicU8::new(REACHED),
            asking: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            asked_at: AtomicU64::new(0),
            acknowledged_at: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A record is on its way.
    pub(super) fn sent(&self) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.waiting_since.store(self.now(), Ordering::Release);
        }
    }

    /// Kafka has a record.
    pub(super) fn acknowledged(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.acknowledged_at.store(self.now(), Ordering::Release);
        self.reached();
    }

    /// Kafka will not have a record.
    pub(super) fn given_up(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// No broker is connected.
    pub(super) fn suspect(&self) {
        let _ = self.state.compare_exchange(REACHED, SUSPECTED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The producer can do nothing more and must be made anew.
    pub(super) fn breaks(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether the producer must be made anew; true once.
    pub(super) fn take_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire) && self.broken.swap(false, Ordering::AcqRel)
    }

    /// Why nothing is to be sent at present.
    pub(super) fn away(&self) -> Option<&'static str> {
        if self.state.load(Ordering::Acquire) == AWAY {
            return Some("no broker can be reached");
        }
        let since =
            self.acknowledged_at.load(Ordering::Acquire).max(self.waiting_since.load(Ordering::Acquire));
        let stalled =
            self.waiting.load(Ordering::Acquire) > 0 && self.now().saturating_sub(since) > millis(STALL_MAX);
        stalled.then_some("nothing is acknowledged")
    }

    /// Whether the caller is to ask, and then to say `answered`, whether a broker can be reached.
    pub(super) fn must_ask(&self) -> bool {
        self.state.load(Ordering::Acquire) != REACHED
            && (self.state.load(Ordering::Acquire) == SUSPECTED
                || self.now().saturating_sub(self.asked_at.load(Ordering::Acquire)) >= millis(ASK_PAUSE))
            && !self.asking.swap(true, Ordering::AcqRel)
    }

    /// Whether a broker could be reached.
    pub(super) fn answered(&self, is_reached: bool) {
        self.asked_at.store(self.now(), Ordering::Release);
        if is_reached {
            self.reached();
        } else if self.state.swap(AWAY, Ordering::AcqRel) != AWAY {
            tracing::warn!(target: "broker", "no broker of kafka can be reached");
        }
        self.asking.store(false, Ordering::Release);
    }

    fn reached(&self) {
        if self.state.load(Ordering::Acquire) != REACHED && self.state.swap(REACHED, Ordering::AcqRel) == AWAY
        {
            tracing::info!(target: "broker", "kafka can be reached again");
        }
    }

    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicion_is_asked_once_and_believed_only_when_it_is_confirmed() {
        let health = Health::new();
        assert!(!health.must_ask());
        health.suspect();
        assert!(health.away().is_none() && health.must_ask());
        assert!(!health.must_ask(), "somebody asks already");
        health.answered(false);
        assert!(health.away().is_some());
        assert!(!health.must_ask(), "not again at once");
        std::thread::sleep(ASK_PAUSE);
        assert!(health.must_ask());
        health.answered(true);
        assert!(health.away().is_none() && !health.must_ask());
    }

    #[test]
    fn an_acknowledgement_ends_a_suspicion() {
        let health = Health::new();
        health.suspect();
        health.sent();
        health.acknowledged();
        assert!(!health.must_ask());
    }

    #[test]
    fn records_that_wait_in_vain_are_a_reason_until_they_are_given_up() {
        let health = Health::new();
        health.sent();
        health.sent();
        assert!(health.away().is_none());
        std::thread::sleep(STALL_MAX + Duration::from_millis(50));
        assert!(health.away().is_some());
        health.given_up();
        assert!(health.away().is_some());
        health.given_up();
        assert!(health.away().is_none());
    }
}
