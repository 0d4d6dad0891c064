//! A conversation as it is for one of its users: how far it is read, what is unread, what is pinned.
//!
//! **Unread** is the count of messages with a seq above max(read, own last sent, joined); control rows are not
//! counted. It is computed from two rows, not kept: every outbox row carries how many messages there are up to it.
//!
//! **Version** of a user's conversations rises with every row of the user's inbox, and with every change of a
//! conversation that no inbox row tells (a read, a pin, a join). A super group's rows do not move it.

use protocol::ConversationId;

use super::group::{Group, HistoryRule};
use super::message::OutboxRow;

/// What bounds a user's view of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The seq of the row with which the user came in; 0 in a single chat.
    pub joined: u64,
    /// The seq of the row with which the user went; 0: is still there.
    pub left: u64,
    /// What members see from before their join.
    pub history: HistoryRule,
    /// Nothing is said in the group any more.
    pub dismissed: bool,
    /// The first seq that stands in the outbox alone; 0: none does.
    pub super_from: u64,
    /// The highest seq of the conversation.
    pub top: u64,
    /// Up to where the user has read, on whatever device.
    pub read: u64,
}

impl Standing {
    /// The lowest seq that the user may see.
    #[must_use]
    pub fn low(&self) -> u64 {
        match self.history {
            HistoryRule::Joined => self.joined + 1,
            HistoryRule::All => 1,
        }
    }

    /// The highest seq that the user may see.
    #[must_use]
    pub fn high(&self) -> u64 {
        if self.left == 0 { self.top } else { self.left - 1 }
    }
}

/// A conversation as it is for one of its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Which.
    pub conversation: ConversationId,
    /// Its group; `None` for a single chat.
    pub group: Option<Group>,
    /// What bounds the view.
    pub standing: Standing,
    /// The last message that the user may see.
    pub last: Option<OutboxRow>,
    /// How many messages are unread.
    pub unread: u64,
    /// The user, or everybody, was mentioned in one of them.
    pub mentioned: bool,
    /// Set by the user.
    pub pinned: bool,
    /// Set by the user.
    pub muted: bool,
    /// Of a single chat: up to where a device of the other user has received.
    pub peer_delivered: u64,
    /// Of a single chat: up to where the other user has read, or has answered.
    pub peer_read: u64,
}

/// Conversations that have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationPage {
    /// Each as it stands.
    pub conversations: Vec<Conversation>,
    /// To be given the next time; below 2⁵³. It has no other meaning.
    pub version: u64,
    /// There are more.
    pub more: bool,
}

/// How a read has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadMoved {
    /// Where it stood.
    pub from: u64,
    /// Where it stands; equal to `from` where it was not raised.
    pub to: u64,
}
