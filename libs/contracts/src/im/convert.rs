//! What im's values are on the wire.

use protocol::ConnectionId;
use protocol::client;

use crate::convert::{device, group, present, user};
use crate::im::{Asker, Page, Position, Resumed, SendRequest, SuperGroup};
use crate::{Error, Result, wire};

impl From<SendRequest> for wire::SendRequest {
    fn from(request: SendRequest) -> Self {
        let SendRequest { sender, connection, send } = request;
        Self { sender: sender.to_string(), connection: connection.0, send: Some(send) }
    }
}

impl TryFrom<wire::SendRequest> for SendRequest {
    type Error = Error;

    fn try_from(request: wire::SendRequest) -> Result<Self> {
        let wire::SendRequest { sender, connection, send } = request;
        let send = present("a message to be sent", send)?;
        Ok(Self { sender: user(&sender)?, connection: ConnectionId(connection), send })
    }
}

/// What somebody asks, as it crosses.
pub(crate) fn ask_request(asker: Asker, request: client::request::Request) -> wire::AskRequest {
    let Asker { user, device, connection } = asker;
    wire::AskRequest {
        user: user.to_string(),
        device: device.map(|device| device.to_string()),
        connection: connection.map(|connection| connection.0),
        request: Some(client::Request { seq: 0, request: Some(request) }),
    }
}

/// What somebody asks, as it has crossed.
pub(crate) fn of_ask_request(message: wire::AskRequest) -> Result<(Asker, client::request::Request)> {
    let wire::AskRequest { user: who, device: on, connection, request } = message;
    let request = present("a request", request.and_then(|request| request.request))?;
    let asker = Asker {
        user: user(&who)?,
        device: on.as_deref().map(device).transpose()?,
        connection: connection.map(ConnectionId),
    };
    Ok((asker, request))
}

impl From<SuperGroup> for wire::SuperGroup {
    fn from(group: SuperGroup) -> Self {
        Self { group: group.group.to_string(), version: group.version }
    }
}

impl TryFrom<wire::SuperGroup> for SuperGroup {
    type Error = Error;

    fn try_from(super_group: wire::SuperGroup) -> Result<Self> {
        Ok(Self { group: group(&super_group.group)?, version: super_group.version })
    }
}

impl From<Resumed> for wire::Resumed {
    fn from(resumed: Resumed) -> Self {
        let Resumed { inbox_top, acked_up_to, held_up_to, groups, groups_next } = resumed;
        Self { inbox_top, acked_up_to, held_up_to, groups, groups_next }
    }
}

impl From<wire::Resumed> for Resumed {
    fn from(resumed: wire::Resumed) -> Self {
        let wire::Resumed { inbox_top, acked_up_to, held_up_to, groups, groups_next } = resumed;
        Self { inbox_top, acked_up_to, held_up_to, groups, groups_next }
    }
}

impl From<Page> for wire::PageReply {
    fn from(page: Page) -> Self {
        let Page { messages, top, next } = page;
        Self { messages, top, next }
    }
}

impl From<wire::PageReply> for Page {
    fn from(page: wire::PageReply) -> Self {
        let wire::PageReply { messages, top, next } = page;
        Self { messages, top, next }
    }
}

impl From<&Position> for wire::Position {
    fn from(position: &Position) -> Self {
        Self {
            user: position.user.to_string(),
            device: position.device.to_string(),
            inbox_seq: position.inbox_seq,
        }
    }
}

impl TryFrom<wire::Position> for Position {
    type Error = Error;

    fn try_from(position: wire::Position) -> Result<Self> {
        let wire::Position { user: who, device: on, inbox_seq } = position;
        Ok(Self { user: user(&who)?, device: device(&on)?, inbox_seq })
    }
}
