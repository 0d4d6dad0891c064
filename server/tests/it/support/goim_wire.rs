//! A goim client written from the wire's description: the frame over TCP, or over WebSocket without a
//! subprotocol.

use std::collections::VecDeque;
use std::net::SocketAddr;

use protocol::frame::{self, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::Server;
use super::websocket::{BINARY, CLOSE, WebSocket};
use super::within;

/// A frame as it came: version, operation, sequence, body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) version: i16,
    pub(crate) operation: i32,
    pub(crate) sequence: i32,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(operation: i32, sequence: i32, body: &[u8]) -> Self {
        Self { version: 1, operation, sequence, body: body.to_vec() }
    }

    /// What the server pushes under an operation.
    pub(crate) fn push(operation: u64, body: &[u8]) -> Self {
        Self::new(i32::try_from(operation).unwrap(), 0, body)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { version, operation, sequence, .. } = *self;
        Header { version, operation, sequence }.frame(&self.body).to_vec()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Which listener a test speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Tcp,
    WebSocket,
}

pub(crate) const WIRES: [Wire; 2] = [Wire::Tcp, Wire::WebSocket];

/// A connected goim client.
pub(crate) struct Goim {
    pub(crate) link: Link,
    unwrapped: VecDeque<Frame>,
    /// How many frames of operation 9 came.
    pub(crate) wrapped_count: usize,
}

pub(crate) enum Link {
    Tcp { stream: TcpStream, buffer: Vec<u8> },
    WebSocket(WebSocket),
}

impl Goim {
    /// Connects and says nothing.
    pub(crate) async fn open(server: &Server, wire: Wire) -> Self {
        let link = match wire {
            Wire::Tcp => tcp(server.tcp).await,
            Wire::WebSocket => Link::WebSocket(WebSocket::connect(server.ws, None).await),
        };
        Self::over(link)
    }

    pub(crate) fn over(link: Link) -> Self {
        Self { link, unwrapped: VecDeque::new(), wrapped_count: 0 }
    }

    /// Connects and authenticates.
    pub(crate) async fn connect(server: &Server, wire: Wire, auth: &Value) -> Self {
        let mut client = Self::open(server, wire).await;
        assert_eq!(client.ask(7, 1, auth.to_string().as_bytes()).await, Frame::new(8, 1, b""));
        client
    }

    /// Connects as a mid with a key and what it accepts.
    pub(crate) async fn user(server: &Server, wire: Wire, mid: u64, key: &str, accepts: &[u64]) -> Self {
        Self::connect(server, wire, &json!({"mid": mid, "key": key, "accepts": accepts})).await
    }

    /// Connects as nobody, in a room.
    pub(crate) async fn in_room(server: &Server, wire: Wire, room: &str) -> Self {
        Self::connect(server, wire, &json!({"room_id": room, "accepts": []})).await
    }

    pub(crate) async fn send(&mut self, operation: i32, sequence: i32, body: &[u8]) {
        self.send_frame(&Frame::new(operation, sequence, body)).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes()).await;
    }

    /// Sends bytes over TCP as they are, over WebSocket as one binary message.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        match &mut self.link {
            // A server that has closed already is seen by the next read.
            Link::Tcp { stream, .. } => drop(stream.write_all(bytes).await),
            Link::WebSocket(socket) => socket.send(BINARY, bytes).await,
        }
    }

    /// Sends a request and takes the next frame.
    pub(crate) async fn ask(&mut self, operation: i32, sequence: i32, body: &[u8]) -> Frame {
        self.send(operation, sequence, body).await;
        self.next().await
    }

    /// The next frame, taken out of its wrapping; the connection must not have ended.
    pub(crate) async fn next(&mut self) -> Frame {
        self.next_or_end().await.expect("a frame and not the end of the connection")
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn next_or_end(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.unwrapped.pop_front() {
                return Some(frame);
            }
            let frame = within("a goim frame", self.link.read()).await?;
            match &self.link {
                Link::WebSocket(_) if frame.operation == 9 => self.unwrap(&frame),
                Link::WebSocket(_) => {
                    let is_reply = frame.operation < 100 || frame.sequence != 0;
                    assert!(is_reply, "a push came without its wrapping: {frame:?}");
                    return Some(frame);
                }
                Link::Tcp { .. } => {
                    assert_ne!(frame.operation, 9, "over TCP inner frames come bare");
                    return Some(frame);
                }
            }
        }
    }

    /// Walks the inner frames, each by its own length.
    fn unwrap(&mut self, outer: &Frame) {
        assert_eq!((outer.version, outer.sequence), (1, 0));
        self.wrapped_count += 1;
        let mut rest = outer.body.as_slice();
        assert!(!rest.is_empty(), "operation 9 wraps one frame at least");
        while !rest.is_empty() {
            let (frame, length_bytes) = parse(rest).expect("whole inner frames");
            assert_eq!((frame.version, frame.sequence), (1, 0));
            self.unwrapped.push_back(frame);
            rest = &rest[length_bytes..];
        }
    }

    /// Asserts that the server ends the connection without another frame.
    pub(crate) async fn assert_closed(mut self) {
        assert_eq!(self.next_or_end().await, None);
    }

    /// Asserts that the next push is this one.
    pub(crate) async fn assert_push(&mut self, operation: u64, body: &[u8]) {
        assert_eq!(self.next().await, Frame::push(operation, body));
    }

    /// The people in the connection's room, as a heartbeat's reply says.
    pub(crate) async fn room_count(&mut self) -> i32 {
        let reply = self.ask(2, 9, b"").await;
        assert_eq!((reply.operation, reply.sequence, reply.body.len()), (3, 9, 4));
        i32::from_be_bytes(reply.body.try_into().unwrap())
    }
}

/// Connects over TCP.
pub(crate) async fn tcp(address: SocketAddr) -> Link {
    let stream = within("a TCP connection", TcpStream::connect(address)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Link::Tcp { stream, buffer: Vec::new() }
}

impl Link {
    async fn read(&mut self) -> Option<Frame> {
        match self {
            Self::Tcp { stream, buffer } => loop {
                if let Some((frame, length_bytes)) = parse(buffer) {
                    buffer.drain(..length_bytes);
                    return Some(frame);
                }
                stream.read_buf(buffer).await.ok().filter(|count| *count > 0)?;
            },
            Self::WebSocket(socket) => {
                let message = socket.next().await?;
                if message.opcode == CLOSE {
                    return None;
                }
                assert_eq!(message.opcode, BINARY, "goim's frames come in binary messages");
                let (frame, length_bytes) = parse(&message.payload).expect("a whole frame a message");
                assert_eq!(length_bytes, message.payload.len(), "one frame a message");
                Some(frame)
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let frame = frame::decode(bytes, 64 * 1024 * 1024).expect("the server speaks goim's frame")?;
    let Header { version, operation, sequence } = frame.header;
    let length_bytes = frame.length_bytes();
    Some((Frame { version, operation, sequence, body: frame.body.to_vec() }, length_bytes))
}
