//! Joining and leaving rooms.
//!
//! The first member of a room in this proxy waits until the router knows that the proxy has the room, so that
//! whoever was told "you are in" misses no push. Those who come meanwhile wait for the same answer.

use std::sync::Arc;

use contracts::Result;
use protocol::RoomId;

use super::Shard;
use crate::connection::{ConnectionRef, Membership};
use crate::hub::RoomEntry;

impl Shard {
    /// Puts a connection into rooms; `then` is called when pushes to all of them reach it. Where the router
    /// cannot be told, it is in none of the new ones.
    pub(crate) fn enter_rooms(
        &mut self,
        place: ConnectionRef,
        rooms: &[RoomId],
        then: impl FnOnce(&mut Shard, Result<()>) + 'static,
    ) {
        let mut entered: Vec<(RoomId, Arc<RoomEntry>)> = Vec::new();
        for room in rooms {
            if self.is_member(place, room) || self.connection(place).is_none() {
                continue;
            }
            let entry = self.hub.enter_room(room);
            let membership = self.rooms.join(room, &entry, place.slot);
            let session = self.connection_mut(place).and_then(|connection| connection.session.as_mut());
            match session {
                Some(session) => session.rooms.push(membership),
                None => self.give_up_membership(membership),
            }
            entered.push((room.clone(), entry));
        }
        if entered.iter().all(|(_, entry)| entry.entered.initialized()) {
            return then(self, Ok(()));
        }
        let (logic, hub) = (self.calls().logic, Arc::clone(&self.hub));
        let work = async move {
            let mut outcome = Ok(());
            for (room, entry) in &entered {
                let announced = entry.entered.get_or_try_init(|| async {
                    match hub.number_to_enter(room, entry) {
                        Some(number) => logic.enter_rooms(&hub.server, number, vec![room.clone()]).await,
                        None => Ok(()),
                    }
                });
                if let Err(error) = announced.await {
                    outcome = Err(error);
                }
            }
            (entered, outcome)
        };
        self.later(work, move |shard, (entered, outcome)| {
            if outcome.is_err() {
                for (room, _) in &entered {
                    shard.leave_room(place, room);
                }
            }
            then(shard, outcome);
        });
    }

    /// Tells whether a connection is in a room.
    pub(crate) fn is_member(&self, place: ConnectionRef, room: &RoomId) -> bool {
        self.membership(place, room).is_some()
    }

    fn membership(&self, place: ConnectionRef, room: &RoomId) -> Option<Membership> {
        let index = self.rooms.index(room)?;
        let session = self.connection(place)?.session.as_ref()?;
        session.rooms.iter().find(|membership| membership.room == index).copied()
    }

    /// Takes a connection out of a room; nothing happens where it is not in it.
    pub(crate) fn leave_room(&mut self, place: ConnectionRef, room: &RoomId) {
        let Some(membership) = self.membership(place, room) else { return };
        if let Some(session) = self.connection_mut(place).and_then(|connection| connection.session.as_mut()) {
            session.rooms.retain(|other| other.room != membership.room);
        }
        self.give_up_membership(membership);
    }

    /// Takes a connection out of all rooms.
    pub(crate) fn leave_all_rooms(&mut self, place: ConnectionRef) {
        let session = self.connection_mut(place).and_then(|connection| connection.session.as_mut());
        let Some(session) = session else { return };
        for membership in std::mem::take(&mut session.rooms) {
            self.give_up_membership(membership);
        }
    }

    pub(super) fn give_up_membership(&mut self, membership: Membership) {
        let Some(room) = self.rooms.get(membership.room) else { return };
        let (id, entry) = (room.id.clone(), Arc::clone(&room.entry));
        if let Some(moved) = self.rooms.leave(membership) {
            let session =
                self.slots[moved as usize].connection.as_mut().and_then(|moved| moved.session.as_mut());
            let places = session.into_iter().flat_map(|session| session.rooms.iter_mut());
            for other in places.filter(|other| other.room == membership.room) {
                other.position = membership.position;
            }
        }
        if let Some(number) = self.hub.leave_room(&id, &entry) {
            let (logic, hub) = (self.calls().logic, Arc::clone(&self.hub));
            let left = async move { logic.leave_rooms(&hub.server, number, vec![id]).await };
            self.later(left, |_, outcome| {
                if let Err(error) = outcome {
                    tracing::warn!(target: "proxy", %error, "a room that was left could not be announced");
                }
            });
        }
    }
}
