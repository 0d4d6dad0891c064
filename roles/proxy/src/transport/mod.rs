//! The client protocols, one a file: how bytes become frames and how pushes become bytes.
//!
//! Encoding for many is done once for each [`Dialect`] and shared; what is read is never copied unless a frame
//! came in parts.

pub(crate) mod tcp;
pub(crate) mod websocket;

use bytes::{BufMut, Bytes, BytesMut};
use contracts::proxy::{Payload, RoomPayload};
use protocol::client::{OperationPush, RoomMessage};
use protocol::code::CloseCode;
use protocol::codec::{self, Encoding, Event, SharedMessage};
use protocol::frame::{HEADER_BYTES, Header};
use protocol::operation::{self, Operation};
use protocol::{Identifier, RoomId};

/// What carries a connection's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// goim frames back to back.
    Tcp,
    /// One goim frame a message; the goim wire or Anser's operations, as the client's auth chooses.
    WebSocketFrames,
    /// Subprotocol `anser.v1.pb`.
    WebSocketProtobuf,
    /// Subprotocol `anser.v1.json`.
    WebSocketJson,
}

impl Carrier {
    /// The bytes of a reply or push frame on this carrier.
    pub(crate) fn carry_frame(self, frame: Bytes) -> Bytes {
        match self {
            Self::Tcp => frame,
            Self::WebSocketJson => websocket::wrap(websocket::Opcode::Text, &frame),
            Self::WebSocketFrames | Self::WebSocketProtobuf => {
                websocket::wrap(websocket::Opcode::Binary, &frame)
            }
        }
    }
}

/// How pushes look to a client: its carrier, and the protocol that its auth chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A stock goim client on TCP: inner frames, bare.
    GoimTcp,
    /// A stock goim client on WebSocket: inner frames in one message under operation 9.
    GoimWebSocket,
    /// Anser's protobuf in frames on TCP.
    ProtobufTcp,
    /// Anser's protobuf in frames, one a WebSocket message.
    ProtobufWebSocket,
    /// Anser's JSON, one a WebSocket message.
    Json,
}

/// How many dialects there are: what is encoded once for many has a place for each.
pub(crate) const DIALECTS: usize = 5;

impl Dialect {
    pub(crate) fn of(carrier: Carrier, goim: bool) -> Self {
        match (carrier, goim) {
            (Carrier::Tcp, true) => Self::GoimTcp,
            (Carrier::Tcp, false) => Self::ProtobufTcp,
            (Carrier::WebSocketFrames, true) => Self::GoimWebSocket,
            (Carrier::WebSocketFrames, false) | (Carrier::WebSocketProtobuf, _) => Self::ProtobufWebSocket,
            (Carrier::WebSocketJson, _) => Self::Json,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn is_goim(self) -> bool {
        matches!(self, Self::GoimTcp | Self::GoimWebSocket)
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::ProtobufTcp | Self::ProtobufWebSocket => Encoding::Protobuf,
            Self::Json | Self::GoimTcp | Self::GoimWebSocket => Encoding::Json,
        }
    }

    /// Appends what a push of the encoding is on the wire, but for goim's outer wrap.
    fn put(self, push: &[u8], out: &mut BytesMut) {
        match self {
            Self::GoimTcp | Self::GoimWebSocket | Self::ProtobufTcp => out.put_slice(push),
            Self::ProtobufWebSocket => websocket::put(websocket::Opcode::Binary, push, out),
            Self::Json => websocket::put(websocket::Opcode::Text, push, out),
        }
    }

    /// Finishes what [`Self::put`] collected: goim's WebSocket clients get all inner frames in one message.
    fn finish(self, collected: BytesMut) -> Bytes {
        if self != Self::GoimWebSocket || collected.is_empty() {
            return collected.freeze();
        }
        let mut out = BytesMut::with_capacity(collected.len() + HEADER_BYTES + websocket::HEADER_BYTES_MAX);
        websocket::put_header(websocket::Opcode::Binary, HEADER_BYTES + collected.len(), &mut out);
        Header::push(operation::RAW).put(collected.len(), &mut out);
        out.put_slice(&collected);
        out.freeze()
    }

    fn whole(self, push: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(push.len() + websocket::HEADER_BYTES_MAX);
        self.put(push, &mut out);
        self.finish(out)
    }

    /// A push of the server to one Anser client. A goim client knows none of these: `None`.
    pub(crate) fn event(self, event: Event) -> Option<Bytes> {
        (!self.is_goim()).then(|| self.whole(&codec::encode_push(self.encoding(), event)))
    }

    /// Bytes of the business under an operation.
    pub(crate) fn operation(self, operation: Operation, body: &Bytes) -> Bytes {
        if self.is_goim() {
            self.whole(&Header::push(operation).frame(body))
        } else {
            let push = OperationPush { op: operation, body: body.clone() };
            self.whole(&codec::encode_push(self.encoding(), Event::Push(push)))
        }
    }

    /// Payloads of a room, joined in their order.
    pub(crate) fn room<'a>(
        self,
        room: &RoomId,
        payloads: impl IntoIterator<Item = &'a RoomPayload>,
        chat_operation: Operation,
    ) -> RoomBytes {
        let mut out = BytesMut::new();
        let mut count = 0;
        for payload in payloads {
            if let Some(push) = self.room_push(room, payload, chat_operation) {
                self.put(&push, &mut out);
                count += 1;
            }
        }
        RoomBytes { bytes: self.finish(out), count }
    }

