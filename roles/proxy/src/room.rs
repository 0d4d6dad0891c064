//! The rooms of one shard: who is in them, and when their messages leave.
//!
//! Members are a dense array, and each member knows its place, so that join and leave cost the same whatever
//! the room's size. A room's messages leave at once when it is idle. After a pass that cost `c` the next one
//! starts no sooner than `c × (1/share − 1)`, and no later than `budget` after the first message waits: what
//! came in between leaves in one write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::proxy::RoomPayload;
use foldhash::HashMap;
use protocol::{ConversationId, RoomId};

use crate::connection::Membership;
use crate::hub::RoomEntry;

/// Messages that may wait in one room of one shard; more are dropped and counted.
const PENDING_MAX: usize = 4_096;
/// Bytes of the messages that may wait in one room of one shard; where none waits, one of any size is taken.
const PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One room's part in a shard.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    /// Shared with the other shards: the count over all of them.
    pub(crate) entry: Arc<RoomEntry>,
    /// The slots of the members.
    pub(crate) members: Vec<u32>,
    /// In the room of a super group: the highest seq with which a member here came in. Rows up to it are not for all.
    pub(crate) last_joined: u64,
    pending: Vec<RoomPayload>,
    pending_bytes: usize,
    first_waits_since: Option<Instant>,
    next_pass: Option<Instant>,
}

/// How much of a core a busy room may cost, and how long its messages may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pacing {
    pub(crate) share: f64,
    pub(crate) budget: Duration,
}

impl Room {
    /// Takes a message; false where too many wait.
    pub(crate) fn take(&mut self, payload: RoomPayload, now: Instant) -> bool {
        let bytes = payload_bytes(&payload);
        let too_big = !self.pending.is_empty() && self.pending_bytes + bytes > PENDING_BYTES_MAX;
        if too_big || self.pending.len() >= PENDING_MAX {
            return false;
        }
        self.pending_bytes += bytes;
        self.first_waits_since.get_or_insert(now);
        self.pending.push(payload);
        true
    }

    /// Takes out what waits.
    pub(crate) fn take_pending(&mut self) -> Vec<RoomPayload> {
        self.pending_bytes = 0;
        std::mem::take(&mut self.pending)
    }

    /// When the next pass is due.
    fn due(&self, pacing: Pacing) -> Option<Instant> {
        let latest = self.first_waits_since? + pacing.budget;
        self.next_pass.map(|next_pass| next_pass.min(latest)).or(self.first_waits_since)
    }

    /// A pass began and took this long.
    pub(crate) fn passed(&mut self, ended: Instant, cost: Duration, pacing: Pacing) {
        self.first_waits_since = None;
        self.next_pass = Some(ended + cost.mul_f64((1.0 / pacing.share - 1.0).max(0.0)));
    }
}

/// The rows of a super group among the payloads that wait in its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) conversation: ConversationId,
    /// The lowest and the highest seq.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Rows {
    pub(crate) fn of(payloads: &[RoomPayload]) -> Option<Self> {
        let mut rows = payloads.iter().filter_map(|payload| match payload {
            RoomPayload::Row(row) => Some(row),
            _ => None,
        });
        let row = rows.next()?;
        let conversation = ConversationId::parse(&row.conversation)?;
        let found = Self { conversation, first: row.seq, last: row.seq };
        Some(rows.fold(found, |found, row| Self {
            first: found.first.min(row.seq),
            last: found.last.max(row.seq),
            ..found
        }))
    }
}

/// What a payload weighs in memory, about.
fn payload_bytes(payload: &RoomPayload) -> usize {
    match payload {
        RoomPayload::Operation { body, .. } => body.len(),
        RoomPayload::Message(message) => prost::Message::encoded_len(&**message),
        RoomPayload::Row(row) => prost::Message::encoded_len(&**row),
        RoomPayload::Event(event) => event.encoded_len(),
    }
}

/// All rooms of one shard.
#[derive(Debug)]
pub(crate) struct Rooms {
    by_id: HashMap<RoomId, u32>,
    rooms: Vec<Option<Room>>,
    free: Vec<u32>,
    /// Rooms in which messages wait.
    waiting: Vec<u32>,
    pub(crate) pacing: Pacing,
}

impl Rooms {
    pub(crate) fn new(pacing: Pacing) -> Self {
        Self { by_id: HashMap::default(), rooms: Vec::new(), free: Vec::new(), waiting: Vec::new(), pacing }
    }

