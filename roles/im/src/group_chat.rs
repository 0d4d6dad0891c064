//! A message to a group or a super group: one row in its outbox, whatever its size, then handed on.
//!
//! The reply waits for the store and for nothing else, and carries no inbox seq: a group's inboxes are written by
//! consumer afterwards, and a super group has none. Whether the sender may write is looked at in the commit. A
//! message that means everybody in a super group is for owner and admins to write, since it marks the conversation
//! of each member; who that is is read before, so such a message may be stored after what its sender says next.

use std::sync::Arc;

use backends::store::{Denied, Guard, Role, Store};
use contracts::{Error, Kind, Result};
use protocol::client::SendReply;
use protocol::{Code, ConversationId, GroupId, UserId};

use crate::failure;
use crate::row::{NewRow, Outgoing, Rows, reply_of};

/// Stores messages to groups.
pub(crate) struct GroupChat {
    rows: Rows,
    store: Arc<dyn Store>,
}

impl GroupChat {
    /// Writes these rows; reads from this store who is in a group.
    pub(crate) fn new(rows: Rows, store: Arc<dyn Store>) -> Self {
        Self { rows, store }
    }

    /// Stores a message. Nothing is awaited before the store has it, unless it means everybody.
    pub(crate) async fn send(&self, outgoing: Outgoing, group: GroupId) -> Result<SendReply> {
        if outgoing.mention_all {
            self.check_mention_all(&group, &outgoing.sender).await?;
        }
        let says = outgoing.says();
        let Outgoing { sender, connection, client_message_id, mentions, .. } = outgoing;
        let row = NewRow {
            conversation: ConversationId::group(&group),
            sender: sender.clone(),
            client_message_id,
            says,
            mentions,
            replaces: None,
            guard: Guard::MayWrite,
            inboxes: Vec::new(),
            except: connection,
        };
        match self.rows.write(row).await? {
            Ok(appended) => Ok(reply_of(&appended)),
            Err(denied) => Err(refusal(&*self.store, denied, &group, &sender).await),
        }
    }

    async fn check_mention_all(&self, group: &GroupId, sender: &UserId) -> Result<()> {
        let groups = self.store.groups(std::slice::from_ref(group)).await.map_err(failure::of_backend)?;
        if !groups.into_iter().flatten().any(|group| group.is_super()) {
            return Ok(());
        }
        let sender = std::slice::from_ref(sender);
        let members = self.store.members(group, sender).await.map_err(failure::of_backend)?;
        let plain =
            members.into_iter().flatten().any(|member| member.left == 0 && member.role == Role::Member);
        if plain {
            let message = format!("mentionAll in {group}, a super group, is for its owner and admins");
            return Err(Error::refused(Code::NotAllowed, message));
        }
        // Who is no member is refused by the guard.
        Ok(())
    }
}

/// What a user is told whose row a group's guard denied. Who never was in the group is not told that it exists.
pub(crate) async fn refusal(store: &dyn Store, denied: Denied, group: &GroupId, user: &UserId) -> Error {
    let (code, message) = match denied {
        Denied::Muted => (Code::Muted, format!("you are muted in {group}")),
        Denied::AllMuted => (Code::Muted, format!("only owner and admins may write in {group} for now")),
        Denied::NoGroup => return unknown_group(group),
        Denied::NotMember | Denied::Dismissed => {
            match store.members(group, std::slice::from_ref(user)).await {
                Ok(members) if members.iter().all(Option::is_none) => return unknown_group(group),
                Ok(_) if denied == Denied::Dismissed => return dismissed(group),
                Ok(_) => return no_member(group),
                Err(error) => return failure::of_backend(error),
            }
        }
        Denied::NoTarget => (Code::NotFound, format!("there is no such message in {group}")),
        Denied::Blocked | Denied::NoConversation => {
            return Error::new(Kind::Internal, format!("store denied a row of {group}: {denied:?}"));
        }
    };
    Error::refused(code, message)
}

/// What is told of a group that is not there, or not visible to who asks.
pub(crate) fn unknown_group(group: &GroupId) -> Error {
    Error::refused(Code::NotFound, format!("there is no group {group} that you can see"))
}

/// What somebody is told who was a member.
pub(crate) fn no_member(group: &GroupId) -> Error {
    Error::refused(Code::NotAllowed, format!("you are not a member of {group}"))
}

/// What a member is told of a group that has ended.
pub(crate) fn dismissed(group: &GroupId) -> Error {
    Error::refused(Code::Dismissed, format!("group {group} has ended"))
}
