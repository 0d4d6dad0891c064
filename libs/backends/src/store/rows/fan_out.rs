//! Whom one call of a fan-out wrote.

use protocol::{Identifier, UserId};

use super::codec::{Rest, put_number, put_text};

/// The users whom one call wrote, ascending, with the seq in each inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written(pub(crate) Vec<(UserId, u64)>);

impl Written {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let last = self.0.last().map_or("", |(user, _)| user.as_str());
        let length = self.0.iter().map(|(user, _)| 12 + user.as_str().len()).sum();
        let mut row = Vec::with_capacity(length);
        // Who asks for others is told by the last user that the row has nothing for them.
        put_text(&mut row, last);
        for (user, inbox_seq) in &self.0 {
            put_text(&mut row, user.as_str());
            put_number(&mut row, *inbox_seq);
        }
        row
    }

    /// The last user of a row.
    pub(crate) fn decode_last(row: &[u8]) -> Option<&str> {
        Rest(row).text()
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        rest.text()?;
        let mut written = Vec::new();
        while !rest.0.is_empty() {
            written.push((rest.user()?, rest.number()?));
        }
        Some(Self(written))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::Identifier;

    use super::*;

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written(
            written in proptest::collection::vec(("[a-z:]{1,9}", any::<u64>()), 0..5),
        ) {
            let written: Vec<(UserId, u64)> =
                written.into_iter().map(|(user, seq)| (UserId::new(&user).unwrap(), seq)).collect();
            let row = Written(written.clone()).encode();
            prop_assert_eq!(Written::decode_last(&row), Some(written.last().map_or("", |(user, _)| user.as_str())));
            prop_assert_eq!(Written::decode(&row), Some(Written(written)));
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Written::decode(&row), Written::decode_last(&row));
        }
    }
}
