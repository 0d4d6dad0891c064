//! Answers im's contract: checks what was asked, and gives it to the part that does it.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::im::{Asker, Im, Page, Position, Resumed, SendRequest, SuperGroup};
use contracts::{Error, Result};
use protocol::client::{Send as Sending, SendReply, target};
use protocol::codec::{ReplyKind, RequestKind};
use protocol::limits::{CLIENT_MESSAGE_ID_BYTES_MAX, MENTIONS_MAX};
use protocol::message::Content;
use protocol::{Code, ConnectionId, ConversationId, DeviceId, GroupId, Identifier, RoomId, UserId};
use runtime::clock::now_ms;

use crate::block::Blocks;
use crate::conversation::Conversations;
use crate::failure::refused_id;
use crate::group::Groups;
use crate::group_chat::GroupChat;
use crate::group_sync::GroupSync;
use crate::history::Histories;
use crate::message_id::MessageIds;
use crate::offline::Offline;
use crate::presence::Presence;
use crate::recall::Recalls;
use crate::receipt::Receipts;
use crate::room::Rooms;
use crate::row::Outgoing;
use crate::single_chat::SingleChat;
use crate::super_group::SuperGroups;
use crate::typing::Typing;

/// im in this process: its parts.
pub(crate) struct Local {
    pub(crate) ids: Arc<MessageIds>,
    pub(crate) single_chat: SingleChat,
    pub(crate) group_chat: GroupChat,
    pub(crate) rooms: Rooms,
    pub(crate) groups: Groups,
    pub(crate) super_groups: SuperGroups,
    pub(crate) recalls: Recalls,
    pub(crate) offline: Offline,
    pub(crate) conversations: Arc<Conversations>,
    pub(crate) receipts: Receipts,
    pub(crate) histories: Histories,
    pub(crate) group_sync: GroupSync,
    pub(crate) presence: Presence,
    pub(crate) typing: Typing,
    pub(crate) blocks: Blocks,
}

impl Local {
    /// A client message id for who gave none.
    pub(crate) fn make_client_message_id(&self) -> String {
        format!("server-{}", self.ids.next(now_ms()))
    }

    /// Checks a message and stores it or hands it on. Without a connection it is the business that sends, in the
    /// sender's name.
    pub(crate) async fn send_checked(
        &self,
        sender: UserId,
        connection: Option<ConnectionId>,
        send: Sending,
    ) -> Result<SendReply> {
        let target = send.to.and_then(|to| to.target);
        let Some(target) = target else {
            return Err(invalid("to is empty: give to.user, to.group or to.room"));
        };
        check_client_message_id(&send.client_message_id)?;
        let Some(content) = send.content.map(Content::from) else {
            let kinds = "text, image, audio, video, file, location or custom";
            return Err(invalid(format!("content is missing: give {kinds}")));
        };
        content.check().map_err(|error| Error::refused(error.code, error.message))?;
        let mentions = check_mentions(&send.mentions)?;
        let outgoing = Outgoing {
            sender,
            connection,
            client_message_id: send.client_message_id,
            content,
            mentions,
            mention_all: send.mention_all,
            reply_to: send.reply_to,
        };
        match target {
            target::Target::User(user) => {
                let receiver = UserId::new(&user).map_err(refused_id("to"))?;
                self.single_chat.send(outgoing, receiver).await
            }
            target::Target::Group(group) => {
                let group = GroupId::new(&group).map_err(refused_id("to"))?;
                self.group_chat.send(outgoing, group).await
            }
            target::Target::Room(room) => {
                let room = RoomId::new(&room).map_err(refused_id("to"))?;
                self.rooms.send(outgoing, room).await
            }
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::refused(Code::InvalidArgument, message)
}

/// The server's own rows have ids that begin with a control character, which nobody else may use.
fn check_client_message_id(id: &str) -> Result<()> {
    let length_bytes = id.len();
    if !(1..=CLIENT_MESSAGE_ID_BYTES_MAX).contains(&length_bytes) {
        let range = format!("give 1 to {CLIENT_MESSAGE_ID_BYTES_MAX}");
        return Err(invalid(format!("clientMessageId has {length_bytes} bytes: {range}")));
    }
    match id.char_indices().find(|(_, character)| character.is_control()) {
        Some((position, _)) => {
            Err(invalid(format!("clientMessageId has a control character at byte {position}")))
        }
        None => Ok(()),
    }
}

fn check_mentions(mentions: &[String]) -> Result<Vec<UserId>> {
    let count = mentions.len();
    if count > MENTIONS_MAX {
        return Err(invalid(format!("mentions names {count} users: give up to {MENTIONS_MAX}")));
    }
    let users = mentions.iter().map(|user| UserId::new(user).map_err(refused_id("mentions")));
    let users = users.collect::<Result<Vec<UserId>>>()?;
    let distinct: HashSet<&UserId> = users.iter().collect();
    if distinct.len() < count {
        return Err(invalid("mentions names a user twice: give each once"));
    }
    Ok(users)
}

#[async_trait]
impl Im for Local {
    async fn send(&self, request: SendRequest) -> Result<SendReply> {
        self.send_checked(request.sender, Some(request.connection), request.send).await
    }

    async fn ask(&self, asker: Asker, request: RequestKind) -> Result<ReplyKind> {
        self.answer(&asker, request).await
    }

    async fn super_groups(&self, user: &UserId) -> Result<Vec<SuperGroup>> {
        self.super_groups.of_user(user).await
    }

    async fn group_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        self.super_groups.tops(conversations).await
    }

    async fn resume(&self, user: &UserId, device: &DeviceId, held_up_to: Option<u64>) -> Result<Resumed> {
        self.offline.resume(user, device, held_up_to).await
    }

    async fn page(&self, user: &UserId, begin: u64, end: u64, limit: u32) -> Result<Page> {
        self.offline.page(user, begin, end, limit).await
    }

    async fn ack(&self, positions: Vec<Position>) -> Result<()> {
        self.offline.ack(positions).await
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        self.offline.inbox_tops(users).await
    }
}
