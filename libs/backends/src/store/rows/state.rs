//! What a conversation is for one of its users apart from its rows, and the log of what changed in it.

use super::codec::{Rest, put_number};

/// What a conversation is for a user. In a single chat `joined`, `left` and `last_sent` stay 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) joined: u64,
    pub(crate) left: u64,
    pub(crate) read: u64,
    /// The seq of the last message that the user sent.
    pub(crate) last_sent: u64,
    /// The seq of the last message that mentions the user.
    pub(crate) mentioned: u64,
    pub(crate) pinned: bool,
    pub(crate) muted: bool,
}

impl StateRow {
    /// Tells whether the user is in the group.
    pub(crate) fn is_in(&self) -> bool {
        self.joined > 0 && self.left == 0
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(24);
        row.push(u8::from(self.pinned) | u8::from(self.muted) << 1);
        for number in [self.joined, self.left, self.read, self.last_sent, self.mentioned] {
            put_number(&mut row, number);
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        let flags = rest.byte()?;
        Some(Self {
            joined: rest.number()?,
            left: rest.number()?,
            read: rest.number()?,
            last_sent: rest.number()?,
            mentioned: rest.number()?,
            pinned: flags & 1 != 0,
            muted: flags & 2 != 0,
        })
    }
}

/// A change of a conversation that no inbox row tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeRow<'a> {
    /// How many changes of the user's conversations there are up to it.
    pub(crate) ordinal: u64,
    pub(crate) conversation: &'a str,
}

impl<'a> ChangeRow<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(10 + self.conversation.len());
        put_number(&mut row, self.ordinal);
        row.extend_from_slice(self.conversation.as_bytes());
        row
    }

    pub(crate) fn decode(row: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(row);
        Some(Self { ordinal: rest.number()?, conversation: rest.last_text()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_state_is_read_as_it_was_written(numbers in any::<[u64; 5]>(), pinned in any::<bool>(), muted in any::<bool>()) {
            let [joined, left, read, last_sent, mentioned] = numbers;
            let state = StateRow { joined, left, read, last_sent, mentioned, pinned, muted };
            prop_assert_eq!(StateRow::decode(&state.encode()), Some(state));
        }

        #[test]
        fn a_change_is_read_as_it_was_written(ordinal in any::<u64>(), conversation in ".{0,20}") {
            let change = ChangeRow { ordinal, conversation: &conversation };
            let row = change.encode();
            prop_assert_eq!(ChangeRow::decode(&row), Some(change));
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (StateRow::decode(&row), ChangeRow::decode(&row));
        }
    }
}
