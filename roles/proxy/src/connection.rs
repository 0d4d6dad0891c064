//! One client's connection: its state, without I/O.
//!
//! A connection begins *fresh*, is *open* after auth, and *closing* from the moment the server or the client
//! ends it until the last byte has left. What a connection has only after auth is its [`Session`].

use std::time::{Duration, Instant};

use contracts::auth::Wire;
use contracts::proxy::MembershipChange;
use contracts::router::Handle;
use protocol::code::CloseCode;
use protocol::operation::Operation;
use protocol::{ConnectionId, DeviceId, UserId, limits};
use smallvec::SmallVec;

use crate::hub::Admission;
use crate::inbox::Inbox;
use crate::own_rooms::OwnRooms;
use crate::room::Rows;
use crate::send_queue::SendQueue;
use crate::transport::websocket::Fragments;
use crate::transport::{Carrier, Dialect};

/// A place in a shard, and which of the connections that had it over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionRef {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Generations go round within 24 bits, shards within 8.
pub(crate) const GENERATION_MASK: u32 = 0x00ff_ffff;

impl ConnectionRef {
    /// The place as the other roles carry it.
    pub(crate) fn handle(self, shard: usize) -> Handle {
        Handle(
            (shard as u64) << 56 | u64::from(self.generation & GENERATION_MASK) << 32 | u64::from(self.slot),
        )
    }

    /// The shard and the place inside it.
    pub(crate) fn of_handle(handle: Handle) -> (usize, Self) {
        let generation = (handle.0 >> 32) as u32 & GENERATION_MASK;
        ((handle.0 >> 56) as usize, Self { slot: handle.0 as u32, generation })
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was said yet but perhaps other things than auth.
    Fresh,
    /// Its auth is being looked at; what comes behind it waits.
    Authenticating,
    /// It has a session.
    Open,
    /// It is on its way out: nothing more is read.
    Closing,
}

/// A room that a connection is in, and its place among the members.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    pub(crate) room: u32,
    pub(crate) position: u32,
}

/// What a connection has after auth.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: ConnectionId,
    pub(crate) dialect: Dialect,
    pub(crate) user: Option<UserId>,
    pub(crate) device: DeviceId,
    pub(crate) key: String,
    /// `None`: every operation, which is what an Anser client has that named none.
    pub(crate) accepts: Option<Box<[Operation]>>,
    /// The rooms that the client has named.
    pub(crate) rooms: SmallVec<[Membership; 1]>,
    /// The server's own rooms.
    pub(crate) own_rooms: Option<Box<OwnRooms>>,
    pub(crate) inbox: Inbox,
}

impl Session {
    /// Tells whether pushes by key, user and to all under this operation are wanted.
    pub(crate) fn accepts(&self, operation: Operation) -> bool {
        self.accepts.as_ref().is_none_or(|accepts| accepts.contains(&operation))
    }
}

/// What came for a connection that does not know its id yet; what turns out to be for another one is passed over.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(crate) kick: Option<(ConnectionId, CloseCode)>,
    /// In the order they came.
    pub(crate) changes: Vec<MembershipChange>,
}

/// Changes that may come before a session is there; a connection that more come for is closed and comes again.
pub(crate) const EARLY_CHANGES_MAX: usize = limits::SUPER_GROUPS_PER_USER_MAX;

/// One client's connection.
pub(crate) struct Connection {
    pub(crate) stream: mio::net::TcpStream,
    pub(crate) carrier: Carrier,
    pub(crate) phase: Phase,
    /// Set by the first auth: which protocol's manners it is spoken to with.
    pub(crate) wire: Option<Wire>,
    /// A request that those behind it wait for is being worked on.
    pub(crate) barrier: bool,
    /// It is in the list of connections to be read again.
    pub(crate) listed: bool,
    /// It is in the list of connections to be written to.
    pub(crate) dirty: bool,
    /// The client has said that it sends no more.
    pub(crate) ended: bool,
    /// The kernel has said that no more will come behind what it holds.
    pub(crate) hung_up: bool,
    /// There may be something to read, but it was not the time.
    pub(crate) stalled: bool,
    pub(crate) in_flight: u8,
    /// The tick at which its time limits are looked at.
    pub(crate) looked_at: u64,
    pub(crate) admission: Admission,
    /// What was read and is not a whole frame, or waits behind a barrier.
    pub(crate) input: Vec<u8>,
    pub(crate) fragments: Option<Box<Fragments>>,
    pub(crate) queue: Option<Box<SendQueue>>,
    pub(crate) session: Option<Box<Session>>,
    /// When it is closed unless something is heard before.
    pub(crate) heard_by: Instant,
    /// Since when bytes wait without one having left.
    pub(crate) blocked_since: Option<Instant>,
    /// What came for it while auth was on its way.
    pub(crate) early: Option<Box<Early>>,
    pub(crate) allowance: Allowance,
}

