//! What comes from push and logic: to single connections, to rooms, to everybody.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contracts::proxy::{BroadcastDelivery, Delivery, Kick, Payload, Receiver, RoomDelivery};

use super::Shard;
use super::write::Sent;
use crate::connection::{ConnectionRef, Phase};
use crate::hub::Command;
use crate::inbox::{Decision, HOLE_WAIT, Inbox};
use crate::metrics::Drop;
use crate::room::Rows;
use crate::send_queue::Class;
use crate::transport::{EncodedPayload, EncodedRoom, RoomBytes};

/// Connections that a broadcast reaches before others have their turn.
const BROADCAST_AT_ONCE: usize = 1_000;
/// How often a broadcast with a speed goes on.
const BROADCAST_STEP: Duration = Duration::from_millis(50);

impl Shard {
    pub(super) fn carry_out(&mut self, command: Command, now: Instant) {
        match command {
            Command::Deliver(deliveries) => {
                for delivery in &deliveries {
                    self.deliver(delivery);
                }
            }
            Command::DeliverToRooms(deliveries) => {
                for delivery in deliveries.iter() {
                    self.take_for_room(delivery, now);
                }
            }
            Command::Broadcast(delivery) => self.broadcast(delivery),
            Command::Kick(kicks) => {
                for kick in kicks {
                    self.kick(kick, now);
                }
            }
            Command::SetMemberships(changes, answer) => self.set_memberships(changes, answer, now),
            Command::Drain | Command::Stop => {}
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let mut encoded = EncodedPayload::new(&delivery.payload, self.hub.config.chat_operation);
        for receiver in &delivery.receivers {
            self.deliver_to(*receiver, &delivery.payload, &mut encoded);
        }
    }

    fn deliver_to(&mut self, receiver: Receiver, payload: &Payload, encoded: &mut EncodedPayload<'_>) {
        let queue_bytes_max = self.hub.config.send_queue_bytes_max;
        let (_, place) = ConnectionRef::of_handle(receiver.handle);
        let Some(connection) = self.connection_mut(place) else {
            return self.hub.metrics.dropped(Drop::Gone, 1);
        };
        let phase = connection.phase;
        let full = connection.blocked_since.is_some() && connection.queued_bytes() >= queue_bytes_max;
        let session = connection.session.as_mut().filter(|session| session.connection == receiver.connection);
        let Some(session) = session else {
            // Before its session is there, a connection's inbox was not looked at: nothing stored is lost.
            return self.hub.metrics.dropped(Drop::Gone, 1);
        };
        let dialect = session.dialect;
        match payload {
            Payload::Stored(_) => match session.inbox.pushed(receiver.inbox_seq) {
                Decision::Skip => {}
                Decision::Fetch => {
                    self.hub.metrics.fell_behind.increment(1);
                    self.catch_up(place);
                }
                Decision::Hold => {
                    let bytes = encoded.for_receiver(dialect, receiver.inbox_seq);
                    if session.inbox.hold(receiver.inbox_seq, bytes, Instant::now()) {
                        self.wait_for_hole(place, HOLE_WAIT);
                    }
                }
                Decision::Send => {
                    let bytes = encoded.for_receiver(dialect, receiver.inbox_seq);
                    self.send_stored(place, receiver.inbox_seq, bytes);
                    self.send_held(place);
                }
            },
            Payload::Operation { .. } | Payload::Event(_) => {
                let wanted = match payload {
                    Payload::Operation { operation, .. } => session.accepts(*operation),
                    _ => !dialect.is_goim(),
                };
                if wanted && phase == Phase::Open {
                    // Nothing is encoded for a queue that has no room anyway.
                    if full {
                        return self.count(false, 1);
                    }
                    let bytes = encoded.for_receiver(dialect, 0);
                    let sent = self.send(place, bytes, Class::Push);
                    self.count(sent == Sent::Taken, 1);
                }
            }
        }
    }

    /// Sends the stored message that is next in order.
    fn send_stored(&mut self, place: ConnectionRef, inbox_seq: u64, bytes: Bytes) {
        let sent = self.send(place, bytes, Class::Stored);
        let Some(inbox) = self.inbox_mut(place) else { return };
        if sent == Sent::Taken {
            inbox.sent_one();
            self.hub.metrics.pushed.increment(1);
        } else {
            inbox.fall_behind(inbox_seq);
            self.hub.metrics.fell_behind.increment(1);
        }
    }

    /// Sends what was held above a hole that has been filled.
    pub(crate) fn send_held(&mut self, place: ConnectionRef) {
        while let Some((inbox_seq, bytes)) = self.inbox_mut(place).and_then(Inbox::next_held) {
            self.send_stored(place, inbox_seq, bytes);
        }
    }

    fn wait_for_hole(&mut self, place: ConnectionRef, wait: Duration) {
        self.later(tokio::time::sleep(wait), move |shard, ()| {
            let Some(inbox) = shard.inbox_mut(place) else { return };
            match inbox.give_up_hole(Instant::now()) {
                Some(wait) => shard.wait_for_hole(place, wait),
                None if inbox.is_behind() => {
                    shard.hub.metrics.fell_behind.increment(1);
                    shard.catch_up(place);
                }
                None => {}
            }
        });
    }

    fn count(&self, taken: bool, count: u64) {
        if taken {
            self.hub.metrics.pushed.increment(count);
        } else {
            self.hub.metrics.dropped(Drop::QueueFull, count);
        }
    }

    fn take_for_room(&mut self, delivery: &RoomDelivery, now: Instant) {
        let Some(index) = self.rooms.index(&delivery.room) else { return };
        if !self.rooms.take(index, delivery.payload.clone(), now) {
            let count = self.rooms.get(index).map_or(0, |room| room.members.len() as u64);
            self.hub.metrics.dropped(Drop::RoomFull, count);
        }
    }

    pub(super) fn pass_due_rooms(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.rooms.take_due(now, &mut due);
        for index in due {
            self.pass(index);
        }
    }

    /// Writes all that waits in a room to all of its members.
    fn pass(&mut self, index: u32) {
        let chat_operation = self.hub.config.chat_operation;
        let began = Instant::now();
        let Some(room) = self.rooms.get_mut(index) else { return };
        let payloads = room.take_pending();
        let (id, member_count, last_joined) = (room.id.clone(), room.members.len(), room.last_joined);
        let rows = Rows::of(&payloads).filter(|_| id.is_own());
        // Rows are older than a member only where somebody has just come.
        let older = rows.as_ref().filter(|rows| rows.first <= last_joined);
        let mut encoded = EncodedRoom::new(&id, &payloads, chat_operation);
        let (mut taken_count, mut dropped_count) = (0, 0);
        // Downwards: a member that breaks is replaced by one that was already served.
        for position in (0..member_count).rev() {
            let slot = self.rooms.get(index).and_then(|room| room.members.get(position)).copied();
            let Some(slot) = slot else { continue };
            let Some(connection) = self.slots[slot as usize].connection.as_mut() else { continue };
            if connection.phase != Phase::Open {
                if let Some(rows) = &rows {
                    connection.pass_over(rows);
                }
                continue;
            }
            let dialect = connection.dialect();
            let joined = older.and_then(|rows| connection.joined_above(rows));
            let RoomBytes { bytes, count } = match joined {
                Some(joined) => encoded.above(dialect, joined),
                None => encoded.whole(dialect),
            };
            if bytes.is_empty() {
                continue;
            }
            match self.send_shared(slot, &bytes, began) {
                true => taken_count += count,
                false => dropped_count += count,
            }
        }
        self.hub.metrics.pushed.increment(taken_count);
        if dropped_count > 0 {
            self.hub.metrics.dropped(Drop::QueueFull, dropped_count);
        }
        let (ended, pacing) = (Instant::now(), self.rooms.pacing);
        if let Some(room) = self.rooms.get_mut(index) {
            room.passed(ended, ended - began, pacing);
        }
    }

    fn broadcast(&mut self, delivery: Arc<BroadcastDelivery>) {
        let (own, wake, alarm) = (Weak::clone(&self.own), Rc::clone(&self.wake), self.alarm());
        let shard_count = self.hub.shards.len().max(1) as u32;
        let (at_once, pause) = match delivery.speed.div_ceil(shard_count) {
            0 => (BROADCAST_AT_ONCE, None),
            speed => {
                let steps_a_second = 1_000 / BROADCAST_STEP.as_millis() as u32;
                if speed >= steps_a_second {
                    ((speed / steps_a_second) as usize, Some(BROADCAST_STEP))
                } else {
                    (1, Some(Duration::from_secs(1) / speed))
                }
            }
        };
        tokio::task::spawn_local(async move {
            let _alarm = alarm;
            let mut next_slot = 0;
            loop {
                let Some(shard) = own.upgrade() else { return };
                let next = shard.borrow_mut().broadcast_part(&delivery, next_slot, at_once);
                drop(shard);
                wake.notify_one();
                let Some(next) = next else { return };
                next_slot = next;
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => tokio::task::yield_now().await,
                }
            }
        });
        self.wake.notify_one();
    }

