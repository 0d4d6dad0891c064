//! The three encodings of requests, replies and pushes.
//!
//! A request that cannot be read still tells its seq where that can be read, so that the client gets an
//! error for it and the connection stays. Unknown fields are ignored.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client;
use crate::code::Code;
use crate::frame::{Frame, HEADER_BYTES, Header};
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
        let raw = raw.get();
        let request = match name.as_str() {
            "auth" => read(seq, name, raw).map(RequestKind::Auth),
            "heartbeat" => read(seq, name, raw).map(RequestKind::Heartbeat),
            "send" => read(seq, name, raw).map(RequestKind::Send),
            "ack" => read(seq, name, raw).map(RequestKind::Ack),
            "sync" => read(seq, name, raw).map(RequestKind::Sync),
            "join" => read(seq, name, raw).map(RequestKind::Join),
            "leave" => read(seq, name, raw).map(RequestKind::Leave),
            _ => continue,
        };
        return request.map(|request| (seq, request));
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
    let body = frame.body;
    let request = match frame.header.operation {
        operation::AUTH => client::Auth::decode(body).map(RequestKind::Auth),
        operation::CHAT_HEARTBEAT => client::Heartbeat::decode(body).map(RequestKind::Heartbeat),
        operation::SEND => client::Send::decode(body).map(RequestKind::Send),
        operation::ACK => client::Ack::decode(body).map(RequestKind::Ack),
        operation::SYNC => client::Sync::decode(body).map(RequestKind::Sync),
        operation::JOIN => client::Join::decode(body).map(RequestKind::Join),
        operation::LEAVE => client::Leave::decode(body).map(RequestKind::Leave),
        other => {
            return Err(RequestError::new(seq, Code::UnknownRequest, format!("unknown operation {other}")));
        }
    };
    request.map_err(|error| {
        let operation = frame.header.operation;
        RequestError::new(seq, Code::Malformed, format!("operation {operation}: {error}"))
    })
}

/// The frame of a request, as a client sends it.
#[must_use]
pub fn encode_request_frame(seq: i32, request: &RequestKind) -> Bytes {
    match request {
        RequestKind::Auth(message) => frame_of(operation::AUTH, seq, message),
        RequestKind::Heartbeat(message) => frame_of(operation::CHAT_HEARTBEAT, seq, message),
        RequestKind::Send(message) => frame_of(operation::SEND, seq, message),
        RequestKind::Ack(message) => frame_of(operation::ACK, seq, message),
        RequestKind::Sync(message) => frame_of(operation::SYNC, seq, message),
        RequestKind::Join(message) => frame_of(operation::JOIN, seq, message),
        RequestKind::Leave(message) => frame_of(operation::LEAVE, seq, message),
    }
}

/// The JSON of a reply.
#[must_use]
pub fn encode_reply_json(seq: u64, reply: ReplyKind) -> Bytes {
    json_of(&client::Reply { seq, reply: Some(reply) })
}

/// The frame of a reply to a request with this header.
#[must_use]
pub fn encode_reply_frame(request: Header, reply: &ReplyKind) -> Bytes {
    let (operation, sequence) = (reply_operation(reply), request.sequence);
    match reply {
        ReplyKind::Auth(message) => frame_of(operation, sequence, message),
        ReplyKind::Heartbeat(message) => frame_of(operation, sequence, message),
        ReplyKind::Send(message) => frame_of(operation, sequence, message),
        ReplyKind::Ack(message) => frame_of(operation, sequence, message),
        ReplyKind::Sync(message) => frame_of(operation, sequence, message),
        ReplyKind::Join(message) => frame_of(operation, sequence, message),
        ReplyKind::Leave(message) => frame_of(operation, sequence, message),
        ReplyKind::Error(message) => frame_of(operation, sequence, message),
    }
}

fn reply_operation(reply: &ReplyKind) -> Operation {
    match reply {
        ReplyKind::Auth(_) => operation::AUTH + 1,
        ReplyKind::Heartbeat(_) => operation::CHAT_HEARTBEAT + 1,
        ReplyKind::Send(_) => operation::SEND + 1,
        ReplyKind::Ack(_) => operation::ACK + 1,
        ReplyKind::Sync(_) => operation::SYNC + 1,
        ReplyKind::Join(_) => operation::JOIN + 1,
        ReplyKind::Leave(_) => operation::LEAVE + 1,
        ReplyKind::Error(_) => operation::ERROR,
    }
}