    fn room_push(self, room: &RoomId, payload: &RoomPayload, chat_operation: Operation) -> Option<Bytes> {
        let event = match (payload, self.is_goim()) {
            (RoomPayload::Operation { operation, body }, true) => {
                return Some(Header::push(*operation).frame(body));
            }
            (RoomPayload::Message(message), true) => {
                return Some(Header::push(chat_operation).frame(&codec::room_message_json(message)));
            }
            (RoomPayload::Row(row), true) => {
                return Some(Header::push(chat_operation).frame(&codec::row_json(row)));
            }
            (RoomPayload::Event(_), true) => return None,
            (RoomPayload::Operation { operation, body }, false) => Event::Room(RoomMessage {
                room: room.as_str().to_owned(),
                op: Some(*operation),
                body: Some(body.clone()),
                ..RoomMessage::default()
            }),
            (RoomPayload::Message(message), false) => Event::Room(RoomMessage::clone(message)),
            (RoomPayload::Row(row), false) => codec::event_of_row(row),
            (RoomPayload::Event(event), false) => Event::clone(event),
        };
        Some(codec::encode_push(self.encoding(), event))
    }

    /// What is sent before the server closes the connection. A goim client is told nothing on TCP.
    pub(crate) fn farewell(self, code: CloseCode) -> Option<Bytes> {
        match self {
            Self::GoimTcp => None,
            Self::ProtobufTcp => {
                use prost::Message as _;
                let body = code.kicked().encode_to_vec();
                Some(Header::push(operation::DISCONNECT).frame(&body))
            }
            Self::GoimWebSocket => Some(websocket::close(code.number(), code.words())),
            Self::ProtobufWebSocket | Self::Json => {
                let mut out = BytesMut::new();
                self.put(&codec::encode_push(self.encoding(), Event::Kicked(code.kicked())), &mut out);
                out.put_slice(&websocket::close(code.number(), code.words()));
                Some(out.freeze())
            }
        }
    }
}

/// What waits in a room, as it is written to a member.
#[derive(Debug, Clone)]
pub(crate) struct RoomBytes {
    /// Empty where the dialect has a word for none of it.
    pub(crate) bytes: Bytes,
    /// How many payloads it carries.
    pub(crate) count: u64,
}

/// What waits in a room, encoded at most once for each dialect.
pub(crate) struct EncodedRoom<'a> {
    room: &'a RoomId,
    payloads: &'a [RoomPayload],
    chat_operation: Operation,
    whole: [Option<RoomBytes>; DIALECTS],
}

impl<'a> EncodedRoom<'a> {
    pub(crate) fn new(room: &'a RoomId, payloads: &'a [RoomPayload], chat_operation: Operation) -> Self {
        Self { room, payloads, chat_operation, whole: Default::default() }
    }

    /// The bytes for a member.
    pub(crate) fn whole(&mut self, dialect: Dialect) -> RoomBytes {
        let Self { room, payloads, chat_operation, .. } = *self;
        self.whole[dialect.index()]
            .get_or_insert_with(|| dialect.room(room, payloads, chat_operation))
            .clone()
    }

    /// The bytes for a member that came into a super group with the row of this seq: rows up to it are not for it.
    pub(crate) fn above(&self, dialect: Dialect, seq: u64) -> RoomBytes {
        let is_for = |payload: &&RoomPayload| match payload {
            RoomPayload::Row(row) => row.seq > seq,
            _ => true,
        };
        dialect.room(self.room, self.payloads.iter().filter(is_for), self.chat_operation)
    }
}

/// A payload, encoded at most once for each dialect however many receivers there are.
pub(crate) struct EncodedPayload<'a> {
    payload: &'a Payload,
    chat_operation: Operation,
    shared: [Option<SharedMessage>; 2],
    whole: [Option<Bytes>; DIALECTS],
}

