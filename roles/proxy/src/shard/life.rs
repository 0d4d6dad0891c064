//! A connection's way in and out.
//!
//! Whoever is closed is told why, then the shard waits a moment for the client to close its side: a socket
//! that is closed with bytes unread resets, and the farewell would be lost.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contracts::router::Unregistration;
use mio::Interest;
use protocol::client;
use protocol::code::CloseCode;
use protocol::codec::Event;

use super::Shard;
use super::run::token_of;
use crate::connection::{Connection, ConnectionRef, Phase};
use crate::hub::Admission;
use crate::send_queue::Class;
use crate::transport::Carrier;

/// How long a closing connection may take to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Clients of a proxy that goes away are asked to come back within this time, spread over it.
const RECONNECT_SPREAD_MS: u64 = 2_000;

impl Shard {
    /// Takes a connection in; `early` is what it has sent already.
    pub(crate) fn admit(
        &mut self,
        stream: mio::net::TcpStream,
        carrier: Carrier,
        admission: Admission,
        early: &[u8],
        now: Instant,
    ) {
        let heard_by = now + self.hub.config.auth_time_limit;
        // Small frames leave at once; a socket that cannot be set so is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let mut connection = Connection::new(stream, carrier, admission, heard_by, now);
        connection.input = early.to_vec();
        let place = self.insert(connection);
        let Some(connection) = self.slots[place.slot as usize].connection.as_mut() else { return };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut connection.stream, token_of(place), interest) {
            tracing::warn!(target: "proxy", %error, "a connection could not be watched");
            self.remove(place);
            return;
        }
        self.hub.metrics.connections.increment(1.0);
        self.watch(place, heard_by);
        self.list(place);
        if self.draining {
            self.close(place, CloseCode::Draining, now);
        }
    }

    /// Looks at a connection's time limits no later than a tick after the deadline.
    pub(crate) fn watch(&mut self, place: ConnectionRef, deadline: Instant) {
        let slot = &mut self.slots[place.slot as usize];
        if let Some(connection) = slot.connection.as_mut().filter(|_| slot.generation == place.generation) {
            self.wheel.insert(place, deadline, &mut connection.looked_at);
        }
    }

    pub(super) fn look_at_limits(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.wheel.due(now, &mut due);
        let slow_time_limit = self.hub.config.slow_time_limit;
        for (tick, place) in due {
            let Some(connection) = self.connection_mut(place) else { continue };
            if connection.looked_at != tick {
                continue;
            }
            connection.looked_at = 0;
            let slow_by = connection.blocked_since.map(|since| since + slow_time_limit);
            let closing = connection.phase == Phase::Closing;
            if now >= connection.heard_by {
                match (closing, &connection.session) {
                    (true, _) => self.drop_connection(place),
                    (false, Some(_)) => self.close(place, CloseCode::Idle, now),
                    (false, None) => self.close(place, CloseCode::AuthTimeout, now),
                }
            } else if !closing && slow_by.is_some_and(|slow_by| now >= slow_by) {
                self.close(place, CloseCode::SlowConsumer, now);
            } else {
                let next = connection.heard_by.min(slow_by.unwrap_or(connection.heard_by));
                self.watch(place, next);
            }
        }
    }

    pub(super) fn hung_up(&mut self, place: ConnectionRef) {
        if let Some(connection) = self.connection_mut(place) {
            connection.hung_up = true;
        }
    }

    /// Something that was waited for is done: what waited behind it goes on.
    pub(crate) fn settle(&mut self, place: ConnectionRef, now: Instant) {
        let draining = self.draining;
        let Some(connection) = self.connection_mut(place) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        if connection.is_settled() {
            if connection.ended && connection.queue.is_none() {
                return self.finish(place, None, now);
            }
            if draining {
                return self.close(place, CloseCode::Draining, now);
            }
        }
        if std::mem::take(&mut connection.stalled) {
            self.list(place);
        }
    }

    /// Ends a connection, telling the client why.
    pub(crate) fn close(&mut self, place: ConnectionRef, code: CloseCode, now: Instant) {
        let Some(connection) = self.connection(place) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        self.hub.metrics.closed(code);
        let farewell = connection.dialect().farewell(code);
        self.finish(place, farewell, now);
    }

    /// Ends a connection after what waits for it and these last bytes.
    pub(crate) fn finish(&mut self, place: ConnectionRef, last: Option<Bytes>, now: Instant) {
        self.retire(place);
        let Some(connection) = self.connection_mut(place) else { return };
        connection.phase = Phase::Closing;
        connection.heard_by = now + LINGER;
        connection.input = Vec::new();
        connection.fragments = None;
        if let Some(last) = last {
            connection.queue.get_or_insert_default().push_rest(last);
        }
        self.watch(place, now + LINGER);
        self.write(place, now);
    }

    /// Everything has left: closes this side, and the whole when the other side is closed too.
    pub(super) fn part(&mut self, place: ConnectionRef) {
        let Some(connection) = self.connection_mut(place) else { return };
        if connection.ended || connection.stream.shutdown(Shutdown::Write).is_err() {
            return self.drop_connection(place);
        }
        self.list(place);
    }

    /// Forgets a connection at once.
    pub(super) fn drop_connection(&mut self, place: ConnectionRef) {
        self.retire(place);
        if self.remove(place).is_some() {
            self.hub.metrics.connections.decrement(1.0);
        }
    }

    /// Takes a connection out of its rooms and out of the directory.
    fn retire(&mut self, place: ConnectionRef) {
        let Some(session) = self.connection_mut(place).and_then(|connection| connection.session.take())
        else {
            return;
        };
        let own_rooms = session.own_rooms.into_iter().flat_map(|own_rooms| own_rooms.into_memberships());
        self.give_up_memberships(session.rooms.into_iter().chain(own_rooms));
        self.hub.session_ended();
        self.hub.metrics.sessions.decrement(1.0);
        self.gone.push(Unregistration {
            server: self.hub.server.clone(),
            number: self.hub.next_number(),
            connection: session.connection,
            user: session.user,
            key: session.key,
        });
    }

    /// A connection was allotted its id, but has gone in the meantime.
    pub(crate) fn never_came(&mut self, connected: contracts::logic::Connected) {
        self.gone.push(Unregistration {
            server: self.hub.server.clone(),
            number: self.hub.next_number(),
            connection: connected.connection,
            user: connected.user,
            key: connected.key,
        });
    }

    /// Those that have gone and were not announced yet.
    pub(super) fn take_gone(&mut self) -> Vec<Unregistration> {
        std::mem::take(&mut self.gone)
    }

    /// Tells logic of all that have gone in this turn.
    pub(super) fn announce_gone(&mut self) {
        let (gone, logic) = (self.take_gone(), self.calls().logic);
        if gone.is_empty() {
            return;
        }
        self.later(async move { logic.disconnect(gone).await }, |_, outcome| {
            if let Err(error) = outcome {
                tracing::warn!(target: "proxy", %error, "connections that went could not be announced");
            }
        });
    }

    /// The proxy goes away: clients are asked to come back, and closed when what they asked is answered.
    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        for place in self.places() {
            let Some(connection) = self.connection(place) else { continue };
            let after_ms = rand::random_range(100..RECONNECT_SPREAD_MS);
            let reconnect = client::Reconnect { after_ms, url: None };
            if connection.session.is_some()
                && let Some(bytes) = connection.dialect().event(Event::Reconnect(reconnect))
            {
                self.send(place, bytes, Class::Reply);
            }
            self.settle(place, now);
        }
    }

    /// Closes everything that is left; the last bytes leave if the sockets take them at once.
    pub(super) fn close_all(&mut self, now: Instant) {
        for place in self.places() {
            self.close(place, CloseCode::Draining, now);
            self.drop_connection(place);
        }
    }
}
