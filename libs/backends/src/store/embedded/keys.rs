//! The tables of the store and the keys of their rows.
//!
//! A key is made of parts: an id or a conversation is its length (2 bytes) and its bytes, so that no two boxes
//! share a beginning whatever characters their names have; a number is 8 bytes, highest first, so that the
//! rows of a box lie in the order of their seqs. Nothing is folded or normalised: ids are compared bytewise.
//!
//! Before its first name a key has 4 bytes of that name's hash. The engine compares the first 4 bytes of keys
//! where it stands and must fetch the rest from elsewhere in memory; names of one business begin alike. The
//! rows of a box stay together, and the order of boxes means nothing.

use protocol::{ConversationId, DeviceId, Identifier, UserId};

use crate::database::{Layout, Table};

/// (conversation, seq) → the message and the inboxes written with it.
pub(super) const OUTBOX: Table = Table { index: 0, name: "outbox" };
/// (user, inbox seq) → (conversation, seq).
pub(super) const INBOX: Table = Table { index: 1, name: "inbox" };
/// message id → (conversation, seq), of messages not known to have been handed on.
pub(super) const INTENTS: Table = Table { index: 2, name: "intents" };
/// (client message id, sender) → the first answer.
pub(super) const ANSWERS: Table = Table { index: 3, name: "answers" };
/// (time, message id) of the oldest of some answers → time, message id and key of each, to forget them by age.
/// What one commit adds stands together, since one row costs as much as one message's.
pub(super) const ANSWER_TIMES: Table = Table { index: 4, name: "answer_times" };
/// (user, conversation, seq) → inbox seq, of rows that a fan-out wrote; those of an append stand in its outbox
/// row.
pub(super) const FANNED_OUT: Table = Table { index: 5, name: "fanned_out" };
/// conversation → up to which seq its fan-out is done.
pub(super) const PROGRESS: Table = Table { index: 6, name: "progress" };
/// (user, device) → up to which inbox seq it has received.
pub(super) const POSITIONS: Table = Table { index: 7, name: "positions" };

/// What the store is made of. A change of keys or rows is a new version.
pub(super) const LAYOUT: Layout = Layout {
    name: "store",
    version: 1,
    tables: &[OUTBOX, INBOX, INTENTS, ANSWERS, ANSWER_TIMES, FANNED_OUT, PROGRESS, POSITIONS],
    cache_bytes: 64 * 1024 * 1024,
    memtable_bytes: 8 * 1024 * 1024,
    worker_threads: 1,
};

/// Bytes of a conversation or client message id that the store takes: far above what the protocol allows, far
/// below what the engine takes as a key.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// The box of a conversation: what the keys of its outbox rows begin with.
pub(super) fn outbox_of(conversation: &ConversationId) -> Vec<u8> {
    Key::of(conversation.as_str()).0
}

/// The box of a user: what the keys of its inbox rows begin with.
pub(super) fn inbox_of(user: &UserId) -> Vec<u8> {
    Key::of(user.as_str()).0
}

/// A row of a box.
pub(super) fn in_box(box_key: &[u8], seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(box_key.len() + 8);
    key.extend_from_slice(box_key);
    Key(key).number(seq).0
}

pub(super) fn outbox(conversation: &ConversationId, seq: u64) -> Vec<u8> {
    Key::of(conversation.as_str()).number(seq).0
}

pub(super) fn inbox(user: &UserId, seq: u64) -> Vec<u8> {
    Key::of(user.as_str()).number(seq).0
}

pub(super) fn intent(message_id: u64) -> Vec<u8> {
    Key::default().number(message_id).0
}

pub(super) fn answer(sender: &UserId, client_message_id: &str) -> Vec<u8> {
    Key::of(client_message_id).text(sender.as_str()).0
}

pub(super) fn answer_time(time_ms: u64, message_id: u64) -> Vec<u8> {
    Key::default().number(time_ms).number(message_id).0
}

pub(super) fn fanned_out(user: &UserId, conversation: &ConversationId, seq: u64) -> Vec<u8> {
    Key::of(user.as_str()).text(conversation.as_str()).number(seq).0
}

pub(super) fn progress(conversation: &ConversationId) -> Vec<u8> {
    Key::of(conversation.as_str()).0
}

pub(super) fn position(user: &UserId, device: &DeviceId) -> Vec<u8> {
    Key::of(user.as_str()).text(device.as_str()).0
}

/// The number that a key ends with.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The time of an answer's key.
pub(super) fn time_of(key: &[u8]) -> Option<u64> {
    key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[derive(Default)]
struct Key(Vec<u8>);

impl Key {
    fn of(name: &str) -> Self {
        let [.., a, b, c, d] = xxhash_rust::xxh3::xxh3_64(name.as_bytes()).to_be_bytes();
        let mut key = Vec::with_capacity(4 + 2 + name.len() + 16);
        key.extend_from_slice(&[a, b, c, d]);
        Self(key).text(name)
    }

    fn text(mut self, text: &str) -> Self {
        // Ids are at most 64 bytes by their type, other texts are checked before anything is written; a longer
        // one finds nothing.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = UserId> {
        "[a-c:\u{e9} ]{1,4}".prop_map(|text| UserId::new(&text).unwrap())
    }

    #[test]
    fn each_table_stands_at_its_own_index() {
        for (place, table) in LAYOUT.tables.iter().enumerate() {
            assert_eq!(table.index, place, "{}", table.name);
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
                rows.iter().map(|row| (inbox(&row.0, row.1), row)).collect();
            prop_assert_eq!(stored.len(), rows.len());
            let (begin, end) = (begin.min(end), begin.max(end));
            for (user, _) in &rows {
                let found: Vec<u64> =
                    stored.range(inbox(user, begin)..=inbox(user, end)).map(|(_, row)| row.1).collect();
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
            prop_assert_eq!(one == other, answer(&one.0, &one.1) == answer(&other.0, &other.1));
        }
    }
}
