//! The three encodings of requests, replies and pushes.
//!
//! A request that cannot be read still tells its seq where that can be read, so that the client gets an
//! error for it and the connection stays. Unknown fields are ignored.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use prost::{DecodeError, Message as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client;
use crate::code::Code;
use crate::frame::{Frame, HEADER_BYTES, Header};
use crate::message::kind;
use crate::operation::{self, Operation};

pub use crate::client::{push::Event, reply::Reply as ReplyKind, request::Request as RequestKind};

/// How a connection's bytes carry the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON text, one message each.
    Json,
    /// A goim frame with a protobuf body.
    Protobuf,
}

/// A request that could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestError {
    /// The seq to answer with; 0 where it could not be read.
    pub seq: u64,
    /// What the client is told.
    pub error: client::Error,
}

impl RequestError {
    fn new(seq: u64, code: Code, message: impl Into<String>) -> Self {
        Self { seq, error: code.with(message) }
    }
}

/// The requests and pushes, each once: what is generated from them is all that a new one needs in this file.
macro_rules! operations {
    (
        requests { $($request:ident $name:literal $operation:ident $reply:ident;)* }
        pushes { $($event:ident $push:ident $push_operation:ident;)* }
    ) => {
        fn request_of_json(seq: u64, name: &str, raw: &str) -> Option<Result<RequestKind, RequestError>> {
            match name {
                $($name => Some(read(seq, name, raw).map(RequestKind::$request)),)*
                _ => None,
            }
        }

        fn request_of_body(operation: Operation, body: &[u8]) -> Option<Result<RequestKind, DecodeError>> {
            match operation {
                $(operation::$operation => Some(client::$request::decode(body).map(RequestKind::$request)),)*
                _ => None,
            }
        }

        /// The frame of a request, as a client sends it.
        #[must_use]
        pub fn encode_request_frame(seq: i32, request: &RequestKind) -> Bytes {
            match request {
                $(RequestKind::$request(message) => frame_of(operation::$operation, seq, message),)*
            }
        }

        /// The name of a request, as it stands in JSON.
        #[must_use]
        pub fn request_name(request: &RequestKind) -> &'static str {
            match request {
                $(RequestKind::$request(_) => $name,)*
            }
        }

        /// The frame of a reply to a request with this header.
        #[must_use]
        pub fn encode_reply_frame(request: Header, reply: &ReplyKind) -> Bytes {
            match reply {
                $(ReplyKind::$request(message) => {
                    frame_of(operation::$operation + 1, request.sequence, message)
                })*
                ReplyKind::Error(message) => frame_of(operation::ERROR, request.sequence, message),
            }
        }

        fn reply_of_body(operation: Operation, body: &[u8]) -> Option<Result<ReplyKind, DecodeError>> {
            $(
                if operation == operation::$operation + 1 {
                    return Some(client::$reply::decode(body).map(ReplyKind::$request));
                }
            )*
            (operation == operation::ERROR).then(|| client::Error::decode(body).map(ReplyKind::Error))
        }

        fn event_of_body(operation: Operation, body: &[u8]) -> Option<Result<Event, DecodeError>> {
            match operation {
                $(operation::$push_operation => Some(client::$push::decode(body).map(Event::$event)),)*
                operation::DISCONNECT => Some(client::Kicked::decode(body).map(Event::Kicked)),
                _ => None,
            }
        }

        fn event_frame(event: &Event) -> Bytes {
            match event {
                $(Event::$event(message) => frame_of(operation::$push_operation, 0, message),)*
            }
        }
    };
}

