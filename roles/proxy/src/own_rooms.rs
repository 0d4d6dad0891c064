//! The server's own rooms that one connection is in: those of its user's super groups, and of the users it watches.
//!
//! The server alone says who is in them, so they stand apart from the rooms that the client joins and leaves. Who is
//! in a super group is said by lists and by commands, which may overtake each other: what has a lower version than
//! the last one taken for the group is late. Only the decisions are here, no I/O. A connection without super groups
//! that watches nobody has none of this.

use std::collections::{BTreeMap, VecDeque};

use foldhash::{HashMap, HashSet};
use protocol::client::GroupTop;
use protocol::{ConversationId, UserId, limits};

use crate::connection::Membership;

/// How a connection stands to a super group.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// The seq of the row that made it so.
    version: u64,
    member: bool,
    /// The top that the client was last told.
    told: u64,
}

/// The server's own rooms that a connection is in.
#[derive(Debug, Default)]
pub(crate) struct OwnRooms {
    /// The place among the members, by the room's index in the shard.
    positions: HashMap<u32, u32>,
    /// Super groups that the user is in, and those it has left while connected.
    groups: BTreeMap<ConversationId, Standing>,
    /// The groups that were left and the versions of it, oldest first.
    left: VecDeque<(ConversationId, u64)>,
    pub(crate) watched: HashSet<UserId>,
    /// A heartbeat is asking for the groups' tops.
    asking: bool,
}

/// Groups that were left and are remembered; a command for one that was left before is then taken though it is late.
const LEFT_MAX: usize = limits::SUPER_GROUPS_PER_USER_MAX;

impl OwnRooms {
    /// Tells whether a change is to be carried out, and takes note of it. One that is said again is carried out again.
    pub(crate) fn take(&mut self, conversation: &ConversationId, version: u64, member: bool) -> bool {
        let standing = match self.groups.get_mut(conversation) {
            Some(standing) => standing,
            None => self.groups.entry(conversation.clone()).or_default(),
        };
        if version < standing.version {
            return false;
        }
        let told = if member && standing.member { standing.told } else { 0 };
        *standing = Standing { version, member, told };
        if !member {
            self.left.push_back((conversation.clone(), version));
            if self.left.len() > LEFT_MAX {
                self.forget_first_left();
            }
        }
        true
    }

    fn forget_first_left(&mut self) {
        let Some((conversation, version)) = self.left.pop_front() else { return };
        if self.groups.get(&conversation).is_some_and(|left| !left.member && left.version == version) {
            self.groups.remove(&conversation);
        }
    }

    /// The seq of the row with which the user came into a group: rows up to it are not for this connection.
    pub(crate) fn joined(&self, conversation: &ConversationId) -> Option<u64> {
        self.groups.get(conversation).filter(|standing| standing.member).map(|standing| standing.version)
    }

    /// A row of a group was pushed before the client could be sent anything: it is told of it by the top.
    pub(crate) fn pass_over(&mut self, conversation: &ConversationId, seq: u64) {
        if let Some(standing) = self.groups.get_mut(conversation) {
            standing.told = standing.told.max(seq);
        }
    }

    /// The client is about to be told these tops as its first; each is raised to what was passed over.
    pub(crate) fn greet(&mut self, tops: &mut [GroupTop]) {
        let passed_over: BTreeMap<ConversationId, u64> = self
            .groups
            .iter_mut()
            .filter(|(_, standing)| standing.told > 0)
            .map(|(conversation, standing)| (conversation.clone(), std::mem::take(&mut standing.told)))
            .collect();
        for group in tops {
            let Some(conversation) = ConversationId::parse(&group.conversation) else { continue };
            group.top = group.top.max(passed_over.get(&conversation).copied().unwrap_or(0));
            self.tell_of(&conversation, group.top);
        }
    }

    /// The client was told a top by a reply.
    pub(crate) fn tell(&mut self, conversation: &str, top: u64) {
        if let Some(conversation) = ConversationId::parse(conversation) {
            self.tell_of(&conversation, top);
        }
    }

    fn tell_of(&mut self, conversation: &ConversationId, top: u64) {
        if let Some(standing) = self.groups.get_mut(conversation).filter(|standing| standing.member) {
            standing.told = standing.told.max(top);
        }
    }

    /// The groups whose tops a heartbeat is to ask for; none while another one does.
    pub(crate) fn ask(&mut self) -> Vec<ConversationId> {
        if self.asking {
            return Vec::new();
        }
        let members = self.groups.iter().filter(|(_, standing)| standing.member);
        let groups: Vec<ConversationId> = members.map(|(conversation, _)| conversation.clone()).collect();
        self.asking = !groups.is_empty();
        groups
    }

    /// What [`Self::ask`] named could not be asked for.
    pub(crate) fn ask_again(&mut self) {
        self.asking = false;
    }

