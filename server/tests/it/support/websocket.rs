//! A WebSocket client whose frames are written by hand: masked or not, cut in pieces, wrong where asked.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http::{Response, read_response};
use super::within;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The example of RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x12, 0xab, 0x00, 0xfe];

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// A connection past its handshake.
pub(crate) struct WebSocket {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    /// The subprotocol that the server chose.
    pub(crate) subprotocol: Option<String>,
}

impl WebSocket {
    /// Connects to `/sub`, offering a subprotocol.
    pub(crate) async fn connect(address: SocketAddr, subprotocol: Option<&str>) -> Self {
        Self::try_connect(address, subprotocol).await.expect("somebody who listens and answers")
    }

    /// As [`Self::connect`]; `None` where nobody listens, or the connection ended before it was answered.
    pub(crate) async fn try_connect(address: SocketAddr, subprotocol: Option<&str>) -> Option<Self> {
        let offered: Vec<(&str, &str)> =
            subprotocol.into_iter().map(|name| ("Sec-WebSocket-Protocol", name)).collect();
        match Self::try_handshake(address, "/sub", &offered).await? {
            Ok(socket) => Some(socket),
            Err(response) => panic!("the handshake was refused: {response:?}"),
        }
    }

    /// Connects to any target with any further headers; the answer where it was refused.
    pub(crate) async fn handshake(
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        Self::try_handshake(address, target, headers).await.expect("an answer to the handshake")
    }

    async fn try_handshake(
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Option<Result<Self, Response>> {
        let mut head = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        within("the WebSocket handshake", async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            stream.write_all(head.as_bytes()).await.ok()?;
            let response = read_response(&mut stream).await?;
            if response.status != 101 {
                return Some(Err(response));
            }
            assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
            let subprotocol = response.header("sec-websocket-protocol").map(str::to_owned);
            Some(Ok(Self { stream, buffer: response.body, subprotocol }))
        })
        .await
    }

    /// Sends one whole message.
    pub(crate) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_bytes(&frame(0x80 | opcode, payload, true)).await;
    }

    /// Sends bytes as they are. A server that has closed already is seen by the next read.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame that is no ping; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        within("a WebSocket frame", async {
            loop {
                let frame = self.read_frame().await?;
                if frame.opcode != PING {
                    return Some(frame);
                }
                self.send(PONG, &frame.payload).await;
            }
        })
        .await
    }

    /// Reads to the end and gives the close code, if the server said one.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.opcode == CLOSE {
                code = frame.payload.get(..2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
                self.send(CLOSE, &frame.payload).await;
            }
        }
        code
    }

    async fn read_frame(&mut self) -> Option<Received> {
        loop {
            if let Some((received, length_bytes)) = parse(&self.buffer) {
                self.buffer.drain(..length_bytes);
                return Some(received);
            }
            // A connection that was reset has ended, too.
            self.stream.read_buf(&mut self.buffer).await.ok().filter(|count| *count > 0)?;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server does not mask");
    assert_eq!(first & 0xf0, 0x80, "the server sends whole frames without reserved bits");
    let (length, start) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
        length => (u64::from(length), 2),
    };
    let end = start + usize::try_from(length).unwrap();
    let payload = bytes.get(start..end)?.to_vec();
    Some((Received { opcode: first & 0x0f, payload }, end))
}

/// A client's frame; `first` is FIN, the reserved bits and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64, masked);
    if masked {
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// The head of a client's frame up to its mask, which may claim any length.
pub(crate) fn head(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    match length {
        0..=125 => vec![first, mask | length as u8],
        126..=0xffff => [&[first, mask | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &length.to_be_bytes()].concat(),
    }
}
