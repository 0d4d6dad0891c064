//! A server that does what a test tells it to, one step at a time, on a port of its own.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use protocol::client;
use protocol::codec::{
    Encoding, ReplyKind, RequestKind, decode_frame, decode_json, encode_push, encode_reply_frame,
    encode_reply_json,
};
use protocol::frame::{self, Header};
use protocol::operation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::Push;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Script {
    listener: TcpListener,
}

impl Script {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/sub", self.listener.local_addr().unwrap())
    }

    pub(crate) fn tcp_url(&self) -> String {
        format!("tcp://{}", self.listener.local_addr().unwrap())
    }

    /// Takes the next WebSocket, in the subprotocol that it asks for.
    pub(crate) async fn accept(&self) -> Side {
        let (stream, _) = patiently(self.listener.accept()).await.unwrap();
        let mut encoding = Encoding::Json;
        #[allow(clippy::result_large_err, reason = "the handshake's own type")]
        let agree = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let name = "sec-websocket-protocol";
            let subprotocol = request.headers()[name].clone();
            if subprotocol == "anser.v1.pb" {
                encoding = Encoding::Protobuf;
            }
            response.headers_mut().insert(name, subprotocol);
            Ok(response)
        };
        let stream = tokio_tungstenite::accept_hdr_async(stream, agree).await.unwrap();
        Side { wire: Wire::WebSocket(Box::new(stream), encoding) }
    }

    pub(crate) async fn accept_tcp(&self) -> Side {
        let (stream, _) = patiently(self.listener.accept()).await.unwrap();
        Side { wire: Wire::Tcp(stream, BytesMut::new()) }
    }
}

/// The server's side of one connection. Dropping it is a crash.
pub(crate) struct Side {
    wire: Wire,
}

enum Wire {
    Tcp(TcpStream, BytesMut),
    WebSocket(Box<WebSocketStream<TcpStream>>, Encoding),
}

impl Side {
    /// The next request; panics when none comes.
    pub(crate) async fn request(&mut self) -> (u64, RequestKind) {
        patiently(self.next()).await.expect("the client closed the connection")
    }

    /// Waits until the client has closed.
    pub(crate) async fn end(mut self) {
        while patiently(self.next()).await.is_some() {}
    }

    async fn next(&mut self) -> Option<(u64, RequestKind)> {
        let frame_of = |bytes: &[u8]| {
            let frame = frame::decode_message(bytes, 1 << 20).unwrap();
            (u64::from(frame.header.sequence.cast_unsigned()), decode_frame(&frame).unwrap())
        };
        match &mut self.wire {
            Wire::WebSocket(stream, _) => match stream.next().await {
                Some(Ok(Message::Text(text))) => Some(decode_json(&text).unwrap()),
                Some(Ok(Message::Binary(bytes))) => Some(frame_of(&bytes)),
                _ => None,
            },
            Wire::Tcp(stream, buffer) => loop {
                if let Some(frame) = frame::decode(buffer, 1 << 20).unwrap() {
                    let length_bytes = frame.length_bytes();
                    let item = frame_of(&buffer[..length_bytes]);
                    buffer.advance(length_bytes);
                    return Some(item);
                }
                if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            },
        }
    }

    pub(crate) async fn reply(&mut self, seq: u64, reply: ReplyKind) {
        let bytes = match self.encoding() {
            Encoding::Json => encode_reply_json(seq, reply),
            Encoding::Protobuf => {
                let sequence = i32::try_from(seq).unwrap();
                encode_reply_frame(Header { sequence, ..Header::push(0) }, &reply)
            }
        };
        self.say(bytes).await;
    }

    pub(crate) async fn push(&mut self, push: Push) {
        let bytes = encode_push(self.encoding(), push);
        self.say(bytes).await;
    }

    /// Takes auth, agrees, and gives what the client said.
    pub(crate) async fn welcome(&mut self, inbox_top: u64, heartbeat_ms: u64) -> client::Auth {
        self.welcome_with(client::AuthReply { inbox_top, heartbeat_ms, ..client::AuthReply::default() }).await
    }