/// How many requests may be worked on at once; those behind them wait unread.
pub(crate) const IN_FLIGHT_MAX: u8 = 64;

impl Connection {
    pub(crate) fn new(
        stream: mio::net::TcpStream,
        carrier: Carrier,
        admission: Admission,
        heard_by: Instant,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            carrier,
            phase: Phase::Fresh,
            wire: None,
            barrier: false,
            listed: false,
            dirty: false,
            ended: false,
            hung_up: false,
            stalled: false,
            in_flight: 0,
            looked_at: 0,
            admission,
            input: Vec::new(),
            fragments: None,
            queue: None,
            session: None,
            heard_by,
            blocked_since: None,
            early: None,
            allowance: Allowance::full(now),
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.length_bytes())
    }

    /// Tells whether the next frame may be worked on.
    pub(crate) fn may_work(&self, queue_bytes_max: usize) -> bool {
        self.phase != Phase::Closing
            && !self.barrier
            && self.in_flight < IN_FLIGHT_MAX
            && self.queued_bytes() <= queue_bytes_max / 2
    }

    /// Takes a request out of its allowance; false where there is none left.
    pub(crate) fn may_ask(&mut self, now: Instant, per_second_max: u32) -> bool {
        self.admission.address.is_loopback() || self.allowance.take(now, per_second_max)
    }

    /// Tells whether nothing that it asked for is being worked on.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight == 0 && !self.barrier
    }

    /// Rows of a super group were pushed before the client was answered that it is in.
    pub(crate) fn pass_over(&mut self, rows: &Rows) {
        if let Some(own_rooms) = self.session.as_mut().and_then(|session| session.own_rooms.as_mut()) {
            own_rooms.pass_over(&rows.conversation, rows.last);
        }
    }

    /// The seq with which the user came into the rows' group, where some of them are not for it.
    pub(crate) fn joined_above(&self, rows: &Rows) -> Option<u64> {
        let own_rooms = self.session.as_ref()?.own_rooms.as_ref()?;
        own_rooms.joined(&rows.conversation).filter(|joined| *joined >= rows.first)
    }

    /// How pushes look to this client; before auth as if it were an Anser client only where its subprotocol
    /// says so.
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.session {
            Some(session) => session.dialect,
            None => Dialect::of(self.carrier, self.wire != Some(Wire::Anser)),
        }
    }
}

/// Requests that may be sent at once; it fills again with time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    refilled: Instant,
    /// In thousandths of a request.
    thousandths: u32,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self { refilled: now, thousandths: u32::MAX }
    }

    /// Takes one request out; false where there is none left. A second's worth may be saved up.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let bound = u64::from(per_second) * 1000;
        let elapsed = now.saturating_duration_since(self.refilled);
        let elapsed_ms = elapsed.as_millis().min(1000) as u64;
        let held = (u64::from(self.thousandths) + elapsed_ms * u64::from(per_second)).min(bound);
        // What is less than a millisecond is kept: requests may come faster than that.
        let kept = elapsed.saturating_sub(Duration::from_millis(elapsed_ms)).min(Duration::from_millis(1));
        self.refilled = now.checked_sub(kept).unwrap_or(now);
        let Some(left) = held.checked_sub(1000) else {
            self.thousandths = held as u32;
            return false;
        };
        self.thousandths = left.min(u64::from(u32::MAX)) as u32;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_shard_place_and_generation() {
        let place = ConnectionRef { slot: 70_000, generation: GENERATION_MASK };
        assert_eq!(ConnectionRef::of_handle(place.handle(200)), (200, place));
    }

    #[test]
    fn an_idle_connection_pays_for_nothing_that_it_does_not_have() {
        assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
        assert!(size_of::<Session>() <= 208, "{}", size_of::<Session>());
        assert_eq!(size_of::<Option<Box<OwnRooms>>>(), size_of::<usize>());
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        let taken = (0..100).filter(|_| allowance.take(start, 20)).count();
        assert_eq!(taken, 20);
        let later = start + Duration::from_millis(500);
        let taken = (0..100).filter(|_| allowance.take(later, 20)).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn an_allowance_comes_back_while_requests_come_faster_than_a_millisecond() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        let taken =
            (0..20_000).filter(|number| allowance.take(start + Duration::from_micros(100 * number), 20));
        // Two seconds: what was saved up, and 20 for each of them.
        assert_eq!(taken.count(), 59);
    }
}
