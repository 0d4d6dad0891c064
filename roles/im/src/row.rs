//! Writes a row into a conversation and hands it on: a message, or a recall of one.
//!
//! Nothing is awaited before the store has the row, so that calls are stored in their order, and nothing after it
//! either. The same client message id of the same sender within 24 hours is answered as the first one was, whatever
//! receiver or content it names then; nothing is stored or handed on again, since the first one's intent sees to
//! that.

use std::sync::Arc;

use backends::mailbox;
use backends::store::{Append, Appended, Denied, Guard, Outcome, Replacement, Store};
use contracts::{Error, Kind, Result};
use metrics::Counter;
use protocol::client::{Message, SendReply};
use protocol::message::Content;
use protocol::{ConnectionId, ConversationId, UserId};
use runtime::clock::now_ms;

use crate::failure;
use crate::hand_on::HandOn;
use crate::message_id::MessageIds;

/// A message that was checked.
pub(crate) struct Outgoing {
    pub(crate) sender: UserId,
    /// The connection that gets the inbox seq with its reply; `None` where the business sends.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) client_message_id: String,
    pub(crate) content: Content,
    /// Distinct.
    pub(crate) mentions: Vec<UserId>,
    pub(crate) mention_all: bool,
    /// It is not looked up: who reads the message finds there what may be seen there.
    pub(crate) reply_to: u64,
}

impl Outgoing {
    /// What the message says, without what comes with its commit.
    pub(crate) fn says(&self) -> Message {
        Message {
            content: Some(self.content.clone().into()),
            mentions: self.mentions.iter().map(ToString::to_string).collect(),
            mention_all: self.mention_all.then_some(true),
            reply_to: (self.reply_to > 0).then_some(self.reply_to),
            ..Message::default()
        }
    }
}

/// A row to be written.
pub(crate) struct NewRow {
    pub(crate) conversation: ConversationId,
    pub(crate) sender: UserId,
    pub(crate) client_message_id: String,
    /// What it says; ids, seq and time come with the commit. One without a kind is a message and is counted.
    pub(crate) says: Message,
    pub(crate) mentions: Vec<UserId>,
    pub(crate) replaces: Option<Replacement>,
    pub(crate) guard: Guard,
    pub(crate) inboxes: Vec<UserId>,
    /// The connection whose reply carries the inbox seq.
    pub(crate) except: Option<ConnectionId>,
}

/// Writes rows.
#[derive(Clone)]
pub(crate) struct Rows {
    store: Arc<dyn Store>,
    ids: Arc<MessageIds>,
    hand_on: Arc<HandOn>,
    stored: Counter,
    duplicates: Counter,
    denied: Counter,
}

impl Rows {
    /// Writes into this store and hands on through these lanes.
    pub(crate) fn new(store: Arc<dyn Store>, ids: Arc<MessageIds>, hand_on: Arc<HandOn>) -> Self {
        let counter = |outcome| metrics::counter!("anser_im_sends_total", "outcome" => outcome);
        let (stored, duplicates) = (counter("stored"), counter("duplicate"));
        Self { store, ids, hand_on, stored, duplicates, denied: counter("denied") }
    }

    /// Writes a row; what its guard denied is the inner error.
    pub(crate) async fn write(&self, row: NewRow) -> Result<std::result::Result<Appended, Denied>> {
        let NewRow { conversation, sender, client_message_id, says, .. } = row;
        let time_ms = now_ms();
        let append = Append {
            conversation: conversation.clone(),
            message_id: self.ids.next(time_ms),
            sender: sender.clone(),
            client_message_id: client_message_id.clone(),
            time_ms,
            content: mailbox::encode_content(&says),
            counted: says.kind.is_none(),
            mentions: row.mentions,
            mention_all: says.mention_all.unwrap_or_default(),
            replaces: row.replaces,
            guard: row.guard,
            inboxes: row.inboxes.clone(),
        };
        let outcome = self.store.append(vec![append]).await.pop();
        let outcome =
            outcome.ok_or_else(|| Error::new(Kind::Internal, "store answered nothing to an append"))?;
        let appended = match outcome.map_err(failure::of_backend)? {
            Outcome::Written(appended) => appended,
            Outcome::Denied(denied) => {
                self.denied.increment(1);
                return Ok(Err(denied));
            }
        };
        if appended.duplicate {
            self.duplicates.increment(1);
            return Ok(Ok(appended));
        }
        self.stored.increment(1);
        let message = Message {
            conversation: conversation.as_str().to_owned(),
            seq: appended.seq,
            message_id: appended.message_id,
            sender: sender.to_string(),
            client_message_id,
            time_ms: appended.time_ms,
            group: conversation.group_id().map(|group| group.to_string()),
            ..says
        };
        let inboxes = row.inboxes.into_iter().zip(appended.inbox_seqs.iter().copied()).collect();
        self.hand_on.offer(&Arc::new(message), appended.fan_out, inboxes, row.except);
        Ok(Ok(appended))
    }
}

/// What a sender is answered. The first inbox that was named is the sender's own.
pub(crate) fn reply_of(appended: &Appended) -> SendReply {
    SendReply {
        message_id: appended.message_id,
        conversation: appended.conversation.as_str().to_owned(),
        seq: appended.seq,
        inbox_seq: appended.inbox_seqs.first().copied(),
        time_ms: appended.time_ms,
    }
}
