//! WebSocket with one of Anser's subprotocols: JSON texts, or one goim frame a binary message.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use protocol::codec::{
    Encoding, FromServer, RequestKind, decode_server_frame, decode_server_json, encode_request_frame,
    encode_request_json,
};
use protocol::frame;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{FRAME_BYTES_MAX, READ_BYTES};
use crate::Error;

pub(crate) struct WebSocketLink {
    stream: WebSocketStream<TcpStream>,
    encoding: Encoding,
    waiting: VecDeque<Message>,
}

impl WebSocketLink {
    pub(super) async fn open(
        url: &str,
        encoding: Encoding,
        stream: TcpStream,
        failed: impl Fn(String) -> Error,
    ) -> Result<Self, Error> {
        let mut request = url.into_client_request().map_err(|error| failed(error.to_string()))?;
        let subprotocol = match encoding {
            Encoding::Json => "anser.v1.json",
            Encoding::Protobuf => "anser.v1.pb",
        };
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(subprotocol));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _)) => Ok(Self { stream, encoding, waiting: VecDeque::new() }),
            Err(tungstenite::Error::Http(response)) => {
                Err(handshake_refused(response.status().as_u16(), url))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    pub(super) fn queue(&mut self, seq: i32, request: RequestKind) {
        self.waiting.push_back(match self.encoding {
            Encoding::Json => Message::text(encode_request_json(u64::from(seq.cast_unsigned()), request)),
            Encoding::Protobuf => Message::binary(encode_request_frame(seq, &request)),
        });
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.waiting.is_empty() {
            ready!(stream.as_mut().poll_ready(context)).map_err(|error| lost(&error))?;
            if let Some(message) = self.waiting.pop_front() {
                stream.as_mut().start_send(message).map_err(|error| lost(&error))?;
            }
        }
        stream.poll_flush(context).map_err(|error| lost(&error))
    }

    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<FromServer, Error>> {
        loop {
            let message = match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(lost(&error))),
                None => return Poll::Ready(Err(Error::Lost("the server closed it".to_owned()))),
            };
            let item = match message {
                Message::Text(text) => {
                    decode_server_json(&text).map_err(|error| Error::Protocol(error.to_string()))
                }
                Message::Binary(bytes) => frame::decode_message(&bytes, FRAME_BYTES_MAX)
                    .map_err(|error| Error::Protocol(error.to_string()))
                    .and_then(|frame| decode_server_frame(&frame).map_err(Error::Protocol)),
                Message::Close(Some(close)) => {
                    Err(Error::closed(close.code.into(), close.reason.as_str().to_owned()))
                }
                Message::Close(None) => Err(Error::Lost("the server closed it without a code".to_owned())),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            return Poll::Ready(item);
        }
    }

    pub(super) async fn close(&mut self) {
        // A connection that is being left may be broken already.
        let _ = self.stream.close(None).await;
    }
}

/// A refusal of the handshake is final where its status says that the request itself is wrong.
fn handshake_refused(status: u16, url: &str) -> Error {
    let retryable = status >= 500 || matches!(status, 408 | 429);
    Error::Refused(protocol::client::Error {
        code: "handshake_refused".to_owned(),
        number: u32::from(status) * 100,
        message: format!("{url} answered the WebSocket handshake with HTTP status {status}"),
        retryable,
    })
}

fn lost(error: &tungstenite::Error) -> Error {
    use tungstenite::error::ProtocolError;
    match error {
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Error::Lost("the server was gone without a word".to_owned())
        }
        error => Error::Lost(error.to_string()),
    }
}
