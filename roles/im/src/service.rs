//! Answers im's contract: checks what was asked, and gives it to the part that does it.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::im::{Im, Page, Position, Resumed, SendRequest};
use contracts::{Error, Result};
use protocol::client::{SendReply, Target, target};
use protocol::limits::CLIENT_MESSAGE_ID_BYTES_MAX;
use protocol::{Code, DeviceId, Identifier, RoomId, UserId};
use runtime::clock::now_ms;

use crate::message_id::MessageIds;
use crate::offline::Offline;
use crate::room::Rooms;
use crate::single_chat::{Outgoing, SingleChat};

/// im in this process.
pub(crate) struct Local {
    single_chat: SingleChat,
    rooms: Rooms,
    offline: Offline,
    ids: Arc<MessageIds>,
}

impl Local {
    /// Answers from these parts.
    pub(crate) fn new(single_chat: SingleChat, rooms: Rooms, offline: Offline, ids: Arc<MessageIds>) -> Self {
        Self { single_chat, rooms, offline, ids }
    }

    /// A client message id for who gave none.
    pub(crate) fn make_client_message_id(&self) -> String {
        format!("server-{}", self.ids.next(now_ms()))
    }

    /// Checks a message and stores it or hands it on.
    pub(crate) async fn send_checked(&self, outgoing: Outgoing, to: Target) -> Result<SendReply> {
        check_client_message_id(&outgoing.client_message_id)?;
        outgoing.content.check().map_err(|error| Error::refused(error.code, error.message))?;
        let bad_id =
            |error: protocol::ids::IdError| Error::refused(Code::InvalidArgument, format!("to: {error}"));
        match to.target {
            Some(target::Target::User(user)) => {
                let receiver = UserId::new(&user).map_err(bad_id)?;
                self.single_chat.send(outgoing, receiver).await
            }
            Some(target::Target::Room(room)) => {
                let room = RoomId::new(&room).map_err(bad_id)?;
                self.rooms.send(outgoing, room).await
            }
            Some(target::Target::Group(_)) => {
                Err(Error::refused(Code::Unsupported, "to.group: this server has no groups"))
            }
            None => {
                Err(Error::refused(Code::InvalidArgument, "to is empty: give to.user, to.group or to.room"))
            }
        }
    }
}

fn check_client_message_id(id: &str) -> Result<()> {
    if (1..=CLIENT_MESSAGE_ID_BYTES_MAX).contains(&id.len()) {
        return Ok(());
    }
    let length_bytes = id.len();
    let message =
        format!("clientMessageId has {length_bytes} bytes: give 1 to {CLIENT_MESSAGE_ID_BYTES_MAX}");
    Err(Error::refused(Code::InvalidArgument, message))
}

#[async_trait]
impl Im for Local {
    async fn send(&self, request: SendRequest) -> Result<SendReply> {
        let SendRequest { sender, connection, to, client_message_id, content } = request;
        let outgoing = Outgoing { sender, connection: Some(connection), client_message_id, content };
        self.send_checked(outgoing, to).await
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
