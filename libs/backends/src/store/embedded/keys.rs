//! The tables of the store and the keys of their rows.
//!
//! A key is made of parts: an id or a conversation is its length (2 bytes) and its bytes, so that no two boxes
//! share a beginning whatever characters their names have; a number is 8 bytes, highest first, so that the
//! rows of a box lie in the order of their seqs. Nothing is folded or normalised: ids are compared bytewise.
//!
//! A text that ends a key stands there without its length, so that the rows of a box lie in the order of these texts.
//!
//! Before its first name a key has 4 bytes of that name's hash. The engine compares the first 4 bytes of keys
//! where it stands and must fetch the rest from elsewhere in memory; names of one business begin alike. The
//! rows of a box stay together, and the order of boxes means nothing. Where tables share a keyspace, a byte tells
//! them apart: it stands after the hash, or first of all in keys that lie in the order of a number.

use std::ops::Deref;

use fjall::Slice;
use protocol::{ConversationId, DeviceId, GroupId, Identifier, UserId};
use smallvec::SmallVec;

use crate::database::{Layout, Table};

/// (conversation, seq) → the row, the inboxes written with it, and what there is up to it.
pub(super) const OUTBOX: Table = alone(0, "outbox");
/// (user, inbox seq) → (conversation, seq).
pub(super) const INBOX: Table = alone(1, "inbox");
/// (lane, number) → rows not known to have been handed on. What one commit adds stands together; the number is the
/// lowest message id of them.
pub(super) const INTENTS: Table = work(0, "intents");
/// (client message id, sender) → the first answer.
pub(super) const ANSWERS: Table = alone(2, "answers");
/// (time, message id) of the oldest of some answers → time, message id and key of each, to forget them by age.
/// What one commit adds stands together, since one row costs as much as one message's.
pub(super) const ANSWER_TIMES: Table = work(1, "answer_times");
/// (conversation, seq, first user) → the users whom one call of a fan-out wrote, with the seq in each inbox. They
/// are removed when the fan-out stands above the seq.
pub(super) const FAN_OUTS: Table = work(2, "fan_outs");
/// conversation → up to which seq its fan-out is done.
pub(super) const PROGRESS: Table = record(0, "progress");
/// (user, device) → up to which inbox seq it has received.
pub(super) const POSITIONS: Table = record(1, "positions");
/// group → its record.
pub(super) const GROUPS: Table = record(2, "groups");
/// (group, user) → the member, and from when to when the user was one before.
pub(super) const MEMBERS: Table = record(3, "members");
/// (user, conversation) → what the conversation is for the user, apart from its rows. A single chat has it from its
/// first row on, a group from the join on; it is never removed.
pub(super) const STATES: Table = record(4, "states");
/// (user, conversation) → nothing: the super groups that the user is in.
pub(super) const SUPERS: Table = record(5, "supers");
/// (user, version) → how many changes there are up to it, and which conversation changed.
pub(super) const CHANGES: Table = record(6, "changes");
/// (group, user) → what the user says who asks to be let in.
pub(super) const JOIN_REQUESTS: Table = record(7, "join_requests");
/// (user, other) → nothing: the user has blocked the other.
pub(super) const BLOCKS: Table = record(8, "blocks");
/// user → when the last device went away.
pub(super) const LAST_SEEN: Table = record(9, "last_seen");

/// What the store is made of. A change of keys or rows is a new version.
pub(super) const LAYOUT: Layout = Layout {
    name: "store",
    version: 2,
    keyspaces: &["outbox", "inbox", "answers", "work", "records"],
    cache_bytes: 64 * 1024 * 1024,
    memtable_bytes: 8 * 1024 * 1024,
    worker_threads: 1,
};

/// A table with a keyspace of its own.
const fn alone(index: usize, name: &'static str) -> Table {
    Table { index, part: None, name }
}

/// A table of rows that are written once and soon removed.
const fn work(part: u8, name: &'static str) -> Table {
    Table { index: 3, part: Some(part), name }
}

/// A table of rows that are looked up and changed.
const fn record(part: u8, name: &'static str) -> Table {
    Table { index: 4, part: Some(part), name }
}

/// What the keys of a conversation's rows begin with.
pub(super) fn of_conversation(table: Table, conversation: &ConversationId) -> Key {
    Key::of(table, conversation.as_str())
}

/// What the keys of a user's rows begin with.
pub(super) fn of_user(table: Table, user: &UserId) -> Key {
    Key::of(table, user.as_str())
}

/// What the keys of a group's rows begin with.
pub(super) fn of_group(table: Table, group: &GroupId) -> Key {
    Key::of(table, group.as_str())
}

/// A row of a box.
pub(super) fn in_box(box_key: &[u8], number: u64) -> Key {
    Key(SmallVec::from_slice(box_key)).number(number)
}

pub(super) fn outbox(conversation: &ConversationId, seq: u64) -> Key {
    of_conversation(OUTBOX, conversation).number(seq)
}

pub(super) fn inbox(user: &UserId, seq: u64) -> Key {
    of_user(INBOX, user).number(seq)
}

pub(super) fn change(user: &UserId, version: u64) -> Key {
    of_user(CHANGES, user).number(version)
}

pub(super) fn intent(lane: u8, number: u64) -> Key {
    Key::default().part(INTENTS).byte(lane).number(number)
}

pub(super) fn answer(sender: &UserId, client_message_id: &str) -> Key {
    Key::of(ANSWERS, client_message_id).text(sender.as_str())
}