operations! {
    requests {
        Auth "auth" AUTH AuthReply;
        Heartbeat "heartbeat" CHAT_HEARTBEAT HeartbeatReply;
        Send "send" SEND SendReply;
        Ack "ack" ACK AckReply;
        Sync "sync" SYNC SyncReply;
        Join "join" JOIN JoinReply;
        Leave "leave" LEAVE LeaveReply;
        GroupCreate "groupCreate" GROUP_CREATE GroupCreateReply;
        GroupInvite "groupInvite" GROUP_INVITE GroupInviteReply;
        GroupJoin "groupJoin" GROUP_JOIN GroupJoinReply;
        GroupLeave "groupLeave" GROUP_LEAVE GroupLeaveReply;
        GroupRemove "groupRemove" GROUP_REMOVE GroupRemoveReply;
        GroupDismiss "groupDismiss" GROUP_DISMISS GroupDismissReply;
        GroupUpdate "groupUpdate" GROUP_UPDATE GroupUpdateReply;
        GroupRole "groupRole" GROUP_ROLE GroupRoleReply;
        GroupMute "groupMute" GROUP_MUTE GroupMuteReply;
        GroupInfo "groupInfo" GROUP_INFO GroupInfoReply;
        GroupMembers "groupMembers" GROUP_MEMBERS GroupMembersReply;
        GroupRequests "groupRequests" GROUP_REQUESTS GroupRequestsReply;
        GroupAnswer "groupAnswer" GROUP_ANSWER GroupAnswerReply;
        GroupTops "groupTops" GROUP_TOPS GroupTopsReply;
        SyncGroups "syncGroups" SYNC_GROUPS SyncGroupsReply;
        Read "read" READ ReadReply;
        Readers "readers" READERS ReadersReply;
        Recall "recall" RECALL RecallReply;
        Typing "typing" TYPING TypingReply;
        Presence "presence" PRESENCE PresenceReply;
        Watch "watch" WATCH WatchReply;
        Unwatch "unwatch" UNWATCH UnwatchReply;
        Conversations "conversations" CONVERSATIONS ConversationsReply;
        ConversationUpdate "conversationUpdate" CONVERSATION_UPDATE ConversationUpdateReply;
        History "history" HISTORY HistoryReply;
        Block "block" BLOCK BlockReply;
        Unblock "unblock" UNBLOCK UnblockReply;
        Blocks "blocks" BLOCKS BlocksReply;
    }
    pushes {
        Message Message MESSAGE;
        Room RoomMessage ROOM_MESSAGE;
        Push OperationPush OPERATION_PUSH;
        SyncDone SyncDone SYNC_DONE;
        Gap Gap GAP;
        Kicked Kicked KICKED;
        Reconnect Reconnect RECONNECT;
        Recalled Recalled RECALLED;
        GroupEvent GroupEvent GROUP_EVENT;
        Receipt Receipt RECEIPT;
        Typing TypingPush TYPING_PUSH;
        Presence PresencePush PRESENCE_PUSH;
        Conversation Conversation CONVERSATION;
        GroupRequest GroupRequest GROUP_REQUEST;
    }
}

/// Reads a request in JSON.
///
/// # Errors
/// What to answer when it is no JSON object, names no known request, or has a field of a wrong type.
pub fn decode_json(text: &str) -> Result<(u64, RequestKind), RequestError> {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| {
        RequestError::new(0, Code::Malformed, format!("request is not a JSON object: {error}"))
    })?;
    let seq: u64 = match fields.get("seq") {
        Some(raw) => serde_json::from_str(raw.get()).map_err(|error| {
            RequestError::new(0, Code::Malformed, format!("seq is not a whole number: {error}"))
        })?,
        None => 0,
    };
    for (name, raw) in &fields {
        if let Some(request) = request_of_json(seq, name, raw.get()) {
            return request.map(|request| (seq, request));
        }
    }
    let mut names: Vec<&String> = fields.keys().filter(|name| *name != "seq").collect();
    names.sort_unstable();
    let message = match names.first() {
        Some(name) => format!("unknown request {:?}", name.chars().take(64).collect::<String>()),
        None => "the request has no name beside seq".to_owned(),
    };
    Err(RequestError::new(seq, Code::UnknownRequest, message))
}

fn read<'a, T: Deserialize<'a>>(seq: u64, name: &str, raw: &'a str) -> Result<T, RequestError> {
    serde_json::from_str(raw)
        .map_err(|error| RequestError::new(seq, Code::InvalidArgument, format!("{name}: {error}")))
}

/// Reads a request in a frame; the frame's sequence is its seq.
///
/// # Errors
/// What to answer when the operation is no request or the body is not its message.
pub fn decode_frame(frame: &Frame<'_>) -> Result<RequestKind, RequestError> {
    let seq = u64::from(frame.header.sequence.cast_unsigned());
    let operation = frame.header.operation;
    let Some(request) = request_of_body(operation, frame.body) else {
        return Err(RequestError::new(seq, Code::UnknownRequest, format!("unknown operation {operation}")));
    };
    request
        .map_err(|error| RequestError::new(seq, Code::Malformed, format!("operation {operation}: {error}")))
}

/// The JSON of a reply.
#[must_use]
pub fn encode_reply_json(seq: u64, reply: ReplyKind) -> Bytes {
    json_of(&client::Reply { seq, reply: Some(reply) })
}

