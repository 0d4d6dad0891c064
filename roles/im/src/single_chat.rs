//! A message from one user to another: stored in both inboxes in one commit, then handed on.
//!
//! The reply waits for the store and for nothing else. The same client message id of the same sender within 24
//! hours is answered as the first one was, whatever receiver or content it names then; nothing is stored or
//! handed on again, since the first one's intent sees to that.

use std::sync::Arc;

use backends::mailbox;
use backends::store::{Append, Store};
use contracts::{Error, Kind, Result};
use metrics::Counter;
use protocol::client::{Message, SendReply, Target, target};
use protocol::message::Content;
use protocol::{ConnectionId, ConversationId, UserId};
use runtime::clock::now_ms;

use crate::failure;
use crate::hand_on::HandOn;
use crate::message_id::MessageIds;

/// Stores messages between two users.
pub(crate) struct SingleChat {
    store: Arc<dyn Store>,
    ids: Arc<MessageIds>,
    hand_on: Arc<HandOn>,
    stored: Counter,
    duplicates: Counter,
}

/// A message that was checked.
pub(crate) struct Outgoing {
    pub(crate) sender: UserId,
    /// The connection that gets the inbox seq with its reply.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) client_message_id: String,
    pub(crate) content: Content,
}

impl SingleChat {
    /// Stores in this store and hands on through these lanes.
    pub(crate) fn new(store: Arc<dyn Store>, ids: Arc<MessageIds>, hand_on: Arc<HandOn>) -> Self {
        let counter = |outcome| metrics::counter!("anser_im_sends_total", "outcome" => outcome);
        Self { store, ids, hand_on, stored: counter("stored"), duplicates: counter("duplicate") }
    }

    /// Stores a message. Nothing is awaited before the store has it: calls are stored in their order.
    pub(crate) async fn send(&self, outgoing: Outgoing, receiver: UserId) -> Result<SendReply> {
        let Outgoing { sender, connection, client_message_id, content } = outgoing;
        let to = Target { target: Some(target::Target::User(receiver.to_string())) };
        let time_ms = now_ms();
        let append = Append {
            conversation: ConversationId::single(&sender, &receiver),
            message_id: self.ids.next(time_ms),
            sender: sender.clone(),
            client_message_id: client_message_id.clone(),
            time_ms,
            content: mailbox::encode_content(&to, &content),
            // The sender first: of a duplicate too, the first seq is that of the sender's own inbox.
            inboxes: if sender == receiver { vec![sender.clone()] } else { vec![sender.clone(), receiver] },
        };
        let inboxes = append.inboxes.clone();
        let appended = self.store.append(vec![append]).await.pop().unwrap_or_else(|| {
            Err(backends::Error::new(backends::Kind::Corrupt, "store answered nothing to an append"))
        });
        let appended = appended.map_err(failure::of_backend)?;
        let Some(inbox_seq) = appended.inbox_seqs.first().copied() else {
            return Err(Error::new(Kind::Internal, "store answered no inbox seq to an append"));
        };
        if appended.duplicate {
            self.duplicates.increment(1);
        } else {
            self.stored.increment(1);
            let message = Message {
                inbox_seq: None,
                conversation: appended.conversation.as_str().to_owned(),
                seq: appended.seq,
                message_id: appended.message_id,
                sender: sender.to_string(),
                to: Some(to),
                client_message_id,
                time_ms: appended.time_ms,
                content: Some(content.into()),
            };
            let inboxes = inboxes.into_iter().zip(appended.inbox_seqs).collect();
            self.hand_on.offer(&Arc::new(message), inboxes, connection);
        }
        Ok(SendReply {
            message_id: appended.message_id,
            conversation: appended.conversation.as_str().to_owned(),
            seq: appended.seq,
            inbox_seq: Some(inbox_seq),
            time_ms: appended.time_ms,
        })
    }
}
