//! From bytes to frames: every connection in its turn, so that one that sends much delays nobody.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use protocol::code::CloseCode;
use protocol::frame;

use super::Shard;
use crate::connection::{Connection, ConnectionRef, Phase};
use crate::operation;
use crate::send_queue::Class;
use crate::transport::websocket::{self, Fault, Step};
use crate::transport::{Carrier, tcp};

/// Frames of one connection that are worked on before others have their turn.
const FRAMES_A_TURN: usize = 64;

/// What comes after the bytes at hand.
enum Next {
    /// They are used up, or the rest is not a whole frame.
    More,
    /// Something must be waited for first, or others have their turn.
    Later,
    /// The connection ends.
    End,
}

impl Shard {
    /// Tells whether there is work that no event will announce.
    pub(super) fn is_busy(&self) -> bool {
        !self.listed.is_empty() || !self.dirty.is_empty()
    }

    /// The connection is looked at in this turn or the next.
    pub(crate) fn list(&mut self, place: ConnectionRef) {
        if let Some(connection) = self.connection_mut(place)
            && !connection.listed
        {
            connection.listed = true;
            self.listed.push_back(place);
        }
    }

    pub(super) fn read_listed(&mut self, now: Instant) {
        for _ in 0..self.listed.len() {
            let Some(place) = self.listed.pop_front() else { return };
            if let Some(connection) = self.connection_mut(place) {
                connection.listed = false;
                self.read(place, now);
            }
        }
    }

