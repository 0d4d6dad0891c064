//! What the contracts' values have in common on the wire.

use bytes::Bytes;
use prost::Message;
use protocol::client;
use protocol::code::CloseCode;
use protocol::codec::Event;
use protocol::{ConversationId, DeviceId, GroupId, Identifier, RoomId, ServerId, UserId};

use crate::{Error, Kind, Result, wire};

/// What came cannot be read: a failure of the other side, or one of another version.
pub(crate) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Internal, format!("{what} between processes cannot be read: {error}"))
}

/// Reads a message.
pub(crate) fn decode<M: Message + Default>(what: &str, bytes: Bytes) -> Result<M> {
    M::decode(bytes).map_err(|error| unreadable(what, error))
}

/// A part that must be there.
pub(crate) fn present<T>(what: &str, part: Option<T>) -> Result<T> {
    part.ok_or_else(|| unreadable(what, "it is missing"))
}

pub(crate) fn user(text: &str) -> Result<UserId> {
    UserId::new(text).map_err(|error| unreadable("a user", error))
}

pub(crate) fn users(texts: &[String]) -> Result<Vec<UserId>> {
    texts.iter().map(|text| user(text)).collect()
}

pub(crate) fn user_if_any(text: Option<&str>) -> Result<Option<UserId>> {
    text.map(user).transpose()
}

pub(crate) fn device(text: &str) -> Result<DeviceId> {
    DeviceId::new(text).map_err(|error| unreadable("a device", error))
}

pub(crate) fn group(text: &str) -> Result<GroupId> {
    GroupId::new(text).map_err(|error| unreadable("a group", error))
}

pub(crate) fn room(text: &str) -> Result<RoomId> {
    RoomId::from_record(text).map_err(|error| unreadable("a room", error))
}

pub(crate) fn rooms(texts: &[String]) -> Result<Vec<RoomId>> {
    texts.iter().map(|text| room(text)).collect()
}

pub(crate) fn conversation(text: &str) -> Result<ConversationId> {
    ConversationId::parse(text).ok_or_else(|| unreadable("a conversation", text))
}

pub(crate) fn server(text: String) -> ServerId {
    ServerId(text.into())
}

pub(crate) fn servers(texts: Vec<String>) -> Vec<ServerId> {
    texts.into_iter().map(server).collect()
}

pub(crate) fn close_code(number: u32) -> Result<CloseCode> {
    let known = CloseCode::ALL.into_iter().find(|code| u32::from(code.number()) == number);
    known.ok_or_else(|| unreadable("a close code", number))
}

pub(crate) fn ids<'a, T: Identifier + 'a>(ids: impl IntoIterator<Item = &'a T>) -> wire::Ids {
    wire::Ids { ids: ids.into_iter().map(|id| id.as_str().to_owned()).collect() }
}

pub(crate) fn strings<'a, T: Identifier + 'a>(ids: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    ids.into_iter().map(|id| id.as_str().to_owned()).collect()
}

/// The bytes of a push: an event is written as the message that holds it, without being copied into one.
pub(crate) fn encode_event(event: &Event) -> Bytes {
    let mut bytes = Vec::with_capacity(event.encoded_len());
    event.encode(&mut bytes);
    bytes.into()
}

pub(crate) fn decode_event(bytes: Bytes) -> Result<Event> {
    present("an event", decode::<client::Push>("an event", bytes)?.event)
}