    /// Takes the tops of the groups that [`Self::ask`] named; answers those that the client is to be told.
    pub(crate) fn risen(&mut self, asked: &[ConversationId], tops: &[u64]) -> Vec<GroupTop> {
        self.asking = false;
        let mut risen = Vec::new();
        for (conversation, top) in asked.iter().zip(tops) {
            let standing = self.groups.get_mut(conversation).filter(|standing| standing.member);
            if let Some(standing) = standing.filter(|standing| standing.told < *top) {
                standing.told = *top;
                let conversation = conversation.to_string();
                risen.push(GroupTop { conversation, top: *top, ..GroupTop::default() });
            }
        }
        risen
    }

    /// Tells whether the connection is in a room.
    pub(crate) fn is_member(&self, room: u32) -> bool {
        self.positions.contains_key(&room)
    }

    /// The connection has this place in a room.
    pub(crate) fn put(&mut self, membership: Membership) {
        self.positions.insert(membership.room, membership.position);
    }

    /// The connection is in a room no more; answers the place that it had.
    pub(crate) fn remove(&mut self, room: u32) -> Option<Membership> {
        self.positions.remove(&room).map(|position| Membership { room, position })
    }

    /// All rooms that the connection is in.
    pub(crate) fn into_memberships(self) -> impl Iterator<Item = Membership> {
        self.positions.into_iter().map(|(room, position)| Membership { room, position })
    }

    /// Tells whether there is nothing left to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.groups.is_empty() && self.watched.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use protocol::{GroupId, Identifier};

    use super::*;

    fn conversation(name: &str) -> ConversationId {
        ConversationId::group(&GroupId::new(name).unwrap())
    }

    fn tops(rooms: &mut OwnRooms, tops: &[u64]) -> Vec<(String, u64)> {
        let asked = rooms.ask();
        rooms.risen(&asked, tops).into_iter().map(|group| (group.conversation, group.top)).collect()
    }

    #[test]
    fn what_has_a_lower_version_is_late() {
        let (mut rooms, group) = (OwnRooms::default(), conversation("g"));
        assert!(rooms.take(&group, 5, true));
        assert!(rooms.take(&group, 5, true));
        assert!(rooms.take(&group, 7, false));
        assert!(!rooms.take(&group, 5, true));
        assert_eq!(rooms.joined(&group), None);
        assert!(rooms.take(&group, 9, true));
        assert!(!rooms.take(&group, 7, false));
        assert_eq!(rooms.joined(&group), Some(9));
    }

    #[test]
    fn a_risen_top_is_told_once() {
        let mut rooms = OwnRooms::default();
        for name in ["a", "b"] {
            rooms.take(&conversation(name), 1, true);
        }
        let mut first = [GroupTop { conversation: "group:a".to_owned(), top: 4, ..GroupTop::default() }];
        rooms.greet(&mut first);
        assert_eq!(tops(&mut rooms, &[4, 2]), [("group:b".to_owned(), 2)]);
        assert_eq!(tops(&mut rooms, &[4, 2]), []);
        assert_eq!(tops(&mut rooms, &[5, 1]), [("group:a".to_owned(), 5)]);
        rooms.tell("group:b", 9);
        assert_eq!(tops(&mut rooms, &[5, 9]), []);
    }

    #[test]
    fn a_row_that_was_pushed_before_the_first_word_raises_the_first_top() {
        let mut rooms = OwnRooms::default();
        for name in ["a", "b"] {
            rooms.take(&conversation(name), 1, true);
            rooms.pass_over(&conversation(name), 6);
        }
        let mut first = [GroupTop { conversation: "group:a".to_owned(), top: 5, ..GroupTop::default() }];
        rooms.greet(&mut first);
        assert_eq!(first[0].top, 6);
        // The other one is not in the first page: its client has heard of nothing.
        assert_eq!(tops(&mut rooms, &[6, 6]), [("group:b".to_owned(), 6)]);
    }

    #[test]
    fn tops_are_asked_for_by_one_heartbeat_at_a_time() {
        let mut rooms = OwnRooms::default();
        rooms.take(&conversation("a"), 1, true);
        assert_eq!(rooms.ask().len(), 1);
        assert!(rooms.ask().is_empty());
        rooms.ask_again();
        assert_eq!(rooms.ask().len(), 1);
    }

    #[test]
    fn who_leaves_group_after_group_is_remembered_for_the_last_ones() {
        let mut rooms = OwnRooms::default();
        for number in 0..LEFT_MAX + 10 {
            rooms.take(&conversation(&number.to_string()), 2, false);
        }
        assert_eq!(rooms.groups.len(), LEFT_MAX);
        assert!(!rooms.take(&conversation("10"), 1, true));
        let again = conversation("11");
        for version in 3..LEFT_MAX as u64 {
            rooms.take(&again, version, version % 2 == 0);
        }
        assert!(rooms.left.len() <= LEFT_MAX && rooms.groups.contains_key(&again));
    }
}
