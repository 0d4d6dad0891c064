//! A message as it lies in the store: the bytes of an outbox row's content, and the message they make.
//!
//! In the seed's picture this is the line between imService, consumerService and MySQL. The store does not look
//! into a content; im writes it and both roles read it, so its form stands here once: a protobuf [`Message`] with
//! only those fields that have no column of their own.

use bytes::Bytes;
use prost::Message as _;
use protocol::client::Message;

use crate::store::OutboxRow;
use crate::{Error, Kind, Result};

/// Writes what a row says as the content of an outbox row: what has a column of its own is left out.
#[must_use]
pub fn encode_content(message: &Message) -> Bytes {
    let content = Message {
        inbox_seq: None,
        conversation: String::new(),
        seq: 0,
        message_id: 0,
        sender: String::new(),
        client_message_id: String::new(),
        time_ms: 0,
        group: None,
        ..message.clone()
    };
    content.encode_to_vec().into()
}

/// What stands in the place of a message that was recalled: nothing of what was said.
#[must_use]
pub fn recalled_content(message: &Message) -> Bytes {
    let content = Message { to: message.to.clone(), recalled: Some(true), ..Message::default() };
    content.encode_to_vec().into()
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
        // That of a control row is the server's own.
        client_message_id: if row.counted { row.client_message_id.clone() } else { String::new() },
        time_ms: row.time_ms,
        group: row.conversation.group_id().map(|group| group.to_string()),
        ..stored
    })
}

#[cfg(test)]
mod tests {
    use protocol::client::{Target, target};
    use protocol::message::Content;
    use protocol::{ConversationId, Identifier, UserId};

    use super::*;
    use crate::store::FanOut;

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
            counted: true,
            fan_out: FanOut::InCommit,
            membership_seq: 0,
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was_stored() {
        let to = Target { target: Some(target::Target::User("bob".to_owned())) };
        let expected = Message {
            conversation: "single:5:alice:bob".to_owned(),
            seq: 7,
            message_id: 99,
            sender: "alice".to_owned(),
            to: Some(to),
            client_message_id: "c-1".to_owned(),
            time_ms: 1_700_000_000_000,
            content: Some(Content::Text("hi".to_owned()).into()),
            mentions: vec!["bob".to_owned()],
            reply_to: Some(3),
            ..Message::default()
        };
        let message = message_of(&row(encode_content(&expected))).unwrap();
        assert_eq!(message, expected);
    }

    #[test]
    fn a_recalled_message_says_nothing_of_what_it_said() {
        let message = message_of(&row(Bytes::new())).unwrap();
        let message = Message { content: Some(Content::Text("secret".to_owned()).into()), ..message };
        let recalled = message_of(&row(recalled_content(&message))).unwrap();
        assert_eq!((recalled.recalled, recalled.content, recalled.seq), (Some(true), None, 7));
    }

    #[test]
    fn a_content_that_cannot_be_read_is_named() {
        let error = message_of(&row(Bytes::from_static(&[0xff; 5]))).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert_eq!(error.to_string(), "content of message 7 in single:5:alice:bob cannot be read");
    }
}
