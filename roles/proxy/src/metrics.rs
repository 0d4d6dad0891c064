//! What a proxy counts. Handles are kept: a name is looked up once.

use metrics::{Counter, Gauge, counter, gauge};
use protocol::code::CloseCode;

/// Why something was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// The receiver's send queue was full.
    QueueFull,
    /// Too many messages waited in a room.
    RoomFull,
    /// The connection had gone, or another had taken its place.
    Gone,
}

/// The counters of one proxy.
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) sessions: Gauge,
    /// Pushes that went into a queue or a socket.
    pub(crate) pushed: Counter,
    queue_full: Counter,
    room_full: Counter,
    gone: Counter,
    /// Times that a connection turned from live to behind.
    pub(crate) fell_behind: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let dropped = |reason: &'static str| counter!("anser_proxy_dropped_total", "reason" => reason);
        Self {
            connections: gauge!("anser_proxy_connections"),
            sessions: gauge!("anser_proxy_sessions"),
            pushed: counter!("anser_proxy_pushed_total"),
            queue_full: dropped("queue_full"),
            room_full: dropped("room_full"),
            gone: dropped("gone"),
            fell_behind: counter!("anser_proxy_fell_behind_total"),
        }
    }

    pub(crate) fn dropped(&self, reason: Drop, count: u64) {
        match reason {
            Drop::QueueFull => self.queue_full.increment(count),
            Drop::RoomFull => self.room_full.increment(count),
            Drop::Gone => self.gone.increment(count),
        }
    }

    /// A connection was closed by the server.
    pub(crate) fn closed(&self, code: CloseCode) {
        counter!("anser_proxy_closed_total", "code" => code.name()).increment(1);
    }

    /// A connection was turned away at the door.
    pub(crate) fn refused(&self, reason: &'static str) {
        counter!("anser_proxy_refused_total", "reason" => reason).increment(1);
    }
}
