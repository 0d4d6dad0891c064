//! Conversations as the server keeps them for a user: which there are, how far they are read, what was said.

use super::requests;

requests! {
    /// Asks for the conversations that have changed since a version, 0 for all of them; at most `limit`, 0 for the
    /// server's own.
    conversations(version: u64, limit: u32) => Conversations -> ConversationsReply;
    /// Pins a conversation, mutes it, or takes either back.
    conversation_update(message) => ConversationUpdate -> ConversationUpdateReply;
    /// Says that the user has read a conversation up to a seq.
    read(conversation: impl Into<String>, seq: u64) => Read -> ReadReply;
    /// Asks who has read a message.
    readers(conversation: impl Into<String>, seq: u64) => Readers -> ReadersReply;
    /// Asks for messages of a conversation, backwards or forwards, by seq or by time.
    history(message) => History -> HistoryReply;
}
