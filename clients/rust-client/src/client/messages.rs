//! Messages: what is sent, recalled, and being written.

use protocol::client;
use protocol::codec::RequestKind;
use protocol::message::Content;

use super::requests;
use crate::{Client, Error, To};

/// A message that is about to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    send: client::Send,
}

impl Draft {
    /// A message under a client message id of its own.
    #[must_use]
    pub fn new(to: To, content: Content) -> Self {
        let send = client::Send {
            to: Some(to.into()),
            client_message_id: new_client_message_id(),
            content: Some(content.into()),
            ..client::Send::default()
        };
        Self { send }
    }

    /// Words.
    #[must_use]
    pub fn text(to: To, text: impl Into<String>) -> Self {
        Self::new(to, Content::Text(text.into()))
    }

    /// Gives it this client message id; the same id again within a day gets the first answer.
    #[must_use]
    pub fn client_message_id(mut self, id: impl Into<String>) -> Self {
        self.send.client_message_id = id.into();
        self
    }

    /// Means a user by name.
    #[must_use]
    pub fn mention(mut self, user: impl Into<String>) -> Self {
        self.send.mentions.push(user.into());
        self
    }

    /// Means everybody in the group.
    #[must_use]
    pub fn mention_all(mut self) -> Self {
        self.send.mention_all = true;
        self
    }

    /// Answers the message that has this seq in the same conversation.
    #[must_use]
    pub fn reply_to(mut self, seq: u64) -> Self {
        self.send.reply_to = seq;
        self
    }
}

impl From<Draft> for client::Send {
    fn from(draft: Draft) -> Self {
        draft.send
    }
}

requests! {
    /// Takes back what was said under a seq of a conversation: its text is gone for everybody.
    recall(conversation: impl Into<String>, seq: u64) => Recall -> RecallReply;
}

impl Client {
    /// Sends a message under a client message id of its own.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn send(&self, to: To, content: Content) -> Result<client::SendReply, Error> {
        self.send_draft(Draft::new(to, content)).await
    }

    /// Sends words.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn send_text(&self, to: To, text: impl Into<String>) -> Result<client::SendReply, Error> {
        self.send_draft(Draft::text(to, text)).await
    }

    /// Sends a message under this client message id; the same id again within a day gets the first answer.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn send_as(
        &self,
        client_message_id: String,
        to: To,
        content: Content,
    ) -> Result<client::SendReply, Error> {
        self.send_draft(Draft::new(to, content).client_message_id(client_message_id)).await
    }

    /// Sends a message with whatever belongs to it. One to a group comes back as an event, as every other member
    /// gets it, and is known by its client message id.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn send_draft(&self, draft: Draft) -> Result<client::SendReply, Error> {
        self.request(RequestKind::Send(draft.into())).await
    }

    /// Says that the user is writing; said again every few seconds while it lasts.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn typing(&self, to: To) -> Result<client::TypingReply, Error> {
        self.request(RequestKind::Typing(client::Typing { to: Some(to.into()) })).await
    }
}

/// Makes a client message id that no other message has.
#[must_use]
pub fn new_client_message_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
