//! Rows that are not known to have been handed on.

use protocol::ConversationId;

use super::codec::{Rest, put_number, put_text};

/// A row that was not handed on, as it stands among those of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) message_id: u64,
    pub(crate) time_ms: u64,
    pub(crate) seq: u64,
    pub(crate) conversation: ConversationId,
}

impl Entry {
    pub(crate) fn encode_all(entries: &[Self]) -> Vec<u8> {
        let length = entries.iter().map(|entry| 24 + entry.conversation.as_str().len()).sum();
        let mut row = Vec::with_capacity(length);
        for entry in entries {
            put_number(&mut row, entry.message_id);
            put_number(&mut row, entry.time_ms);
            put_number(&mut row, entry.seq);
            put_text(&mut row, entry.conversation.as_str());
        }
        row
    }

    pub(crate) fn decode_all(row: &[u8]) -> Option<Vec<Self>> {
        let mut rest = Rest(row);
        let mut entries = Vec::new();
        while !rest.0.is_empty() {
            let (message_id, time_ms, seq) = (rest.number()?, rest.number()?, rest.number()?);
            let conversation = ConversationId::parse(rest.text()?)?;
            entries.push(Self { message_id, time_ms, seq, conversation });
        }
        Some(entries)
    }

    /// The message ids of a row alone.
    pub(crate) fn decode_ids(row: &[u8]) -> Option<Vec<u64>> {
        let mut rest = Rest(row);
        let mut ids = Vec::new();
        while !rest.0.is_empty() {
            ids.push(rest.number()?);
            rest.number()?;
            rest.number()?;
            rest.bytes()?;
        }
        Some(ids)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::{GroupId, Identifier};

    use super::*;

    proptest! {
        #[test]
        fn intents_are_read_as_they_were_written(
            entries in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), "[a-z:]{1,9}"), 0..5),
        ) {
            let entry = |(message_id, time_ms, seq, group): (u64, u64, u64, String)| {
                let conversation = ConversationId::group(&GroupId::new(&group).unwrap());
                Entry { message_id, time_ms, seq, conversation }
            };
            let entries: Vec<Entry> = entries.into_iter().map(entry).collect();
            let row = Entry::encode_all(&entries);
            let ids = entries.iter().map(|entry| entry.message_id).collect();
            prop_assert_eq!(Entry::decode_ids(&row), Some(ids));
            prop_assert_eq!(Entry::decode_all(&row), Some(entries));
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Entry::decode_all(&row), Entry::decode_ids(&row));
        }
    }
}
