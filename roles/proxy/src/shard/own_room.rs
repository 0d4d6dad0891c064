//! The server's own rooms: who is in a super group, and who watches whom.
//!
//! Where the router could not be told of a room, its members stay in it: whoever commanded it says it again, and
//! whoever enters next announces it.

use std::sync::Arc;
use std::time::Instant;

use contracts::Result;
use contracts::proxy::MembershipChange;
use protocol::client::GroupTop;
use protocol::code::CloseCode;
use protocol::{ConversationId, GroupId, RoomId, UserId};
use tokio::sync::oneshot;

use super::Shard;
use crate::announce::Entered;
use crate::connection::{ConnectionRef, EARLY_CHANGES_MAX, Phase};
use crate::own_rooms::OwnRooms;

impl Shard {
    /// Carries out commands, and answers when the router knows the rooms that were entered.
    pub(super) fn set_memberships(
        &mut self,
        changes: Vec<MembershipChange>,
        answer: oneshot::Sender<Result<()>>,
        now: Instant,
    ) {
        let mut entered: Vec<Entered> = Vec::new();
        for change in changes {
            entered.extend(self.set_membership(change, now));
        }
        // Commands for many members of one group come one behind the other.
        entered.dedup_by(|(_, entry), (_, before)| Arc::ptr_eq(entry, before));
        self.announce(entered, |_, _, outcome| {
            // Who has commanded it may have gone, and says it again then.
            let _ = answer.send(outcome);
        });
    }

    fn set_membership(&mut self, change: MembershipChange, now: Instant) -> Option<Entered> {
        let (_, place) = ConnectionRef::of_handle(change.handle);
        let connection = self.connection_mut(place)?;
        match &connection.session {
            Some(session) if session.connection == change.connection => {
                self.change_membership(place, &change.group, change.version, change.member)
            }
            None if connection.phase == Phase::Authenticating => {
                let early = connection.early.get_or_insert_default();
                early.changes.push(change);
                if early.changes.len() > EARLY_CHANGES_MAX {
                    self.close(place, CloseCode::Internal, now);
                }
                None
            }
            _ => None,
        }
    }

    /// Puts a connection into the room of a super group, or takes it out, unless it knows better. Answers the room
    /// where it is in it, to be announced.
    pub(crate) fn change_membership(
        &mut self,
        place: ConnectionRef,
        group: &GroupId,
        version: u64,
        member: bool,
    ) -> Option<Entered> {
        let session = self.session_mut(place)?;
        let conversation = ConversationId::group(group);
        if !session.own_rooms.get_or_insert_default().take(&conversation, version, member) {
            return None;
        }
        let room = RoomId::of_group(group);
        if !member {
            self.leave_own_rooms(place, [room]);
            return None;
        }
        let entered = self.enter_own_room(place, &room);
        if let Some(room) = self.rooms.index(&room).and_then(|index| self.rooms.get_mut(index)) {
            room.last_joined = room.last_joined.max(version);
        }
        entered
    }

    /// Puts a connection into the rooms of users that it watches; answers the rooms, to be announced.
    pub(crate) fn watch_users(&mut self, place: ConnectionRef, users: &[UserId]) -> Vec<Entered> {
        let mut entered = Vec::new();
        for user in users {
            let Some(session) = self.session_mut(place) else { break };
            session.own_rooms.get_or_insert_default().watched.insert(user.clone());
            entered.extend(self.enter_own_room(place, &RoomId::of_watchers(user)));
        }
        entered
    }

    /// Takes a connection out of the rooms of users that it watches; others are passed over.
    pub(crate) fn unwatch_users(&mut self, place: ConnectionRef, users: &[UserId]) {
        let Some(own_rooms) = self.own_rooms_mut(place) else { return };
        let users = users.iter().filter(|user| own_rooms.watched.remove(*user));
        let rooms: Vec<RoomId> = users.map(RoomId::of_watchers).collect();
        if own_rooms.watched.is_empty() {
            own_rooms.watched.shrink_to_fit();
        }
        self.leave_own_rooms(place, rooms);
    }

    /// The server's own rooms that a connection is in, where there are any.
    pub(crate) fn own_rooms_mut(&mut self, place: ConnectionRef) -> Option<&mut OwnRooms> {
        self.session_mut(place)?.own_rooms.as_deref_mut()
    }

    /// The client is about to be told the tops of its super groups for the first time.
    pub(crate) fn greet(&mut self, place: ConnectionRef, tops: &mut [GroupTop]) {
        if let Some(own_rooms) = self.own_rooms_mut(place) {
            own_rooms.greet(tops);
        }
    }

    fn enter_own_room(&mut self, place: ConnectionRef, room: &RoomId) -> Option<Entered> {
        if let Some(index) = self.rooms.index(room)
            && self.own_rooms_mut(place)?.is_member(index)
        {
            return self.rooms.get(index).map(|entered| (room.clone(), Arc::clone(&entered.entry)));
        }
        let (membership, entered) = self.add_member(place, room)?;
        self.session_mut(place)?.own_rooms.get_or_insert_default().put(membership);
        Some(entered)
    }

    fn leave_own_rooms(&mut self, place: ConnectionRef, rooms: impl IntoIterator<Item = RoomId>) {
        let indexes: Vec<u32> = rooms.into_iter().filter_map(|room| self.rooms.index(&room)).collect();
        let Some(session) = self.session_mut(place) else { return };
        let Some(own_rooms) = &mut session.own_rooms else { return };
        let left: Vec<_> = indexes.into_iter().filter_map(|index| own_rooms.remove(index)).collect();
        if own_rooms.is_empty() {
            session.own_rooms = None;
        }
        self.give_up_memberships(left);
    }
}
