//! A client that speaks JSON on WebSocket.

use std::time::Duration;

use protocol::client::Auth;
use protocol::codec::{self, Event, FromServer, ReplyKind, RequestKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fakes::Running;

/// A client of subprotocol `anser.v1.json`; its mask is zero, so that what it sends can be read.
pub(crate) struct JsonClient {
    stream: TcpStream,
}

impl JsonClient {
    pub(crate) async fn login(running: &Running, user: &str) -> Self {
        let mut stream = TcpStream::connect(running.proxy.ws_address()).await.unwrap();
        let handshake = "GET /sub HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                         Sec-WebSocket-Protocol: anser.v1.json\r\n\r\n";
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"));
        let mut client = Self { stream };
        let auth = Auth { user: user.to_owned(), inbox_seq: Some(0), ..Auth::default() };
        assert!(matches!(client.ask(RequestKind::Auth(auth)).await, ReplyKind::Auth(_)));
        client
    }

    /// Asks, and passes over what is pushed until the answer is there.
    pub(crate) async fn ask(&mut self, request: RequestKind) -> ReplyKind {
        let text = codec::encode_request_json(7, request);
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
        loop {
            if let FromServer::Reply(7, reply) = codec::decode_server_json(&self.next_text().await).unwrap() {
                return reply;
            }
        }
    }

    pub(crate) async fn next_push(&mut self) -> Event {
        loop {
            if let FromServer::Push(event) = codec::decode_server_json(&self.next_text().await).unwrap() {
                return event;
            }
        }
    }

    pub(crate) async fn next_text(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(10), self.read_text()).await.unwrap()
    }

    async fn read_text(&mut self) -> String {
        assert_eq!(self.stream.read_u8().await.unwrap(), 0x81, "a whole text");
        let length_bytes = match self.stream.read_u8().await.unwrap() {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap() as usize,
            small => usize::from(small),
        };
        let mut text = vec![0; length_bytes];
        self.stream.read_exact(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }
}