/// Reads a frame from the server: a reply with its seq, or a push.
///
/// # Errors
/// A text that names the operation whose body could not be read.
pub fn decode_server_frame(frame: &Frame<'_>) -> Result<FromServer, String> {
    let seq = u64::from(frame.header.sequence.cast_unsigned());
    let body = frame.body;
    let operation = frame.header.operation;
    let decoded = if let Some(reply) = reply_of_body(operation, body) {
        reply.map(|reply| FromServer::Reply(seq, reply))
    } else if let Some(event) = event_of_body(operation, body) {
        event.map(FromServer::Push)
    } else {
        return Ok(FromServer::Other(operation));
    };
    decoded.map_err(|error| format!("operation {operation}: {error}"))
}

/// Reads a JSON text from the server: a reply with its seq, or a push.
///
/// # Errors
/// When it is not JSON of that shape.
pub fn decode_server_json(text: &str) -> Result<FromServer, serde_json::Error> {
    #[derive(Deserialize)]
    struct Seq {
        seq: Option<u64>,
    }
    let head: Seq = serde_json::from_str(text)?;
    Ok(match head.seq {
        Some(seq) => match serde_json::from_str::<client::Reply>(text)?.reply {
            Some(reply) => FromServer::Reply(seq, reply),
            None => FromServer::Other(0),
        },
        None => match serde_json::from_str::<client::Push>(text)?.event {
            Some(event) => FromServer::Push(event),
            None => FromServer::Other(0),
        },
    })
}

/// What a client reads from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum FromServer {
    /// The answer to the request of that seq.
    Reply(u64, ReplyKind),
    /// The server speaks first.
    Push(Event),
    /// Something of a later version, or of goim's: the operation, 0 where it has none.
    Other(Operation),
}

/// The JSON of a request, as a client sends it.
#[must_use]
pub fn encode_request_json(seq: u64, request: RequestKind) -> String {
    json_text(&client::Request { seq, request: Some(request) })
}

/// A push in one encoding.
#[must_use]
pub fn encode_push(encoding: Encoding, event: Event) -> Bytes {
    match encoding {
        Encoding::Json => json_of(&client::Push { event: Some(event) }),
        Encoding::Protobuf => event_frame(&event),
    }
}

/// The push that tells a stored row: a message, a recall, or an event of a group.
#[must_use]
pub fn event_of_row(message: &client::Message) -> Event {
    let (inbox_seq, seq, message_id, time_ms) =
        (message.inbox_seq, message.seq, message.message_id, message.time_ms);
    let conversation = message.conversation.clone();
    let by = message.by.clone().unwrap_or_default();
    match message.kind.as_deref() {
        None => Event::Message(message.clone()),
        Some(kind::RECALLED) => Event::Recalled(client::Recalled {
            inbox_seq,
            conversation,
            seq,
            message_id,
            time_ms,
            target: message.target.unwrap_or_default(),
            by,
            group: message.group.clone(),
        }),
        Some(kind) => Event::GroupEvent(client::GroupEvent {
            inbox_seq,
            conversation,
            seq,
            message_id,
            time_ms,
            kind: kind.to_owned(),
            by,
            users: message.users.clone(),
            group: message.group.clone().unwrap_or_default(),
            role: message.role.clone(),
        }),
    }
}

/// The row that a push tells, as it would stand in a page; `None` where the push tells none.
#[must_use]
pub fn row_of_event(event: Event) -> Option<client::Message> {
    match event {
        Event::Message(message) => Some(message),
        Event::Recalled(recalled) => Some(client::Message {
            inbox_seq: recalled.inbox_seq,
            conversation: recalled.conversation,
            seq: recalled.seq,
            message_id: recalled.message_id,
            sender: recalled.by.clone(),
            time_ms: recalled.time_ms,
            kind: Some(kind::RECALLED.to_owned()),
            target: Some(recalled.target),
            by: Some(recalled.by),
            group: recalled.group,
            ..client::Message::default()
        }),
        Event::GroupEvent(event) => Some(client::Message {
            inbox_seq: event.inbox_seq,
            conversation: event.conversation,
            seq: event.seq,
            message_id: event.message_id,
            sender: event.by.clone(),
            time_ms: event.time_ms,
            kind: Some(event.kind),
            by: Some(event.by),
            users: event.users,
            group: Some(event.group),
            role: event.role,
            ..client::Message::default()
        }),
        _ => None,
    }
}

/// A stored row encoded once for many receivers, each of whom has its own inbox seq.
#[derive(Debug, Clone)]
pub struct SharedMessage {
    encoding: Encoding,
    /// What kind of push it is: its operation, and its name in JSON.
    operation: Operation,
    name: &'static str,
    rest: Bytes,
}

