//! How far people have read: their own cursor, and who has read what somebody wrote.
//!
//! A user has one cursor in each conversation, for all devices. When it moves, the user's other connections are told
//! that the conversation has changed, and those who wrote what was read are told by a receipt: see [`crate::notice`].
//! Who has read a message is answered for single chats and groups; a super group's readers would be a list without
//! an end.

use std::sync::Arc;

use backends::store::{HistoryRule, Member, OutboxRange, OutboxRow, Standing, Store};
use contracts::im::Asker;
use contracts::{Error, Result};
use protocol::client::{Read, ReadReply, Readers, ReadersReply};
use protocol::{Code, ConversationId, GroupId, UserId};

use crate::notice::{Notice, Notices};
use crate::{conversation, failure};

/// Members that are read at once.
const MEMBERS_PAGE: usize = 500;
/// Pages of members that are read: more than the largest group that is no super group has.
const MEMBERS_PAGES_MAX: usize = 8;

/// Keeps how far users have read.
pub(crate) struct Receipts {
    store: Arc<dyn Store>,
    notices: Notices,
}

impl Receipts {
    /// Keeps cursors in this store, and tells of them through these notices.
    pub(crate) fn new(store: Arc<dyn Store>, notices: Notices) -> Self {
        Self { store, notices }
    }

    /// Moves the user's cursor in a conversation; it is only ever raised.
    pub(crate) async fn read(&self, asker: &Asker, request: Read) -> Result<ReadReply> {
        let conversation = conversation::parse(&request.conversation)?;
        let moved = self.store.set_read(&asker.user, &conversation, request.seq).await;
        let moved = moved.map_err(failure::of_backend)?;
        let moved = moved.ok_or_else(|| conversation::unknown(conversation.as_str()))?;
        if moved.to > moved.from {
            self.notices.offer(Notice::Read {
                user: asker.user.clone(),
                device: asker.device.clone(),
                conversation: conversation.clone(),
                from: moved.from,
                to: moved.to,
            });
            let users = vec![asker.user.clone()];
            self.notices.offer(Notice::Conversation { users, conversation, except: asker.connection });
        }
        Ok(ReadReply { read_up_to: moved.to })
    }

    /// Answers who has read a message, without its sender.
    pub(crate) async fn readers(&self, asker: &Asker, request: Readers) -> Result<ReadersReply> {
        let conversation = conversation::parse(&request.conversation)?;
        let standings = self.store.standings(&asker.user, std::slice::from_ref(&conversation)).await;
        let standing = standings.map_err(failure::of_backend)?.into_iter().next().flatten();
        let standing = standing.ok_or_else(|| conversation::unknown(conversation.as_str()))?;
        if standing.super_from > 0 {
            let message = format!("readers are not known in a super group: {conversation} is one");
            return Err(Error::refused(Code::Unsupported, message));
        }
        if standing.left > 0 {
            let message =
                format!("you have left {conversation}: its members and what they read are not told");
            return Err(Error::refused(Code::NotAllowed, message));
        }
        let row = self.message(&conversation, &standing, request.seq).await?;
        let receivers = match (conversation.users(), conversation.group_id()) {
            (Some((one, other)), _) => vec![one, other],
            (None, Some(group)) => self.who_may_see(&group, &standing, row.seq).await?,
            (None, None) => Vec::new(),
        };
        let others: Vec<UserId> = receivers.into_iter().filter(|user| *user != row.sender).collect();
        let reads = self.store.reads(&conversation, &others).await.map_err(failure::of_backend)?;
        let read_it = others.iter().zip(reads).filter(|(_, read)| *read >= row.seq);
        let users: Vec<String> = read_it.map(|(user, _)| user.to_string()).collect();
        Ok(ReadersReply { count: users.len() as u64, users })
    }

    /// The message under a seq, where the user may see it.
    async fn message(
        &self,
        conversation: &ConversationId,
        standing: &Standing,
        seq: u64,
    ) -> Result<OutboxRow> {
        let no_message = || {
            let message = format!("{conversation} has no message {seq} that this user may see");
            Error::refused(Code::NotFound, message)
        };
        if seq < standing.low() || seq > standing.high() {
            return Err(no_message());
        }
        let range = OutboxRange { conversation: conversation.clone(), begin: seq, end: seq };
        let pages = self.store.outbox_pages(&[range], 1).await.map_err(failure::of_backend)?;
        let row = pages.into_iter().flatten().next();
        row.filter(|row| row.counted && row.seq == seq).ok_or_else(no_message)
    }

    /// The members of a group who may see a row: those who came before it, or all where the group says so.
    async fn who_may_see(&self, group: &GroupId, standing: &Standing, seq: u64) -> Result<Vec<UserId>> {
        let sees = |member: &Member| {
            member.left == 0 && (standing.history == HistoryRule::All || member.joined < seq)
        };
        let mut users = Vec::new();
        let mut after: Option<UserId> = None;
        for _ in 0..MEMBERS_PAGES_MAX {
            let page = self.store.members_page(group, after.as_ref(), MEMBERS_PAGE).await;
            let page = page.map_err(failure::of_backend)?;
            after = page.last().map(|member| member.user.clone());
            let full = page.len() >= MEMBERS_PAGE;
            users.extend(page.into_iter().filter(sees).map(|member| member.user));
            if !full {
                break;
            }
        }
        Ok(users)
    }
}