pub(super) fn answer_time(time_ms: u64, message_id: u64) -> Key {
    Key::default().part(ANSWER_TIMES).number(time_ms).number(message_id)
}

/// What the keys of what was written of one row begin with.
pub(super) fn fan_outs(conversation: &ConversationId, seq: u64) -> Key {
    // Before the hash: other tables of the keyspace have none.
    Key::default().part(FAN_OUTS).hashed(conversation.as_str()).number(seq)
}

pub(super) fn fan_out(conversation: &ConversationId, seq: u64, first: &UserId) -> Key {
    fan_outs(conversation, seq).last(first.as_str())
}

pub(super) fn position(user: &UserId, device: &DeviceId) -> Key {
    of_user(POSITIONS, user).last(device.as_str())
}

/// The key of a user in a table of groups' users.
pub(super) fn member(table: Table, group: &GroupId, user: &UserId) -> Key {
    of_group(table, group).last(user.as_str())
}

/// The key of a conversation in a table of users' conversations.
pub(super) fn state(table: Table, user: &UserId, conversation: &ConversationId) -> Key {
    of_user(table, user).last(conversation.as_str())
}

pub(super) fn block(user: &UserId, other: &UserId) -> Key {
    of_user(BLOCKS, user).last(other.as_str())
}

/// After all keys that begin so and go on with a text.
pub(super) fn end_of(beginning: &[u8]) -> Key {
    // No text has this byte.
    Key(SmallVec::from_slice(beginning)).byte(u8::MAX)
}

/// After one key, and before all others that are above it.
pub(super) fn after(key: &[u8]) -> Key {
    // No id has this byte, and it is below all that do.
    Key(SmallVec::from_slice(key)).byte(0)
}

/// The text that a key ends with, after what it begins with.
pub(super) fn last_text<'a>(beginning: &[u8], key: &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(key.strip_prefix(beginning)?).ok()
}

/// The number that a key ends with.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The time of an answer's key.
pub(super) fn time_of(key: &[u8]) -> Option<u64> {
    key.get(1..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// A key while it is made: most have room here, so that only what is put into a table is allocated.
#[derive(Clone, Default)]
pub(super) struct Key(SmallVec<[u8; KEY_BYTES]>);

/// Bytes of a key that need no allocation: two ids of usual length and a number.
const KEY_BYTES: usize = 96;

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Key> for Slice {
    fn from(key: Key) -> Self {
        Self::from(&*key.0)
    }
}

impl Key {
    fn of(table: Table, name: &str) -> Self {
        let mut key = Self::default();
        key.0.extend_from_slice(&hash_of(name));
        key.part(table).text(name)
    }

    fn part(self, table: Table) -> Self {
        match table.part {
            Some(part) => self.byte(part),
            None => self,
        }
    }

    fn hashed(mut self, name: &str) -> Self {
        self.0.extend_from_slice(&hash_of(name));
        self.text(name)
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn text(mut self, text: &str) -> Self {
        // Ids are at most 64 bytes by their type, other texts are checked before anything is written; a longer
        // one finds nothing.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A text that nothing follows: rows lie in the order of these texts.
    fn last(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
}

fn hash_of(name: &str) -> [u8; 4] {
    let [.., a, b, c, d] = xxhash_rust::xxh3::xxh3_64(name.as_bytes()).to_be_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = UserId> {
        "[a-c:\u{e9} ]{1,4}".prop_map(|text| UserId::new(&text).unwrap())
    }

    #[test]
    fn tables_of_one_keyspace_are_told_apart() {
        let shared = [
            INTENTS,
            ANSWER_TIMES,
            FAN_OUTS,
            PROGRESS,
            POSITIONS,
            GROUPS,
            MEMBERS,
            STATES,
            SUPERS,
            CHANGES,
            JOIN_REQUESTS,
            BLOCKS,
            LAST_SEEN,
        ];
        let places: BTreeSet<_> = shared.iter().map(|table| (table.index, table.part)).collect();
        assert_eq!(places.len(), shared.len());
        assert!(places.iter().all(|(index, part)| *index < LAYOUT.keyspaces.len() && part.is_some()));
        for (table, place) in [OUTBOX, INBOX, ANSWERS].into_iter().zip(0..) {
            assert_eq!((table.index, table.part), (place, None));
        }
    }

    proptest! {
        #[test]
        fn rows_of_a_box_lie_together_in_the_order_of_their_seqs(
            rows in proptest::collection::btree_set((id(), any::<u64>()), 1..50),
            begin in any::<u64>(),
            end in any::<u64>(),
        ) {
            let stored: BTreeMap<Vec<u8>, &(UserId, u64)> =
                rows.iter().map(|row| (inbox(&row.0, row.1).to_vec(), row)).collect();
            prop_assert_eq!(stored.len(), rows.len());
            let (begin, end) = (begin.min(end), begin.max(end));
            for (user, _) in &rows {
                let found: Vec<u64> =
                    stored.range(inbox(user, begin).to_vec()..=inbox(user, end).to_vec()).map(|(_, row)| row.1).collect();
                let expected: Vec<u64> = rows
                    .iter()
                    .filter(|(owner, seq)| owner == user && (begin..=end).contains(seq))
                    .map(|(_, seq)| *seq)
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn two_answers_never_share_a_key(one in (id(), "[a-c:]{0,4}"), other in (id(), "[a-c:]{0,4}")) {
            prop_assert_eq!(one == other, *answer(&one.0, &one.1) == *answer(&other.0, &other.1));
        }
    }
}