impl SharedMessage {
    /// Encodes all but the inbox seq.
    #[must_use]
    pub fn new(encoding: Encoding, message: &client::Message) -> Self {
        debug_assert!(message.inbox_seq.is_none());
        match event_of_row(message) {
            Event::Recalled(row) => Self::of(encoding, operation::RECALLED, "recalled", &row),
            Event::GroupEvent(row) => Self::of(encoding, operation::GROUP_EVENT, "groupEvent", &row),
            _ => Self::of(encoding, operation::MESSAGE, "message", message),
        }
    }

    fn of<T: prost::Message + serde::Serialize>(
        encoding: Encoding,
        operation: Operation,
        name: &'static str,
        row: &T,
    ) -> Self {
        let rest = match encoding {
            Encoding::Json => json_of(row),
            Encoding::Protobuf => Bytes::from(row.encode_to_vec()),
        };
        Self { encoding, operation, name, rest }
    }

    /// The JSON of the row alone, as a stock goim client gets it in a push's body.
    ///
    /// # Panics
    /// Where the message was encoded as protobuf.
    #[must_use]
    pub fn json_with_inbox_seq(&self, inbox_seq: u64) -> Bytes {
        assert_eq!(self.encoding, Encoding::Json, "goim clients get JSON");
        let mut out = BytesMut::with_capacity(self.rest.len() + 36);
        self.put_json(inbox_seq, &mut out);
        out.freeze()
    }

    fn put_json(&self, inbox_seq: u64, out: &mut BytesMut) {
        out.put_slice(b"{\"inboxSeq\":");
        out.put_slice(inbox_seq.to_string().as_bytes());
        out.put_u8(b',');
        // A row always has fields, so the rest begins with "{" and something behind it.
        out.put_slice(&self.rest[1..]);
    }

    /// The push for the receiver whose inbox seq this is: the same bytes as [`encode_push`] up to the order of
    /// fields.
    #[must_use]
    pub fn with_inbox_seq(&self, inbox_seq: u64) -> Bytes {
        match self.encoding {
            Encoding::Json => {
                let mut out = BytesMut::with_capacity(self.rest.len() + 48);
                out.put_slice(b"{\"");
                out.put_slice(self.name.as_bytes());
                out.put_slice(b"\":");
                self.put_json(inbox_seq, &mut out);
                out.put_u8(b'}');
                out.freeze()
            }
            Encoding::Protobuf => {
                // The field has the same number in every kind of row.
                let head = client::Message { inbox_seq: Some(inbox_seq), ..client::Message::default() };
                let body_bytes = head.encoded_len() + self.rest.len();
                let mut out = BytesMut::with_capacity(HEADER_BYTES + body_bytes);
                Header::push(self.operation).put(body_bytes, &mut out);
                head.encode_raw(&mut out);
                out.put_slice(&self.rest);
                out.freeze()
            }
        }
    }
}

/// The JSON of a room's message as a stock goim client gets it in a push's body.
#[must_use]
pub fn room_message_json(message: &client::RoomMessage) -> Bytes {
    json_of(message)
}

/// The JSON of a stored row as a stock goim client gets it in a push's body.
#[must_use]
pub fn row_json(message: &client::Message) -> Bytes {
    json_of(message)
}

fn frame_of(operation: Operation, sequence: i32, message: &impl prost::Message) -> Bytes {
    let body_bytes = message.encoded_len();
    let mut out = BytesMut::with_capacity(HEADER_BYTES + body_bytes);
    Header { sequence, ..Header::push(operation) }.put(body_bytes, &mut out);
    message.encode_raw(&mut out);
    out.freeze()
}

fn json_of(value: &impl serde::Serialize) -> Bytes {
    Bytes::from(json_text(value))
}

fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("these messages have text keys and no failing fields")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::{Message, Target, message, target};

    fn message() -> Message {
        Message {
            inbox_seq: None,
            conversation: "single:5:alice:bob".to_owned(),
            seq: 1,
            message_id: u64::MAX,
            sender: "alice".to_owned(),
            to: Some(Target { target: Some(target::Target::User("bob".to_owned())) }),
            client_message_id: "c1".to_owned(),
            time_ms: 5,
            content: Some(message::Content::Text("hi \"you\"".to_owned())),
            ..Message::default()
        }
    }

    #[test]
    fn json_has_the_documented_shape() {
        let text =
            r#"{"seq":2,"send":{"to":{"user":"bob"},"clientMessageId":"c1","text":"hi","later":1},"x":0}"#;
        let (seq, RequestKind::Send(send)) = decode_json(text).unwrap() else { panic!("not a send") };
        assert_eq!(seq, 2);
        assert_eq!(send.to.unwrap().target, Some(target::Target::User("bob".to_owned())));
        assert_eq!(send.content, Some(client::send::Content::Text("hi".to_owned())));

        let reply = client::SendReply { message_id: 7, seq: 0, inbox_seq: Some(13), ..Default::default() };
        assert_eq!(
            encode_reply_json(2, ReplyKind::Send(reply)),
            r#"{"seq":2,"send":{"messageId":"7","conversation":"","seq":0,"inboxSeq":13,"timeMs":0}}"#
        );
        assert_eq!(encode_reply_json(6, ReplyKind::Join(client::JoinReply {})), r#"{"seq":6,"join":{}}"#);
        let auth = decode_json(r#"{"seq":1,"auth":{"inboxSeq":0}}"#).unwrap();
        assert!(matches!(auth, (1, RequestKind::Auth(client::Auth { inbox_seq: Some(0), .. }))));
        let error = Code::TooLarge.with("m");
        assert_eq!(
            encode_reply_json(2, ReplyKind::Error(error)),
            r#"{"seq":2,"error":{"code":"too_large","number":41301,"message":"m","retryable":false}}"#
        );
        let done = Event::SyncDone(client::SyncDone { inbox_seq: 13 });
        assert_eq!(encode_push(Encoding::Json, done), r#"{"syncDone":{"inboxSeq":13}}"#);
        let push = Event::Push(client::OperationPush { op: 1000, body: Bytes::from_static(b"hi") });
        assert_eq!(encode_push(Encoding::Json, push), r#"{"push":{"op":1000,"body":"aGk="}}"#);
        let room = client::RoomMessage {
            room: "live://1".to_owned(),
            sender: Some("alice".to_owned()),
            content: Some(client::room_message::Content::Text("hi".to_owned())),
            ..Default::default()
        };
        assert_eq!(
            encode_push(Encoding::Json, Event::Room(room)),
            r#"{"room":{"room":"live://1","sender":"alice","text":"hi"}}"#
        );
    }

    #[test]
    fn a_request_that_cannot_be_read_says_what_is_wrong_and_keeps_its_seq() {
        let error = decode_json(r#"{"seq":9,"dance":{}}"#).unwrap_err();
        assert_eq!((error.seq, error.error.number), (9, 40001));
        let error = decode_json(r#"{"seq":9,"ack":{"inboxSeq":"x"}}"#).unwrap_err();
        assert_eq!((error.seq, error.error.number), (9, 40000));
        assert!(error.error.message.starts_with("ack: "), "{}", error.error.message);
        assert_eq!(decode_json("[]").unwrap_err().error.number, 40002);
        assert_eq!(decode_json(r#"{"seq":1}"#).unwrap_err().error.number, 40001);
    }

    #[test]
    fn a_shared_message_with_an_inbox_seq_is_the_whole_message() {
        let whole = Message { inbox_seq: Some(300), ..message() };
        let json = SharedMessage::new(Encoding::Json, &message()).with_inbox_seq(300);
        let text = std::str::from_utf8(&json).unwrap();
        assert!(text.contains(r#""messageId":"18446744073709551615""#), "{text}");
        assert_eq!(decode_server_json(text).unwrap(), FromServer::Push(Event::Message(whole.clone())));
        let frame = SharedMessage::new(Encoding::Protobuf, &message()).with_inbox_seq(300);
        let frame = crate::frame::decode_message(&frame, 4096).unwrap();
        assert_eq!(decode_server_frame(&frame).unwrap(), FromServer::Push(Event::Message(whole)));
    }

    #[test]
    fn a_request_frame_is_read_as_it_was_written() {
        let request = RequestKind::Sync(client::Sync { begin: 1, end: 0, limit: 100 });
        let bytes = encode_request_frame(4, &request);
        let frame = crate::frame::decode_message(&bytes, 4096).unwrap();
        assert_eq!(decode_frame(&frame).unwrap(), request);
        let text = encode_request_json(4, request.clone());
        assert_eq!(decode_json(&text).unwrap(), (4, request));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = decode_json(&text);
            let _ = decode_server_json(&text);
        }

        #[test]
        fn any_body_is_read_or_refused(operation in 90..210, body in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Header::push(operation).frame(&body);
            let frame = crate::frame::decode_message(&bytes, 4096).unwrap();
            let _ = decode_frame(&frame);
            let _ = decode_server_frame(&frame);
        }
    }
}
