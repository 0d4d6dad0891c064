//! The timer wheel of a shard: one tick a second serves every connection's time limits.
//!
//! A connection has at most a few entries; one that fires early is looked at and put back. An idle connection
//! wakes nobody between its limits.

use std::time::{Duration, Instant};

use crate::connection::ConnectionRef;

/// How precise time limits are.
pub(crate) const TICK: Duration = Duration::from_secs(1);
const SLOTS: usize = 1024;

/// Connections by the tick at which they are to be looked at.
#[derive(Debug)]
pub(crate) struct Wheel {
    began: Instant,
    /// The next tick to be looked at.
    tick: u64,
    slots: Vec<Vec<ConnectionRef>>,
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, tick: 1, slots: (0..SLOTS).map(|_| Vec::new()).collect() }
    }

    /// Puts a connection where it will be looked at no earlier than `deadline`, or after a whole turn of the
    /// wheel where that is further away. `looked_at` is the connection's own note of its valid entry: where
    /// that one comes early enough, nothing is done.
    pub(crate) fn insert(&mut self, connection: ConnectionRef, deadline: Instant, looked_at: &mut u64) {
        let after = deadline.saturating_duration_since(self.began);
        let tick = (after.as_secs() + 1).clamp(self.tick, self.tick + SLOTS as u64 - 1);
        if (self.tick..=tick).contains(looked_at) {
            return;
        }
        *looked_at = tick;
        self.slots[(tick % SLOTS as u64) as usize].push(connection);
    }

    /// Takes out all entries whose tick has passed, each with its tick.
    pub(crate) fn due(&mut self, now: Instant, due: &mut Vec<(u64, ConnectionRef)>) {
        let current = now.saturating_duration_since(self.began).as_secs();
        while self.tick <= current {
            let slot = &mut self.slots[(self.tick % SLOTS as u64) as usize];
            due.extend(slot.drain(..).map(|connection| (self.tick, connection)));
            self.tick += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_looked_at_after_its_deadline_and_within_two_ticks() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let connection = ConnectionRef { slot: 7, generation: 1 };
        let mut due = Vec::new();
        for seconds in [0, 1, 8, 480, 5_000] {
            let now = start + Duration::from_secs(wheel.tick);
            let deadline = now + Duration::from_secs(seconds);
            let mut looked_at = 0;
            wheel.insert(connection, deadline, &mut looked_at);
            wheel.insert(connection, deadline, &mut looked_at);
            let expected = if seconds as usize >= SLOTS { now + TICK * (SLOTS as u32 - 1) } else { deadline };
            wheel.due(expected - Duration::from_millis(1), &mut due);
            assert!(due.is_empty(), "{seconds}");
            wheel.due(expected + 2 * TICK, &mut due);
            assert_eq!(due.len(), 1, "{seconds}");
            due.clear();
        }
    }
}
