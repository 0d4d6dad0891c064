//! A message from one user to another: stored in both inboxes in one commit, then handed on.
//!
//! The reply waits for the store and for nothing else. Whether the receiver has blocked the sender, and whether there
//! is a conversation where the rule asks for one, is looked at in the same commit.

use backends::store::{Denied, Guard};
use contracts::{Error, Result};
use protocol::client::{Message, SendReply, Target, target};
use protocol::{Code, ConversationId, UserId};

use crate::row::{NewRow, Outgoing, Rows, reply_of};
use crate::rule::SingleChatRule;

/// Stores messages between two users.
pub(crate) struct SingleChat {
    rows: Rows,
    rule: SingleChatRule,
}

impl SingleChat {
    /// Writes these rows under this rule.
    pub(crate) fn new(rows: Rows, rule: SingleChatRule) -> Self {
        Self { rows, rule }
    }

    /// Stores a message. Nothing is awaited before the store has it: calls are stored in their order.
    pub(crate) async fn send(&self, outgoing: Outgoing, receiver: UserId) -> Result<SendReply> {
        // The business, which has no connection, begins what conversations it likes.
        let existing = self.rule == SingleChatRule::Existing && outgoing.connection.is_some();
        let to = Target { target: Some(target::Target::User(receiver.to_string())) };
        let says = Message { to: Some(to), ..outgoing.says() };
        let Outgoing { sender, connection, client_message_id, mentions, .. } = outgoing;
        // A mark is for who can see the message.
        let mentions = mentions.into_iter().filter(|user| *user == receiver).collect();
        let row = NewRow {
            conversation: ConversationId::single(&sender, &receiver),
            client_message_id,
            says,
            mentions,
            replaces: None,
            inboxes: inboxes_of(&sender, &receiver),
            guard: Guard::Single { receiver: receiver.clone(), existing },
            except: connection,
            sender,
        };
        let appended = self.rows.write(row).await?.map_err(|denied| refusal(denied, &receiver))?;
        Ok(reply_of(&appended))
    }
}

/// The inboxes of a single chat, the sender first: of a duplicate too, the first seq is that of the sender's own.
pub(crate) fn inboxes_of(sender: &UserId, receiver: &UserId) -> Vec<UserId> {
    if sender == receiver { vec![sender.clone()] } else { vec![sender.clone(), receiver.clone()] }
}

fn refusal(denied: Denied, receiver: &UserId) -> Error {
    match denied {
        Denied::Blocked => Error::refused(Code::Blocked, format!("{receiver} has blocked you")),
        Denied::NoConversation => Error::refused(
            Code::NotAllowed,
            format!("there is no conversation with {receiver} yet: this server lets the business begin one"),
        ),
        denied => {
            Error::new(contracts::Kind::Internal, format!("store denied a single chat message: {denied:?}"))
        }
    }
}
