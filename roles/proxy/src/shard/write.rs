//! From queues to sockets: everything that waits for a connection leaves in one write.

use std::io::{ErrorKind, Write};
use std::time::Instant;

use bytes::{Buf, Bytes};

use super::Shard;
use crate::connection::{Connection, ConnectionRef, Phase};
use crate::send_queue::Class;

/// What became of bytes that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Taken,
    NoRoom,
    Gone,
}

/// What became of a write.
enum Written {
    /// All of it has left.
    All,
    /// The socket takes no more for the moment.
    Blocked,
    /// The connection is broken.
    Broken,
}

impl Shard {
    /// Puts bytes into a connection's queue; they leave at the end of the turn.
    pub(crate) fn send(&mut self, place: ConnectionRef, bytes: Bytes, class: Class) -> Sent {
        let queue_bytes_max = self.hub.config.send_queue_bytes_max;
        let Some(connection) = self.open_to_send(place) else { return Sent::Gone };
        let queue = connection.queue.get_or_insert_default();
        if queue.push(bytes.clone(), class, queue_bytes_max) {
            self.mark_dirty(place);
            return Sent::Taken;
        }
        // What waits may only not have been written yet in this turn.
        if connection.blocked_since.is_none() {
            self.write(place, Instant::now());
            let Some(connection) = self.open_to_send(place) else { return Sent::Gone };
            if connection.queue.get_or_insert_default().push(bytes, class, queue_bytes_max) {
                self.mark_dirty(place);
                return Sent::Taken;
            }
        }
        Sent::NoRoom
    }

    /// The connection, unless it is on its way out.
    fn open_to_send(&mut self, place: ConnectionRef) -> Option<&mut Connection> {
        self.connection_mut(place).filter(|connection| connection.phase != Phase::Closing)
    }

    /// Sends bytes that are shared by many, at once where nothing waits. Answers false where there was no room.
    pub(super) fn send_shared(&mut self, slot: u32, bytes: &Bytes, now: Instant) -> bool {
        let place = self.place(slot);
        let Some(connection) = self.open_to_send(place) else { return false };
        if connection.queue.is_some() {
            return self.send(place, bytes.clone(), Class::Push) == Sent::Taken;
        }
        match connection.stream.write(bytes) {
            Ok(written_bytes) if written_bytes == bytes.len() => true,
            Ok(written_bytes) => {
                let mut rest = bytes.clone();
                rest.advance(written_bytes);
                connection.queue.get_or_insert_default().push_rest(rest);
                self.blocked(place, now);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                connection.queue.get_or_insert_default().push_rest(bytes.clone());
                self.blocked(place, now);
                true
            }
            Err(_) => {
                self.drop_connection(place);
                false
            }
        }
    }

    pub(super) fn mark_dirty(&mut self, place: ConnectionRef) {
        if let Some(connection) = self.connection_mut(place)
            && connection.queue.is_some()
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(place);
        }
    }

    pub(super) fn write_dirty(&mut self, now: Instant) {
        // Writing may make a connection dirty again (it was caught up with, and is told so), so the list is taken
        // whole; what is in the list afterwards makes the next turn come at once.
        let mut dirty = std::mem::take(&mut self.dirty);
        for place in dirty.drain(..) {
            if let Some(connection) = self.connection_mut(place) {
                connection.dirty = false;
                self.write(place, now);
            }
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Writes what waits for a connection.
    pub(super) fn write(&mut self, place: ConnectionRef, now: Instant) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let written = self.connection_mut(place).map(|connection| write_queue(connection, &mut scratch, now));
        self.scratch = scratch;
        match written {
            Some(Written::All) => self.written(place, now),
            Some(Written::Blocked) => self.blocked(place, now),
            Some(Written::Broken) => self.drop_connection(place),
            None => {}
        }
    }

    /// The socket takes no more: a time limit runs until it does.
    fn blocked(&mut self, place: ConnectionRef, now: Instant) {
        let limit = self.hub.config.slow_time_limit;
        let Some(connection) = self.connection_mut(place) else { return };
        if connection.blocked_since.is_none() {
            connection.blocked_since = Some(now);
            self.watch(place, now + limit);
        }
    }

    /// All that waited has left.
    fn written(&mut self, place: ConnectionRef, now: Instant) {
        let Some(connection) = self.connection_mut(place) else { return };
        connection.blocked_since = None;
        if connection.phase == Phase::Closing {
            return self.part(place);
        }
        self.settle(place, now);
        self.catch_up(place);
        self.note_goim_position(place);
    }
}

fn write_queue(connection: &mut Connection, scratch: &mut Vec<u8>, now: Instant) -> Written {
    let Some(queue) = &mut connection.queue else { return Written::All };
    while !queue.is_empty() {
        match connection.stream.write(queue.next(scratch)) {
            Ok(0) => return Written::Broken,
            Ok(written_bytes) => {
                queue.advance(written_bytes);
                if let Some(blocked_since) = &mut connection.blocked_since {
                    *blocked_since = now;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Written::Blocked,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Written::Broken,
        }
    }
    connection.queue = None;
    Written::All
}