/// Reads a frame from the server: a reply with its seq, or a push.
///
/// # Errors
/// A text that names the operation whose body could not be read.
pub fn decode_server_frame(frame: &Frame<'_>) -> Result<FromServer, String> {
    let seq = u64::from(frame.header.sequence.cast_unsigned());
    let body = frame.body;
    let reply = |reply| FromServer::Reply(seq, reply);
    let event = |event| FromServer::Push(event);
    let decoded = match frame.header.operation {
        101 => client::AuthReply::decode(body).map(|message| reply(ReplyKind::Auth(message))),
        103 => client::HeartbeatReply::decode(body).map(|message| reply(ReplyKind::Heartbeat(message))),
        105 => client::SendReply::decode(body).map(|message| reply(ReplyKind::Send(message))),
        107 => client::AckReply::decode(body).map(|message| reply(ReplyKind::Ack(message))),
        109 => client::SyncReply::decode(body).map(|message| reply(ReplyKind::Sync(message))),
        111 => client::JoinReply::decode(body).map(|message| reply(ReplyKind::Join(message))),
        113 => client::LeaveReply::decode(body).map(|message| reply(ReplyKind::Leave(message))),
        operation::ERROR => client::Error::decode(body).map(|message| reply(ReplyKind::Error(message))),
        operation::MESSAGE => client::Message::decode(body).map(|message| event(Event::Message(message))),
        operation::ROOM_MESSAGE => {
            client::RoomMessage::decode(body).map(|message| event(Event::Room(message)))
        }
        operation::OPERATION_PUSH => {
            client::OperationPush::decode(body).map(|message| event(Event::Push(message)))
        }
        operation::SYNC_DONE => client::SyncDone::decode(body).map(|message| event(Event::SyncDone(message))),
        operation::GAP => client::Gap::decode(body).map(|message| event(Event::Gap(message))),
        operation::KICKED | operation::DISCONNECT => {
            client::Kicked::decode(body).map(|message| event(Event::Kicked(message)))
        }
        operation::RECONNECT => {
            client::Reconnect::decode(body).map(|message| event(Event::Reconnect(message)))
        }
        operation => return Ok(FromServer::Other(operation)),
    };
    decoded.map_err(|error| format!("operation {}: {error}", frame.header.operation))
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
        Encoding::Protobuf => match &event {
            Event::Message(message) => frame_of(operation::MESSAGE, 0, message),
            Event::Room(message) => frame_of(operation::ROOM_MESSAGE, 0, message),
            Event::Push(message) => frame_of(operation::OPERATION_PUSH, 0, message),
            Event::SyncDone(message) => frame_of(operation::SYNC_DONE, 0, message),
            Event::Gap(message) => frame_of(operation::GAP, 0, message),
            Event::Kicked(message) => frame_of(operation::KICKED, 0, message),
            Event::Reconnect(message) => frame_of(operation::RECONNECT, 0, message),
        },
    }
}

/// A stored message encoded once for many receivers, each of whom has its own inbox seq.
#[derive(Debug, Clone)]
pub struct SharedMessage {
    encoding: Encoding,
    rest: Bytes,
}

impl SharedMessage {
    /// Encodes all but the inbox seq.
    #[must_use]
    pub fn new(encoding: Encoding, message: &client::Message) -> Self {
        debug_assert!(message.inbox_seq.is_none());
        let rest = match encoding {
            Encoding::Json => Bytes::from(json_text(message)),
            Encoding::Protobuf => Bytes::from(message.encode_to_vec()),
        };
        Self { encoding, rest }
    }

    /// The JSON of the message alone, as a stock goim client gets it in a push's body.
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
        // A message always has fields, so the rest begins with "{" and something behind it.
        out.put_slice(&self.rest[1..]);
    }

    /// The push for the receiver whose inbox seq this is: the same bytes as [`encode_push`] up to the order of
    /// fields.
    #[must_use]
    pub fn with_inbox_seq(&self, inbox_seq: u64) -> Bytes {
        match self.encoding {
            Encoding::Json => {
                let mut out = BytesMut::with_capacity(self.rest.len() + 48);
                out.put_slice(b"{\"message\":");
                self.put_json(inbox_seq, &mut out);
                out.put_u8(b'}');
                out.freeze()
            }
            Encoding::Protobuf => {
                let head = client::Message { inbox_seq: Some(inbox_seq), ..client::Message::default() };
                let body_bytes = head.encoded_len() + self.rest.len();
                let mut out = BytesMut::with_capacity(HEADER_BYTES + body_bytes);
                Header::push(operation::MESSAGE).put(body_bytes, &mut out);
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
