//! What stands under the keys: numbers are 8 bytes, highest first, a text is its length (2 bytes) and its
//! bytes, and the last part of a row takes the rest of it.
//!
//! Rows are read with checks: what is not a row of its table is `None`, which the caller reports with table and
//! key. Damage on disk is found before that, by the engine's checksums.

use bytes::Bytes;
use protocol::{ConversationId, Identifier, UserId};

use crate::store::OutboxRow;

/// A row of the outbox; the inboxes are those written in the same commit, with the seq in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) message_id: u64,
    pub(super) time_ms: u64,
    pub(super) sender: UserId,
    pub(super) client_message_id: String,
    pub(super) inboxes: Vec<(UserId, u64)>,
    pub(super) content: Bytes,
}

impl Stored {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(
            64 + self.client_message_id.len() + self.inboxes.len() * 40 + self.content.len(),
        );
        put_number(&mut row, self.message_id);
        put_number(&mut row, self.time_ms);
        put_text(&mut row, self.sender.as_str());
        put_text(&mut row, &self.client_message_id);
        put_number(&mut row, self.inboxes.len() as u64);
        for (user, seq) in &self.inboxes {
            put_text(&mut row, user.as_str());
            put_number(&mut row, *seq);
        }
        row.extend_from_slice(&self.content);
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        let message_id = rest.number()?;
        let time_ms = rest.number()?;
        let sender = rest.user()?;
        let client_message_id = rest.text()?.to_owned();
        let count = rest.number()?;
        // Not reserved by the count, which may be anything in a row that is damaged.
        let mut inboxes = Vec::new();
        for _ in 0..count {
            inboxes.push((rest.user()?, rest.number()?));
        }
        let content = Bytes::copy_from_slice(rest.0);
        Some(Self { message_id, time_ms, sender, client_message_id, inboxes, content })
    }

    pub(super) fn into_row(self, conversation: ConversationId, seq: u64) -> OutboxRow {
        OutboxRow {
            conversation,
            seq,
            message_id: self.message_id,
            sender: self.sender,
            client_message_id: self.client_message_id,
            time_ms: self.time_ms,
            content: self.content,
        }
    }
}

/// Where a message is, and one more number: its message id in a first answer, its time in an intent, nothing
/// of meaning (0) in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) seq: u64,
    pub(super) number: u64,
    pub(super) conversation: ConversationId,
}

impl Pointer {
    pub(super) fn encode(conversation: &ConversationId, seq: u64, number: u64) -> Vec<u8> {
        let mut row = Vec::with_capacity(16 + conversation.as_str().len());
        put_number(&mut row, seq);
        put_number(&mut row, number);
        row.extend_from_slice(conversation.as_str().as_bytes());
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        let (seq, number) = (rest.number()?, rest.number()?);
        let conversation = ConversationId::parse(std::str::from_utf8(rest.0).ok()?)?;
        Some(Self { seq, number, conversation })
    }
}

/// A first answer, as it stands among those of about its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aged {
    pub(super) time_ms: u64,
    pub(super) message_id: u64,
    /// The key of the answer.
    pub(super) answer: Vec<u8>,
}

impl Aged {
    pub(super) fn encode_all(answers: &[Self]) -> Vec<u8> {
        let mut row = Vec::with_capacity(answers.iter().map(|aged| 18 + aged.answer.len()).sum());
        for aged in answers {
            put_number(&mut row, aged.time_ms);
            put_number(&mut row, aged.message_id);
            put_bytes(&mut row, &aged.answer);
        }
        row
    }

    pub(super) fn decode_all(row: &[u8]) -> Option<Vec<Self>> {
        let mut rest = Rest(row);
        let mut answers = Vec::new();
        while !rest.0.is_empty() {
            let (time_ms, message_id) = (rest.number()?, rest.number()?);
            answers.push(Self { time_ms, message_id, answer: rest.bytes()?.to_vec() });
        }
        Some(answers)
    }
}

/// The row that holds one number.
pub(super) fn encode_number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(super) fn decode_number(row: &[u8]) -> Option<u64> {
    row.try_into().ok().map(u64::from_be_bytes)
}

fn put_number(row: &mut Vec<u8>, number: u64) {
    row.extend_from_slice(&number.to_be_bytes());
}

fn put_text(row: &mut Vec<u8>, text: &str) {
    put_bytes(row, text.as_bytes());
}

fn put_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    // All that is put is checked to be far shorter before anything is written.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(bytes);
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn user(&mut self) -> Option<UserId> {
        UserId::new(self.text()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user() -> impl Strategy<Value = UserId> {
        "[^\\p{Cc}]{1,16}".prop_filter_map("nobody", |text| UserId::new(&text).ok())
    }

    prop_compose! {
        fn stored()(
            message_id in any::<u64>(),
            time_ms in any::<u64>(),
            sender in user(),
            client_message_id in ".{0,64}",
            inboxes in proptest::collection::vec((user(), any::<u64>()), 0..4),
            content in proptest::collection::vec(any::<u8>(), 0..200),
        ) -> Stored {
            Stored { message_id, time_ms, sender, client_message_id, inboxes, content: content.into() }
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(stored in stored()) {
            prop_assert_eq!(Stored::decode(&stored.encode()), Some(stored));
        }

        #[test]
        fn a_pointer_is_read_as_it_was_written(
            one in user(), other in user(), seq in any::<u64>(), number in any::<u64>(),
        ) {
            let conversation = ConversationId::single(&one, &other);
            let row = Pointer::encode(&conversation, seq, number);
            prop_assert_eq!(Pointer::decode(&row), Some(Pointer { seq, number, conversation }));
        }

        #[test]
        fn answers_are_read_as_they_were_written(
            answers in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..5,
            ),
        ) {
            let answers: Vec<Aged> = answers
                .into_iter()
                .map(|(time_ms, message_id, answer)| Aged { time_ms, message_id, answer })
                .collect();
            prop_assert_eq!(Aged::decode_all(&Aged::encode_all(&answers)), Some(answers));
        }

        #[test]
        fn a_row_cut_short_is_no_row(stored in stored(), cut in 1_usize..30) {
            let row = Stored { content: Bytes::new(), ..stored }.encode();
            prop_assert_eq!(Stored::decode(&row[..row.len() - cut.min(row.len())]), None);
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Stored::decode(&row);
            let _ = Pointer::decode(&row);
            let _ = Aged::decode_all(&row);
            let _ = decode_number(&row);
        }
    }
}