    /// Works on what is there, then reads once.
    fn read(&mut self, place: ConnectionRef, now: Instant) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        self.read_with(place, &mut buffer, now);
        self.read_buffer = buffer;
    }

    fn read_with(&mut self, place: ConnectionRef, buffer: &mut [u8], now: Instant) {
        let queue_bytes_max = self.hub.config.send_queue_bytes_max;
        let Some(connection) = self.connection_mut(place) else { return };
        if connection.phase == Phase::Closing {
            return self.discard(place, buffer);
        }
        if !connection.may_work(queue_bytes_max) {
            connection.stalled = true;
            return;
        }
        if !connection.input.is_empty() {
            let mut input = std::mem::take(&mut connection.input);
            if !self.work(place, &mut input, now) {
                return;
            }
            let Some(connection) = self.connection_mut(place) else { return };
            if connection.listed {
                return;
            }
        }
        let Some(connection) = self.connection_mut(place) else { return };
        match connection.stream.read(buffer) {
            Ok(0) => self.ended(place, now),
            Ok(read_bytes) => {
                // A short read has emptied the socket, and what comes later makes an event of its own; but the
                // end of the stream may have come with the event that is being worked on.
                let again = read_bytes == buffer.len() || connection.hung_up;
                if connection.input.is_empty() {
                    self.work(place, &mut buffer[..read_bytes], now);
                } else {
                    let mut input = std::mem::take(&mut connection.input);
                    input.extend_from_slice(&buffer[..read_bytes]);
                    self.work(place, &mut input, now);
                }
                if again {
                    self.list(place);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.list(place),
            Err(_) => self.drop_connection(place),
        }
    }

    /// Works through the bytes, keeping what is left over. Answers false where the connection is to be left
    /// alone for this turn.
    fn work(&mut self, place: ConnectionRef, bytes: &mut [u8], now: Instant) -> bool {
        let mut used_bytes = 0;
        for _ in 0..FRAMES_A_TURN {
            match self.step(place, &mut bytes[used_bytes..], &mut used_bytes, now) {
                Some(Next::More) => return self.keep(place, &bytes[used_bytes..]),
                Some(Next::Later) => {
                    self.keep(place, &bytes[used_bytes..]);
                    if let Some(connection) = self.connection_mut(place) {
                        connection.stalled = true;
                    }
                    return false;
                }
                Some(Next::End) => return false,
                None => {}
            }
        }
        self.keep(place, &bytes[used_bytes..]);
        self.list(place);
        false
    }

    fn keep(&mut self, place: ConnectionRef, rest: &[u8]) -> bool {
        let Some(connection) = self.connection_mut(place) else { return false };
        if connection.phase == Phase::Closing {
            return false;
        }
        // An idle connection keeps no buffer.
        connection.input = rest.to_vec();
        true
    }

    /// Works on one frame; `None` where the next may follow.
    fn step(
        &mut self,
        place: ConnectionRef,
        bytes: &mut [u8],
        used_bytes: &mut usize,
        now: Instant,
    ) -> Option<Next> {
        let body_bytes_max = self.hub.config.frame_body_bytes_max;
        let queue_bytes_max = self.hub.config.send_queue_bytes_max;
        let Some(connection) = self.connection_mut(place) else { return Some(Next::End) };
        if connection.phase == Phase::Closing {
            return Some(Next::End);
        }
        if !connection.may_work(queue_bytes_max) {
            return Some(Next::Later);
        }
        if bytes.is_empty() {
            return Some(Next::More);
        }
        if connection.carrier == Carrier::Tcp {
            return match tcp::decode(bytes, body_bytes_max) {
                Ok(None) => Some(Next::More),
                Ok(Some(frame)) => {
                    *used_bytes += frame.length_bytes();
                    operation::frame(self, place, &frame, now);
                    None
                }
                Err(code) => {
                    self.close(place, code, now);
                    Some(Next::End)
                }
            };
        }
        let message_bytes_max = match connection.carrier {
            Carrier::WebSocketJson => body_bytes_max,
            _ => body_bytes_max + frame::HEADER_BYTES,
        };
        let Connection { fragments, .. } = connection;
        match websocket::decode(fragments, bytes, message_bytes_max) {
            Ok(Step::More) => return Some(Next::More),
            Ok(Step::Part { length_bytes } | Step::Pong { length_bytes }) => *used_bytes += length_bytes,
            Ok(Step::Message { length_bytes, text, payload }) => {
                *used_bytes += length_bytes;
                self.message(place, text, payload, now);
            }
            Ok(Step::Joined { length_bytes, text, payload }) => {
                *used_bytes += length_bytes;
                self.message(place, text, &payload, now);
            }
            Ok(Step::Ping { length_bytes, payload }) => {
                *used_bytes += length_bytes;
                let pong = websocket::wrap(websocket::Opcode::Pong, payload);
                self.send(place, pong, Class::Reply);
            }
            Ok(Step::Close { code }) => {
                let echo = code.map_or_else(
                    || websocket::wrap(websocket::Opcode::Close, &[]),
                    |code| websocket::close(code, ""),
                );
                self.finish(place, Some(echo), now);
                return Some(Next::End);
            }
            Err(fault) => {
                self.fail_websocket(place, fault, now);
                return Some(Next::End);
            }
        }
        None
    }

    fn fail_websocket(&mut self, place: ConnectionRef, fault: Fault, now: Instant) {
        match fault {
            Fault::TooBig => self.hub.metrics.closed(CloseCode::FrameTooBig),
            Fault::Protocol(_) | Fault::NotUtf8 => self.hub.metrics.closed(CloseCode::ProtocolError),
        }
        self.finish(place, Some(fault.close_frame()), now);
    }

    fn message(&mut self, place: ConnectionRef, text: bool, payload: &[u8], now: Instant) {
        let Some(connection) = self.connection(place) else { return };
        if connection.carrier == Carrier::WebSocketJson {
            return match (text, std::str::from_utf8(payload)) {
                (true, Ok(json)) => operation::json(self, place, json, now),
                _ => self.close(place, CloseCode::ProtocolError, now),
            };
        }
        match frame::decode_message(payload, self.hub.config.frame_body_bytes_max) {
            Ok(frame) => operation::frame(self, place, &frame, now),
            Err(error) => self.close(place, tcp::close_code(error), now),
        }
    }

    /// The client has closed its side.
    fn ended(&mut self, place: ConnectionRef, now: Instant) {
        let Some(connection) = self.connection_mut(place) else { return };
        connection.ended = true;
        if !connection.is_settled() {
            // What was asked before is answered; whoever half-closed may still read it.
            return;
        }
        self.finish(place, None, now);
    }

    /// Reads what a closing connection still sends, so that the farewell is not lost to a reset.
    fn discard(&mut self, place: ConnectionRef, buffer: &mut [u8]) {
        let Some(connection) = self.connection_mut(place) else { return };
        match connection.stream.read(buffer) {
            Ok(0) => {
                connection.ended = true;
                if connection.queue.is_none() {
                    self.drop_connection(place);
                }
            }
            Ok(_) => self.list(place),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.list(place),
            Err(_) => self.drop_connection(place),
        }
    }
}
