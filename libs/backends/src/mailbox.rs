//! A message as it lies in the store: the bytes of an outbox row's content, and the message they make.
//!
//! In the seed's picture this is the line between imService, consumerService and MySQL. The store does not look
//! into a content; im writes it and both roles read it, so its form stands here once: a protobuf
//! [`Message`] with only `to` and the content set. All else of a message has its own column.

use bytes::Bytes;
use prost::Message as _;
use protocol::client::{Message, Target};
use protocol::message::Content;

use crate::store::OutboxRow;
use crate::{Error, Kind, Result};

/// Writes whom a message is for and what it says as the content of an outbox row.
#[must_use]
pub fn encode_content(to: &Target, content: &Content) -> Bytes {
    let message =
        Message { to: Some(to.clone()), content: Some(content.clone().into()), ..Message::default() };
    message.encode_to_vec().into()
}

/// Makes the message of an outbox row, without an inbox seq.
///
/// # Errors
/// `Corrupt` where the content cannot be read.
pub fn message_of(row: &OutboxRow) -> Result<Message> {
    let stored = Message::decode(row.content.clone()).map_err(|error| {
        let (conversation, seq) = (&row.conversation, row.seq);
        Error::new(Kind::Corrupt, format!("content of message {seq} in {conversation} cannot be read"))
            .caused_by(error)
    })?;
    Ok(Message {
        inbox_seq: None,
        conversation: row.conversation.as_str().to_owned(),
        seq: row.seq,
        message_id: row.message_id,
        sender: row.sender.to_string(),
        to: stored.to,
        client_message_id: row.client_message_id.clone(),
        time_ms: row.time_ms,
        content: stored.content,
    })
}

#[cfg(test)]
mod tests {
    use protocol::client::target;
    use protocol::{ConversationId, Identifier, UserId};

    use super::*;

    fn row(content: Bytes) -> OutboxRow {
        let (alice, bob) = (UserId::new("alice").unwrap(), UserId::new("bob").unwrap());
        OutboxRow {
            conversation: ConversationId::single(&alice, &bob),
            seq: 7,
            message_id: 99,
            sender: alice,
            client_message_id: "c-1".to_owned(),
            time_ms: 1_700_000_000_000,
            content,
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was_stored() {
        let to = Target { target: Some(target::Target::User("bob".to_owned())) };
        let message = message_of(&row(encode_content(&to, &Content::Text("hi".to_owned())))).unwrap();
        let expected = Message {
            inbox_seq: None,
            conversation: "single:5:alice:bob".to_owned(),
            seq: 7,
            message_id: 99,
            sender: "alice".to_owned(),
            to: Some(to),
            client_message_id: "c-1".to_owned(),
            time_ms: 1_700_000_000_000,
            content: Some(Content::Text("hi".to_owned()).into()),
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn a_content_that_cannot_be_read_is_named() {
        let error = message_of(&row(Bytes::from_static(&[0xff; 5]))).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert_eq!(error.to_string(), "content of message 7 in single:5:alice:bob cannot be read");
    }
}
