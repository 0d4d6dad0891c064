//! The sockets under a connection: one client protocol a file.
//!
//! A link is polled from one task. Reading and writing go on at the same time, so that a server that waits
//! for its replies to be read is never waited for in turn.

mod tcp;
mod websocket;

use std::task::{Context, Poll};

use protocol::codec::{FromServer, RequestKind};
use tokio::net::TcpStream;

use crate::Error;
use crate::endpoint::{Endpoint, Kind};

/// Bytes of one frame from the server: a page of sync with 500 messages of the largest size fits.
const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What is read from a socket at once; many connections in one process stay small.
const READ_BYTES: usize = 8 * 1024;

pub(crate) enum Link {
    Tcp(tcp::TcpLink),
    WebSocket(Box<websocket::WebSocketLink>),
}

impl Link {
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let failed = |reason: String| Error::Connect { address: endpoint.address(), reason };
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|error| failed(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        match &endpoint.kind {
            Kind::Tcp => Ok(Self::Tcp(tcp::TcpLink::new(stream))),
            Kind::WebSocket { url, encoding } => {
                let link = websocket::WebSocketLink::open(url, *encoding, stream, failed).await?;
                Ok(Self::WebSocket(Box::new(link)))
            }
        }
    }

    /// Takes a request to be written by [`Self::poll_flush`].
    pub(crate) fn queue(&mut self, seq: i32, request: RequestKind) {
        match self {
            Self::Tcp(link) => link.queue(seq, &request),
            Self::WebSocket(link) => link.queue(seq, request),
        }
    }

    /// Ready when everything queued was given to the system.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self {
            Self::Tcp(link) => link.poll_flush(context),
            Self::WebSocket(link) => link.poll_flush(context),
        }
    }

    /// Ready with the next thing that the server says.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<FromServer, Error>> {
        match self {
            Self::Tcp(link) => link.poll_read(context),
            Self::WebSocket(link) => link.poll_read(context),
        }
    }

    /// Says goodbye, where the protocol has a word for it.
    pub(crate) async fn close(&mut self) {
        match self {
            Self::Tcp(link) => link.close().await,
            Self::WebSocket(link) => link.close().await,
        }
    }
}
