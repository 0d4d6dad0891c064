//! The goim frame over TCP: frames back to back, Anser's operations, protobuf bodies.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use protocol::codec::{FromServer, RequestKind, decode_server_frame, encode_request_frame};
use protocol::frame;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{FRAME_BYTES_MAX, READ_BYTES};
use crate::Error;

pub(crate) struct TcpLink {
    stream: TcpStream,
    read: BytesMut,
    write: BytesMut,
}

impl TcpLink {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, read: BytesMut::new(), write: BytesMut::new() }
    }

    pub(super) fn queue(&mut self, seq: i32, request: &RequestKind) {
        self.write.extend_from_slice(&encode_request_frame(seq, request));
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.write.has_remaining() {
            ready!(self.stream.poll_write_ready(context)).map_err(|error| lost(&error))?;
            match self.stream.try_write(&self.write) {
                Ok(written_bytes) => self.write.advance(written_bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(lost(&error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<FromServer, Error>> {
        loop {
            if let Some(item) = self.decode()? {
                return Poll::Ready(Ok(item));
            }
            ready!(self.stream.poll_read_ready(context)).map_err(|error| lost(&error))?;
            self.read.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.read) {
                Ok(0) => return Poll::Ready(Err(Error::Lost("the server closed it".to_owned()))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(lost(&error))),
            }
        }
    }

    fn decode(&mut self) -> Result<Option<FromServer>, Error> {
        let frame =
            frame::decode(&self.read, FRAME_BYTES_MAX).map_err(|error| Error::Protocol(error.to_string()))?;
        let Some(frame) = frame else { return Ok(None) };
        let item = decode_server_frame(&frame).map_err(Error::Protocol)?;
        let length_bytes = frame.length_bytes();
        self.read.advance(length_bytes);
        Ok(Some(item))
    }

    pub(super) async fn close(&mut self) {
        // A connection that is being left may be broken already.
        let _ = self.stream.shutdown().await;
    }
}

fn lost(error: &io::Error) -> Error {
    Error::Lost(error.to_string())
}
