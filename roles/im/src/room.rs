//! A message from a member of a live room to the room: not stored, handed to push through topic `push`.
//!
//! Whether the sender is in the room is known to its proxy, which asks only for members.

use std::sync::Arc;

use backends::broker::{self, Broker, Topic};
use bytes::Bytes;
use contracts::push::Record;
use contracts::{Error, Result};
use metrics::Counter;
use prost::Message as _;
use protocol::client::{RoomMessage, SendReply};
use protocol::{Code, Identifier, RoomId};
use runtime::clock::now_ms;

use crate::failure;
use crate::message_id::MessageIds;
use crate::row::Outgoing;

/// Hands messages to rooms on.
pub(crate) struct Rooms {
    broker: Arc<dyn Broker>,
    ids: Arc<MessageIds>,
    published: Counter,
}

impl Rooms {
    /// Publishes to this broker.
    pub(crate) fn new(broker: Arc<dyn Broker>, ids: Arc<MessageIds>) -> Self {
        Self { broker, ids, published: metrics::counter!("anser_im_sends_total", "outcome" => "room") }
    }

    /// Publishes a message; the reply tells when the broker has it.
    pub(crate) async fn send(&self, outgoing: Outgoing, room: RoomId) -> Result<SendReply> {
        if !outgoing.mentions.is_empty() || outgoing.mention_all || outgoing.reply_to > 0 {
            let message = "a message to a room carries no mentions, mentionAll or replyTo: leave them out";
            return Err(Error::refused(Code::InvalidArgument, message));
        }
        let time_ms = now_ms();
        let message = RoomMessage {
            room: room.to_string(),
            sender: Some(outgoing.sender.to_string()),
            client_message_id: Some(outgoing.client_message_id),
            time_ms: Some(time_ms),
            op: None,
            body: None,
            content: Some(outgoing.content.into()),
        };
        let record = Record { room: room.to_string(), message: Some(message), ..Record::default() };
        let record = broker::Record {
            key: Bytes::copy_from_slice(room.as_str().as_bytes()),
            value: record.encode_to_vec().into(),
        };
        self.broker.publish(Topic::Push, vec![record]).await.map_err(failure::of_backend)?;
        self.published.increment(1);
        let message_id = self.ids.next(time_ms);
        Ok(SendReply { message_id, conversation: String::new(), seq: 0, inbox_seq: None, time_ms })
    }
}