impl<'a> EncodedPayload<'a> {
    pub(crate) fn new(payload: &'a Payload, chat_operation: Operation) -> Self {
        Self { payload, chat_operation, shared: [None, None], whole: Default::default() }
    }

    /// The bytes for one receiver; empty where its dialect has no word for it.
    pub(crate) fn for_receiver(&mut self, dialect: Dialect, inbox_seq: u64) -> Bytes {
        match self.payload {
            Payload::Operation { operation, body } => {
                self.whole[dialect.index()].get_or_insert_with(|| dialect.operation(*operation, body)).clone()
            }
            Payload::Event(event) => self.whole[dialect.index()]
                .get_or_insert_with(|| dialect.event(Event::clone(event)).unwrap_or_default())
                .clone(),
            Payload::Stored(message) => {
                let encoding = dialect.encoding();
                let shared = self.shared[usize::from(encoding == Encoding::Json)]
                    .get_or_insert_with(|| SharedMessage::new(encoding, message));
                if dialect.is_goim() {
                    let body = shared.json_with_inbox_seq(inbox_seq);
                    dialect.whole(&Header::push(self.chat_operation).frame(&body))
                } else {
                    dialect.whole(&shared.with_inbox_seq(inbox_seq))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn business(operation: Operation, body: &'static [u8]) -> RoomPayload {
        RoomPayload::Operation { operation, body: Bytes::from_static(body) }
    }

    fn room() -> RoomId {
        RoomId::new("live://1").unwrap()
    }

    #[test]
    fn a_goim_websocket_gets_all_inner_frames_in_one_message_under_operation_9() {
        let payloads = [business(1000, b"a"), business(1001, b"bc")];
        let bytes = Dialect::GoimWebSocket.room(&room(), &payloads, 1000).bytes;
        assert_eq!(bytes[0], 0x82);
        let message = &bytes[2..];
        assert_eq!(usize::from(bytes[1]), message.len());
        let outer = protocol::frame::decode_message(message, 4096).unwrap();
        assert_eq!(outer.header, Header::push(9));
        let first = protocol::frame::decode(outer.body, 4096).unwrap().unwrap();
        assert_eq!((first.header, first.body), (Header::push(1000), &b"a"[..]));
        let second = protocol::frame::decode_message(&outer.body[first.length_bytes()..], 4096).unwrap();
        assert_eq!((second.header, second.body), (Header::push(1001), &b"bc"[..]));
    }

    #[test]
    fn a_goim_tcp_client_gets_inner_frames_bare() {
        let payloads = [business(1000, b"a"), business(1001, b"bc")];
        let bytes = Dialect::GoimTcp.room(&room(), &payloads, 1000).bytes;
        let expected = [Header::push(1000).frame(b"a"), Header::push(1001).frame(b"bc")].concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn an_anser_client_gets_one_message_for_each_push() {
        let payloads = [business(1000, b"a"), business(1001, b"b")];
        let bytes = Dialect::Json.room(&room(), &payloads, 1000).bytes;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(r#"{"room":{"room":"live://1","op":1000,"body":"YQ=="}}"#), "{text}");
        assert_eq!(bytes.iter().filter(|byte| **byte == 0x81).count(), 2);
    }

    #[test]
    fn what_a_dialect_has_no_word_for_is_nothing_and_not_counted() {
        let typing = Event::Typing(protocol::client::TypingPush::default());
        let payloads = [RoomPayload::Event(Arc::new(typing))];
        for dialect in [Dialect::GoimTcp, Dialect::GoimWebSocket] {
            let whole = dialect.room(&room(), &payloads, 1000);
            assert_eq!((whole.bytes.len(), whole.count), (0, 0));
        }
        assert_eq!(Dialect::Json.room(&room(), &payloads, 1000).count, 1);
    }

    #[test]
    fn whoever_is_kicked_for_a_login_elsewhere_is_told_on_every_wire_that_has_a_word_for_it() {
        let code = CloseCode::ReplacedByLogin;
        let tcp = Dialect::ProtobufTcp.farewell(code).unwrap();
        let frame = protocol::frame::decode_message(&tcp, 4096).unwrap();
        let told = codec::decode_server_frame(&frame).unwrap();
        assert_eq!(told, codec::FromServer::Push(Event::Kicked(code.kicked())));
        for dialect in [Dialect::GoimWebSocket, Dialect::ProtobufWebSocket, Dialect::Json] {
            let farewell = dialect.farewell(code).unwrap();
            let close = websocket::close(4504, code.words());
            assert!(farewell.ends_with(&close), "{dialect:?}");
        }
        assert_eq!(Dialect::GoimTcp.farewell(code), None);
    }
}