    /// Hands a broadcast to at most so many connections from a slot on; answers where to go on.
    fn broadcast_part(
        &mut self,
        delivery: &BroadcastDelivery,
        first_slot: u32,
        at_once: usize,
    ) -> Option<u32> {
        let payload = Payload::Operation { operation: delivery.operation, body: delivery.body.clone() };
        let mut encoded = EncodedPayload::new(&payload, self.hub.config.chat_operation);
        let mut reached_count = 0;
        for slot in first_slot..self.slots.len() as u32 {
            if reached_count == at_once {
                return Some(slot);
            }
            let Some(connection) = self.slots[slot as usize].connection.as_ref() else { continue };
            let session = connection.session.as_ref().filter(|_| connection.phase == Phase::Open);
            if !session.is_some_and(|session| session.accepts(delivery.operation)) {
                continue;
            }
            reached_count += 1;
            let bytes = encoded.for_receiver(connection.dialect(), 0);
            let taken = self.send_shared(slot, &bytes, Instant::now());
            self.count(taken, 1);
        }
        None
    }

    fn kick(&mut self, kick: Kick, now: Instant) {
        let (_, place) = ConnectionRef::of_handle(kick.handle);
        let Some(connection) = self.connection_mut(place) else { return };
        match &connection.session {
            Some(session) if session.connection == kick.connection => self.close(place, kick.code, now),
            Some(_) => {}
            None => {
                connection.early.get_or_insert_default().kick = Some((kick.connection, kick.code));
            }
        }
    }
}