    /// Takes auth, agrees in these words, and gives what the client said.
    pub(crate) async fn welcome_with(&mut self, reply: client::AuthReply) -> client::Auth {
        let (seq, request) = self.request().await;
        let RequestKind::Auth(auth) = request else { panic!("{request:?} is not auth") };
        let acked_up_to = auth.inbox_seq.unwrap_or(0).min(reply.inbox_top);
        self.reply(seq, ReplyKind::Auth(client::AuthReply { acked_up_to, ..reply })).await;
        auth
    }

    /// Takes a sync of super groups and gives its seq and what it names; acks and heartbeats are let pass.
    pub(crate) async fn take_sync_groups(&mut self) -> (u64, Vec<(String, u64)>) {
        loop {
            match self.request().await {
                (seq, RequestKind::SyncGroups(sync)) => {
                    let named = sync.positions.into_iter().map(|at| (at.conversation, at.begin));
                    return (seq, named.collect());
                }
                (_, RequestKind::Ack(_) | RequestKind::Heartbeat(_)) => {}
                (_, request) => panic!("{request:?} is no sync of groups"),
            }
        }
    }

    /// Takes a send and gives its seq and itself.
    pub(crate) async fn take_send(&mut self) -> (u64, client::Send) {
        match self.request().await {
            (seq, RequestKind::Send(send)) => (seq, send),
            (_, request) => panic!("{request:?} is no send"),
        }
    }

    /// Takes a sync and gives its seq and itself; acks and heartbeats on the way are let pass.
    pub(crate) async fn take_sync(&mut self) -> (u64, client::Sync) {
        loop {
            match self.request().await {
                (seq, RequestKind::Sync(sync)) => return (seq, sync),
                (_, RequestKind::Ack(_) | RequestKind::Heartbeat(_)) => {}
                (_, request) => panic!("{request:?} is no sync"),
            }
        }
    }

    /// Closes with a code, in the protocol's own way.
    pub(crate) async fn close(mut self, code: protocol::code::CloseCode) {
        match &mut self.wire {
            Wire::WebSocket(stream, _) => {
                let frame = CloseFrame { code: code.number().into(), reason: code.words().into() };
                stream.send(Message::Close(Some(frame))).await.unwrap();
            }
            Wire::Tcp(stream, _) => {
                let kicked = encode_push(Encoding::Protobuf, Push::Kicked(code.kicked()));
                let frame = Header::push(operation::DISCONNECT).frame(&kicked[frame::HEADER_BYTES..]);
                stream.write_all(&frame).await.unwrap();
            }
        }
    }

    fn encoding(&self) -> Encoding {
        match self.wire {
            Wire::Tcp(..) => Encoding::Protobuf,
            Wire::WebSocket(_, encoding) => encoding,
        }
    }

    async fn say(&mut self, bytes: Bytes) {
        match &mut self.wire {
            Wire::Tcp(stream, _) => stream.write_all(&bytes).await.unwrap(),
            Wire::WebSocket(stream, Encoding::Json) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                stream.send(Message::text(text)).await.unwrap();
            }
            Wire::WebSocket(stream, Encoding::Protobuf) => {
                stream.send(Message::binary(bytes)).await.unwrap();
            }
        }
    }
}

/// Waits, but not for ever.
pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("waited in vain")
}

/// A stored message as it is pushed.
pub(crate) fn message(inbox_seq: u64) -> client::Message {
    client::Message {
        inbox_seq: Some(inbox_seq),
        conversation: "single:5:alice:bob".to_owned(),
        seq: inbox_seq,
        message_id: 1000 + inbox_seq,
        sender: "bob".to_owned(),
        content: Some(client::message::Content::Text(format!("message {inbox_seq}"))),
        ..client::Message::default()
    }
}

/// The end of a replay.
pub(crate) fn sync_done(inbox_seq: u64) -> Push {
    Push::SyncDone(client::SyncDone { inbox_seq })
}
