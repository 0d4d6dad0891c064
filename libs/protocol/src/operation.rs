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
/// Request [`crate::client::GroupCreate`].
pub const GROUP_CREATE: Operation = 114;
/// Request [`crate::client::GroupInvite`].
pub const GROUP_INVITE: Operation = 116;
/// Request [`crate::client::GroupJoin`].
pub const GROUP_JOIN: Operation = 118;
/// Request [`crate::client::GroupLeave`].
pub const GROUP_LEAVE: Operation = 120;
/// Request [`crate::client::GroupRemove`].
pub const GROUP_REMOVE: Operation = 122;
/// Request [`crate::client::GroupDismiss`].
pub const GROUP_DISMISS: Operation = 124;
/// Request [`crate::client::GroupUpdate`].
pub const GROUP_UPDATE: Operation = 126;
/// Request [`crate::client::GroupRole`].
pub const GROUP_ROLE: Operation = 128;
/// Request [`crate::client::GroupMute`].
pub const GROUP_MUTE: Operation = 130;
/// Request [`crate::client::GroupInfo`].
pub const GROUP_INFO: Operation = 132;
/// Request [`crate::client::GroupMembers`].
pub const GROUP_MEMBERS: Operation = 134;
/// Request [`crate::client::GroupRequests`].
pub const GROUP_REQUESTS: Operation = 136;
/// Request [`crate::client::GroupAnswer`].
pub const GROUP_ANSWER: Operation = 138;
/// Request [`crate::client::GroupTops`].
pub const GROUP_TOPS: Operation = 140;
/// Request [`crate::client::SyncGroups`].
pub const SYNC_GROUPS: Operation = 142;
/// Request [`crate::client::Read`].
pub const READ: Operation = 144;
/// Request [`crate::client::Readers`].
pub const READERS: Operation = 146;
/// Request [`crate::client::Recall`].
pub const RECALL: Operation = 148;
/// Request [`crate::client::Typing`].
pub const TYPING: Operation = 150;
/// Request [`crate::client::Presence`].
pub const PRESENCE: Operation = 152;
/// Request [`crate::client::Watch`].
pub const WATCH: Operation = 154;
/// Request [`crate::client::Unwatch`].
pub const UNWATCH: Operation = 156;
/// Request [`crate::client::Conversations`].
pub const CONVERSATIONS: Operation = 158;
/// Request [`crate::client::ConversationUpdate`].
pub const CONVERSATION_UPDATE: Operation = 170;
/// Request [`crate::client::History`].
pub const HISTORY: Operation = 172;
/// Request [`crate::client::Block`].
pub const BLOCK: Operation = 174;
/// Request [`crate::client::Unblock`].
pub const UNBLOCK: Operation = 176;
/// Request [`crate::client::Blocks`].
pub const BLOCKS: Operation = 178;

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
/// Push [`crate::client::Recalled`].
pub const RECALLED: Operation = 167;
/// Push [`crate::client::GroupEvent`].
pub const GROUP_EVENT: Operation = 168;
/// Push [`crate::client::Receipt`].
pub const RECEIPT: Operation = 169;
/// Push [`crate::client::TypingPush`].
pub const TYPING_PUSH: Operation = 190;
/// Push [`crate::client::PresencePush`].
pub const PRESENCE_PUSH: Operation = 191;
/// Push [`crate::client::Conversation`].
pub const CONVERSATION: Operation = 192;
/// Push [`crate::client::GroupRequest`].
pub const GROUP_REQUEST: Operation = 193;

/// Reply [`crate::client::Error`], to whatever request of Anser's was refused.
pub const ERROR: Operation = 199;

/// Tells whether the operation is one of Anser's own (100–199).
#[must_use]
pub fn is_anser(operation: Operation) -> bool {
    (100..200).contains(&operation)
}
