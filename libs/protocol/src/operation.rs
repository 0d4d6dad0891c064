//! The codes in a frame's header that say what its body is.
//!
//! Below 100 are goim's own. A request of Anser is even, its reply is the odd number after it.

/// goim: answers to an unknown operation carry the same number, with an empty body.
pub type Operation = i32;

/// goim: heartbeat; the body is ignored.
pub const HEARTBEAT: Operation = 2;
/// goim: the answer to a heartbeat; an `int32`, the people online in the connection's room.
pub const HEARTBEAT_REPLY: Operation = 3;
/// The connection is closed by the server; the body is [`crate::client::Kicked`]. Sent to Anser clients only.
pub const DISCONNECT: Operation = 6;
/// goim: auth, with a JSON body.
pub const GOIM_AUTH: Operation = 7;
/// goim: the answer to auth, empty.
pub const GOIM_AUTH_REPLY: Operation = 8;
/// goim: several pushed frames in one WebSocket message.
pub const RAW: Operation = 9;
/// goim: change the room; the body is the room's key, empty to leave.
pub const CHANGE_ROOM: Operation = 12;
/// goim: the answer to a change of room, echoing the body.
pub const CHANGE_ROOM_REPLY: Operation = 13;
/// goim: receive these operations too.
pub const SUBSCRIBE: Operation = 14;
/// goim: the answer, echoing the body.
pub const SUBSCRIBE_REPLY: Operation = 15;
/// goim: receive these operations no more.
pub const UNSUBSCRIBE: Operation = 16;
/// goim: the answer, echoing the body.
pub const UNSUBSCRIBE_REPLY: Operation = 17;

/// Request [`crate::client::Auth`].
pub const AUTH: Operation = 100;
/// Request [`crate::client::Heartbeat`].
pub const CHAT_HEARTBEAT: Operation = 102;
/// Request [`crate::client::Send`].
pub const SEND: Operation = 104;
/// Request [`crate::client::Ack`].
pub const ACK: Operation = 106;
/// Request [`crate::client::Sync`].
pub const SYNC: Operation = 108;
/// Request [`crate::client::Join`].
pub const JOIN: Operation = 110;
/// Request [`crate::client::Leave`].
pub const LEAVE: Operation = 112;

/// Push [`crate::client::Message`].
pub const MESSAGE: Operation = 160;
/// Push [`crate::client::RoomMessage`].
pub const ROOM_MESSAGE: Operation = 161;
/// Push [`crate::client::OperationPush`].
pub const OPERATION_PUSH: Operation = 162;
/// Push [`crate::client::SyncDone`].
pub const SYNC_DONE: Operation = 163;
/// Push [`crate::client::Gap`].
pub const GAP: Operation = 164;
/// Push [`crate::client::Kicked`].
pub const KICKED: Operation = 165;
/// Push [`crate::client::Reconnect`].
pub const RECONNECT: Operation = 166;

/// Reply [`crate::client::Error`], to whatever request of Anser's was refused.
pub const ERROR: Operation = 199;

/// Tells whether the operation is one of Anser's own (100–199).
#[must_use]
pub fn is_anser(operation: Operation) -> bool {
    (100..200).contains(&operation)
}
