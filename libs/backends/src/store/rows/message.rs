//! Rows of outboxes, and what points to them.

use bytes::Bytes;
use protocol::{ConversationId, Identifier, UserId};

use super::codec::{Rest, put_number, put_text};
use crate::store::{FanOut, OutboxRow};

/// What there is in a conversation up to a row, the row included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// When the row was sent, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// How many messages there are: control rows are not counted.
    pub(crate) count: u64,
    /// The seq of the last message.
    pub(crate) last_message: u64,
    /// The seq of the last row that mentions everybody.
    pub(crate) mention_all: u64,
    /// The seq of the last row that changed who is a member.
    pub(crate) membership: u64,
    /// In a single chat, the seq of the last message of each user, the smaller user first.
    pub(crate) sent: [u64; 2],
}

impl Running {
    fn put(&self, row: &mut Vec<u8>) {
        for number in [self.time_ms, self.count, self.last_message, self.mention_all, self.membership] {
            put_number(row, number);
        }
        self.sent.iter().for_each(|seq| put_number(row, *seq));
    }

    fn take(rest: &mut Rest<'_>) -> Option<Self> {
        Some(Self {
            time_ms: rest.number()?,
            count: rest.number()?,
            last_message: rest.number()?,
            mention_all: rest.number()?,
            membership: rest.number()?,
            sent: [rest.number()?, rest.number()?],
        })
    }

    /// What a row of the outbox says of those up to it.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        Self::take(&mut Rest(row))
    }
}

/// A row of the outbox; the inboxes are those written in the same commit, with the seq in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) running: Running,
    pub(crate) counted: bool,
    pub(crate) fan_out: FanOut,
    pub(crate) message_id: u64,
    pub(crate) sender: UserId,
    pub(crate) client_message_id: String,
    pub(crate) inboxes: Vec<(UserId, u64)>,
    pub(crate) content: Bytes,
}

impl Stored {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let names: usize = self.inboxes.iter().map(|(user, _)| user.as_str().len() + 11).sum();
        let mut row = Vec::with_capacity(96 + self.client_message_id.len() + names + self.content.len());
        self.running.put(&mut row);
        let fan_out = match self.fan_out {
            FanOut::InCommit => 0,
            FanOut::OnWrite => 1,
            FanOut::OnRead => 2,
        };
        row.push(fan_out << 1 | u8::from(self.counted));
        put_number(&mut row, self.message_id);
        put_text(&mut row, self.sender.as_str());
        put_text(&mut row, &self.client_message_id);
        put_inboxes(&mut row, &self.inboxes);
        row.extend_from_slice(&self.content);
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        let running = Running::take(&mut rest)?;
        let flags = rest.byte()?;
        let fan_out = match flags >> 1 {
            0 => FanOut::InCommit,
            1 => FanOut::OnWrite,
            2 => FanOut::OnRead,
            _ => return None,
        };
        let message_id = rest.number()?;
        let sender = rest.user()?;
        let client_message_id = rest.text()?.to_owned();
        let inboxes = take_inboxes(&mut rest)?;
        let content = Bytes::copy_from_slice(rest.0);
        let counted = flags & 1 == 1;
        Some(Self { running, counted, fan_out, message_id, sender, client_message_id, inboxes, content })
    }

    /// The inboxes alone.
    pub(crate) fn encode_inboxes(&self) -> Vec<u8> {
        let mut row = Vec::new();
        put_inboxes(&mut row, &self.inboxes);
        row
    }

    pub(crate) fn decode_inboxes(row: &[u8]) -> Option<Vec<(UserId, u64)>> {
        take_inboxes(&mut Rest(row))
    }

    /// The seq in the inbox of a user that was written with the row.
    pub(crate) fn inbox_seq_of(&self, user: &UserId) -> Option<u64> {
        self.inboxes.iter().find(|(owner, _)| owner == user).map(|(_, seq)| *seq)
    }

    pub(crate) fn into_row(self, conversation: ConversationId, seq: u64) -> OutboxRow {
        OutboxRow {
            conversation,
            seq,
            message_id: self.message_id,
            sender: self.sender,
            client_message_id: self.client_message_id,
            time_ms: self.running.time_ms,
            content: self.content,
            counted: self.counted,
            fan_out: self.fan_out,
            membership_seq: self.running.membership,
        }
    }
}

fn put_inboxes(row: &mut Vec<u8>, inboxes: &[(UserId, u64)]) {
    put_number(row, inboxes.len() as u64);
    for (user, seq) in inboxes {
        put_text(row, user.as_str());
        put_number(row, *seq);
    }
}

fn take_inboxes(rest: &mut Rest<'_>) -> Option<Vec<(UserId, u64)>> {
    let count = rest.number()?;
    // Not reserved by the count, which may be anything in a row that is damaged.
    let mut inboxes = Vec::new();
    for _ in 0..count {
        inboxes.push((rest.user()?, rest.number()?));
    }
    Some(inboxes)
}

/// Where a row of an outbox is, and its message id in a first answer; nothing of meaning (0) in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) seq: u64,
    pub(crate) number: u64,
    pub(crate) conversation: ConversationId,
}

impl Pointer {
    pub(crate) fn encode(conversation: &ConversationId, seq: u64, number: u64) -> Vec<u8> {
        let mut row = Vec::with_capacity(20 + conversation.as_str().len());
        put_number(&mut row, seq);
        put_number(&mut row, number);
        row.extend_from_slice(conversation.as_str().as_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let (seq, number, conversation) = Self::decode_parts(row)?;
        Some(Self { seq, number, conversation: ConversationId::parse(conversation)? })
    }

    /// Seq, number and the conversation as a text.
    pub(crate) fn decode_parts(row: &[u8]) -> Option<(u64, u64, &str)> {
        let mut rest = Rest(row);
        Some((rest.number()?, rest.number()?, rest.last_text()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user() -> impl Strategy<Value = UserId> {
        "[^\\p{Cc}]{1,16}".prop_filter_map("nobody", |text| UserId::new(&text).ok())
    }

    fn running() -> impl Strategy<Value = Running> {
        any::<[u64; 7]>().prop_map(|[time_ms, count, last_message, mention_all, membership, one, other]| {
            Running { time_ms, count, last_message, mention_all, membership, sent: [one, other] }
        })
    }

    prop_compose! {
        fn stored()(
            running in running(),
            counted in any::<bool>(),
            fan_out in 0..3_usize,
            message_id in any::<u64>(),
            sender in user(),
            client_message_id in ".{0,64}",
            inboxes in proptest::collection::vec((user(), any::<u64>()), 0..4),
            content in proptest::collection::vec(any::<u8>(), 0..200),
        ) -> Stored {
            let fan_out = [FanOut::InCommit, FanOut::OnWrite, FanOut::OnRead][fan_out];
            let content = content.into();
            Stored { running, counted, fan_out, message_id, sender, client_message_id, inboxes, content }
        }
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(stored in stored()) {
            let row = stored.encode();
            prop_assert_eq!(Running::decode(&row), Some(stored.running));
            prop_assert_eq!(Stored::decode(&row), Some(stored));
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
        fn a_row_cut_short_is_no_row(stored in stored(), cut in 1_usize..30) {
            let row = Stored { content: Bytes::new(), ..stored }.encode();
            prop_assert_eq!(Stored::decode(&row[..row.len() - cut.min(row.len())]), None);
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Stored::decode(&row), Running::decode(&row), Pointer::decode(&row));
        }
    }
}
