//! A user's conversations: the list since a version, what the user has chosen for one, and how one is told.
//!
//! Unread, last and mention are the store's, read as they stand; this file puts them into the client's words. A
//! page of the list is bounded by its bytes too, since each conversation brings its last message.

use std::sync::Arc;

use backends::store::{self, Store};
use contracts::im::Asker;
use contracts::{Error, Result};
use prost::Message as _;
use protocol::client::{
    Conversation, ConversationUpdate, ConversationUpdateReply, Conversations as Request, ConversationsReply,
};
use protocol::limits::{CONVERSATIONS_PAGE_DEFAULT, CONVERSATIONS_PAGE_MAX};
use protocol::{Code, ConnectionId, ConversationId, UserId};

use crate::notice::{Notice, Notices};
use crate::{failure, history};

/// Bytes of one page, as of a page of sync; at least one conversation is always given.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Characters of a conversation that an error repeats: the longest one has 141.
const NAMED_CHARACTERS_MAX: usize = 160;

/// Lists conversations and keeps what was chosen for them.
pub(crate) struct Conversations {
    store: Arc<dyn Store>,
    notices: Notices,
}

impl Conversations {
    /// Reads this store, and tells of changes through these notices.
    pub(crate) fn new(store: Arc<dyn Store>, notices: Notices) -> Self {
        Self { store, notices }
    }

    /// Answers the conversations that have changed since a version.
    pub(crate) async fn conversations(&self, asker: &Asker, request: Request) -> Result<ConversationsReply> {
        let mut limit = match request.limit {
            0 => CONVERSATIONS_PAGE_DEFAULT as usize,
            limit => limit.min(CONVERSATIONS_PAGE_MAX) as usize,
        };
        loop {
            let page = self.store.conversations_since(&asker.user, request.version, limit);
            let page = page.await.map_err(failure::of_backend)?;
            let conversations: Vec<Conversation> =
                page.conversations.iter().map(|found| of_store(&asker.user, found)).collect();
            let fitting = fitting_count(&conversations, PAGE_BYTES_MAX);
            if fitting == conversations.len() {
                return Ok(ConversationsReply { conversations, version: page.version, more: page.more });
            }
            // Where the page must end only the store can say, since the version is its own.
            limit = fitting;
        }
    }

    /// Sets what the user has chosen, and tells the user's other connections.
    pub(crate) async fn conversation_update(
        &self,
        asker: &Asker,
        request: ConversationUpdate,
    ) -> Result<ConversationUpdateReply> {
        let conversation = parse(&request.conversation)?;
        let (pinned, muted) = (request.pinned, request.muted);
        if pinned.is_none() && muted.is_none() {
            let message = format!("nothing to change in {conversation}: give pinned or muted");
            return Err(Error::refused(Code::InvalidArgument, message));
        }
        let set = self.store.set_choices(&asker.user, &conversation, pinned, muted).await;
        if !set.map_err(failure::of_backend)? {
            return Err(unknown(conversation.as_str()));
        }
        self.tell(vec![asker.user.clone()], &conversation, asker.connection);
        Ok(ConversationUpdateReply {})
    }

    /// Tells users that a conversation has changed, each as it stands for that user by then, in a moment; never
    /// waits.
    pub(crate) fn tell(
        &self,
        users: Vec<UserId>,
        conversation: &ConversationId,
        except: Option<ConnectionId>,
    ) {
        self.notices.offer(Notice::Conversation { users, conversation: conversation.clone(), except });
    }
}

/// The conversation that a client names.
///
/// # Errors
/// `NotFound` where there can be none of that name.
pub(crate) fn parse(text: &str) -> Result<ConversationId> {
    ConversationId::parse(text).ok_or_else(|| unknown(text))
}

/// The refusal of a conversation that is not there, or in which the user has no part: the two are not told apart.
pub(crate) fn unknown(text: &str) -> Error {
    let named: String = text.chars().take(NAMED_CHARACTERS_MAX).collect();
    Error::refused(Code::NotFound, format!("conversation {named:?} is unknown to this user"))
}

/// A conversation in the client's words.
pub(crate) fn of_store(user: &UserId, found: &store::Conversation) -> Conversation {
    let standing = &found.standing;
    let kind = match &found.group {
        None => "single",
        Some(group) if group.is_super() => "super",
        Some(_) => "group",
    };
    let is_single = found.group.is_none();
    Conversation {
        conversation: found.conversation.as_str().to_owned(),
        kind: kind.to_owned(),
        peer: found.conversation.peer_of(user).map(|peer| peer.to_string()),
        group: found.group.as_ref().map(|group| group.group.to_string()),
        name: found.group.as_ref().map(|group| group.settings.name.clone()),
        top: standing.high(),
        read_up_to: standing.read,
        unread: found.unread,
        mentioned: found.mentioned,
        last: found.last.as_ref().and_then(history::message_of).map(Box::new),
        pinned: found.pinned,
        muted: found.muted,
        joined: standing.joined,
        left: (standing.left != 0).then_some(standing.left),
        peer_delivered_up_to: is_single.then_some(found.peer_delivered),
        peer_read_up_to: is_single.then_some(found.peer_read),
    }
}

/// How many of them fit into this many bytes, from the first one on; at least one.
fn fitting_count(conversations: &[Conversation], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |conversation: &&Conversation| {
        bytes += conversation.encoded_len();
        bytes <= bytes_max
    };
    conversations.iter().take_while(fits).count().max(1).min(conversations.len())
}