    pub(crate) fn index(&self, room: &RoomId) -> Option<u32> {
        self.by_id.get(room).copied()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Room> {
        self.rooms.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Room> {
        self.rooms.get_mut(index as usize)?.as_mut()
    }

    /// Adds a member; the room is made where this is its first one here.
    pub(crate) fn join(&mut self, id: &RoomId, entry: &Arc<RoomEntry>, slot: u32) -> Membership {
        let index = match self.by_id.get(id) {
            Some(index) => *index,
            None => self.make(id, entry),
        };
        let room = self.rooms[index as usize].as_mut().expect("an index in by_id has its room");
        room.members.push(slot);
        Membership { room: index, position: room.members.len() as u32 - 1 }
    }

    fn make(&mut self, id: &RoomId, entry: &Arc<RoomEntry>) -> u32 {
        let room = Room {
            id: id.clone(),
            entry: Arc::clone(entry),
            members: Vec::new(),
            last_joined: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            first_waits_since: None,
            next_pass: None,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.rooms.push(None);
            self.rooms.len() as u32 - 1
        });
        self.rooms[index as usize] = Some(room);
        self.by_id.insert(id.clone(), index);
        index
    }

    /// Removes the member at a place. Answers the slot of the member that has taken the place, who must be told.
    pub(crate) fn leave(&mut self, membership: Membership) -> Option<u32> {
        let room = self.rooms[membership.room as usize].as_mut().expect("a membership has its room");
        room.members.swap_remove(membership.position as usize);
        let moved = room.members.get(membership.position as usize).copied();
        if room.members.is_empty() {
            self.by_id.remove(&room.id);
            self.rooms[membership.room as usize] = None;
            self.free.push(membership.room);
            self.waiting.retain(|index| *index != membership.room);
        }
        moved
    }

    /// A message for a room waits for its pass; false where it had to be dropped.
    pub(crate) fn take(&mut self, index: u32, payload: RoomPayload, now: Instant) -> bool {
        let Some(room) = self.get_mut(index) else { return true };
        let first = room.pending.is_empty();
        let taken = room.take(payload, now);
        if first && taken {
            self.waiting.push(index);
        }
        taken
    }

    /// Takes out the rooms whose pass is due.
    pub(crate) fn take_due(&mut self, now: Instant, due: &mut Vec<u32>) {
        let (rooms, pacing) = (&self.rooms, self.pacing);
        self.waiting.retain(|index| {
            let room = rooms[*index as usize].as_ref();
            let is_due = room.and_then(|room| room.due(pacing)).is_none_or(|at| at <= now);
            if is_due {
                due.push(*index);
            }
            !is_due
        });
    }

    /// When the next pass of any room is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|index| self.get(*index)?.due(self.pacing)).min()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::Identifier;

    use super::*;

    const PACING: Pacing = Pacing { share: 0.25, budget: Duration::from_millis(400) };

    fn message() -> RoomPayload {
        RoomPayload::Operation { operation: 1000, body: Bytes::new() }
    }

    fn room(rooms: &mut Rooms, slots: &[u32]) -> (RoomId, Vec<Membership>) {
        let id = RoomId::new("live://1").unwrap();
        let entry = Arc::new(RoomEntry::default());
        let memberships = slots.iter().map(|slot| rooms.join(&id, &entry, *slot)).collect();
        (id, memberships)
    }

    #[test]
    fn leaving_moves_the_last_member_into_the_place() {
        let mut rooms = Rooms::new(PACING);
        let (id, memberships) = room(&mut rooms, &[10, 11, 12]);
        assert_eq!(rooms.leave(memberships[0]), Some(12));
        let index = rooms.index(&id).unwrap();
        assert_eq!(rooms.get(index).unwrap().members, [12, 11]);
        assert_eq!(rooms.leave(memberships[1]), None);
        assert_eq!(rooms.leave(memberships[0]), None);
        assert_eq!(rooms.index(&id), None);
    }

    #[test]
    fn an_idle_room_waits_for_nothing_and_a_busy_one_by_its_cost() {
        let mut rooms = Rooms::new(PACING);
        let (id, _) = room(&mut rooms, &[1]);
        let index = rooms.index(&id).unwrap();
        let (start, mut due) = (Instant::now(), Vec::new());
        assert!(rooms.take(index, message(), start));
        rooms.take_due(start, &mut due);
        assert_eq!(due, [index]);
        let cost = Duration::from_millis(10);
        let room = rooms.get_mut(index).unwrap();
        room.take_pending();
        room.passed(start + cost, cost, PACING);
        // A quarter of a core: three times the cost is rested.
        rooms.take(index, message(), start + cost);
        assert_eq!(rooms.next_due(), Some(start + cost + 3 * cost));
        let room = rooms.get_mut(index).unwrap();
        room.take_pending();
        room.passed(start + cost, Duration::from_secs(5), PACING);
        rooms.waiting.clear();
        rooms.take(index, message(), start + cost);
        assert_eq!(rooms.next_due(), Some(start + cost + PACING.budget));
    }

    #[test]
    fn too_many_waiting_messages_are_refused() {
        let mut rooms = Rooms::new(PACING);
        let (id, _) = room(&mut rooms, &[1]);
        let index = rooms.index(&id).unwrap();
        let now = Instant::now();
        assert!((0..PENDING_MAX).all(|_| rooms.take(index, message(), now)));
        assert!(!rooms.take(index, message(), now));
    }

    #[test]
    fn waiting_messages_are_bounded_in_bytes_too() {
        let mut rooms = Rooms::new(PACING);
        let (id, _) = room(&mut rooms, &[1]);
        let index = rooms.index(&id).unwrap();
        let now = Instant::now();
        let large = |bytes| RoomPayload::Operation { operation: 1000, body: Bytes::from(vec![0; bytes]) };
        assert!(rooms.take(index, large(PENDING_BYTES_MAX + 1), now));
        assert!(!rooms.take(index, large(1), now));
        assert_eq!(rooms.get_mut(index).unwrap().take_pending().len(), 1);
        assert!(rooms.take(index, large(PENDING_BYTES_MAX), now));
        assert!(!rooms.take(index, large(1), now));
    }
}
