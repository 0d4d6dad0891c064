//! Joining and leaving rooms.
//!
//! The first member of a room in this proxy waits until the router knows that the proxy has the room, so that
//! whoever was told "you are in" misses no push. Those who come meanwhile wait for the same answer.

use std::sync::Arc;

use contracts::Result;
use protocol::RoomId;

use super::Shard;
use crate::announce::{self, Entered};
use crate::connection::{ConnectionRef, Membership, Session};

impl Shard {
    /// Puts a connection into rooms that its client has named; `then` is called when pushes to all of them reach it.
    /// Where the router cannot be told, it is in none of the new ones.
    pub(crate) fn enter_rooms(
        &mut self,
        place: ConnectionRef,
        rooms: &[RoomId],
        then: impl FnOnce(&mut Shard, Result<()>) + 'static,
    ) {
        let mut entered: Vec<Entered> = Vec::new();
        for room in rooms {
            if self.is_member(place, room) {
                continue;
            }
            let Some((membership, member)) = self.add_member(place, room) else { break };
            if let Some(session) = self.session_mut(place) {
                session.rooms.push(membership);
            }
            entered.push(member);
        }
        self.announce(entered, move |shard, entered, outcome| {
            if outcome.is_err() {
                for (room, _) in &entered {
                    shard.leave_room(place, room);
                }
            }
            then(shard, outcome);
        });
    }

    /// Makes a connection that has a session a member of a room; the caller notes it in the session and announces it.
    pub(super) fn add_member(
        &mut self,
        place: ConnectionRef,
        room: &RoomId,
    ) -> Option<(Membership, Entered)> {
        self.connection(place)?.session.as_ref()?;
        let entry = self.hub.enter_room(room);
        let membership = self.rooms.join(room, &entry, place.slot);
        Some((membership, (room.clone(), entry)))
    }

    /// Calls `then` when the router knows the rooms, with what it made of them: at once where it knows them already.
    pub(crate) fn announce(
        &mut self,
        entered: Vec<Entered>,
        then: impl FnOnce(&mut Shard, Vec<Entered>, Result<()>) + 'static,
    ) {
        if entered.iter().all(|(_, entry)| entry.announced.is_known()) {
            return then(self, entered, Ok(()));
        }
        let (logic, hub) = (self.calls().logic, Arc::clone(&self.hub));
        let work = async move {
            let outcome = announce::announce(&hub, &*logic, &entered).await;
            (entered, outcome)
        };
        self.later(work, move |shard, (entered, outcome)| then(shard, entered, outcome));
    }

    /// Tells whether a connection is in a room that its client has named.
    pub(crate) fn is_member(&self, place: ConnectionRef, room: &RoomId) -> bool {
        self.membership(place, room).is_some()
    }

    fn membership(&self, place: ConnectionRef, room: &RoomId) -> Option<Membership> {
        let index = self.rooms.index(room)?;
        let session = self.connection(place)?.session.as_ref()?;
        session.rooms.iter().find(|membership| membership.room == index).copied()
    }

    /// Takes a connection out of a room that its client has named; nothing happens where it is not in it.
    pub(crate) fn leave_room(&mut self, place: ConnectionRef, room: &RoomId) {
        let Some(membership) = self.membership(place, room) else { return };
        if let Some(session) = self.session_mut(place) {
            session.rooms.retain(|other| other.room != membership.room);
        }
        self.give_up_memberships([membership]);
    }

    /// Takes a connection out of all rooms that its client has named.
    pub(crate) fn leave_all_rooms(&mut self, place: ConnectionRef) {
        let Some(session) = self.session_mut(place) else { return };
        let memberships = std::mem::take(&mut session.rooms);
        self.give_up_memberships(memberships);
    }

    /// Takes a connection's memberships away, which its session has let go of.
    pub(super) fn give_up_memberships(&mut self, memberships: impl IntoIterator<Item = Membership>) {
        let mut left: Vec<Entered> = Vec::new();
        for membership in memberships {
            let Some(room) = self.rooms.get(membership.room) else { continue };
            let (id, entry) = (room.id.clone(), Arc::clone(&room.entry));
            if let Some(moved) = self.rooms.leave(membership) {
                self.move_member(moved, membership, id.is_own());
            }
            left.push((id, entry));
        }
        let Some((number, emptied)) = self.hub.leave_rooms(&left) else { return };
        let (logic, hub) = (self.calls().logic, Arc::clone(&self.hub));
        let work = async move { logic.leave_rooms(&hub.server, number, emptied).await };
        self.later(work, |_, outcome| {
            if let Err(error) = outcome {
                tracing::warn!(target: "proxy", %error, "rooms that were left could not be announced");
            }
        });
    }

    /// Another member has taken the place of one that has left.
    fn move_member(&mut self, slot: u32, place: Membership, own: bool) {
        let connection = self.slots[slot as usize].connection.as_mut();
        let Some(session) = connection.and_then(|connection| connection.session.as_mut()) else { return };
        if own {
            if let Some(own_rooms) = &mut session.own_rooms {
                own_rooms.put(place);
            }
            return;
        }
        for other in session.rooms.iter_mut().filter(|other| other.room == place.room) {
            other.position = place.position;
        }
    }

    /// The session of the connection in a place.
    pub(crate) fn session_mut(&mut self, place: ConnectionRef) -> Option<&mut Session> {
        self.connection_mut(place)?.session.as_deref_mut()
    }
}
