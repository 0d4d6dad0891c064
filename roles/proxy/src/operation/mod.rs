//! What a client asks for: one request a file, and one file for all that im answers.
//!
//! A request that takes time is worked on beside others of the same connection and answered by its seq; auth
//! and what changes rooms or reads pages is a *barrier*: what comes behind it waits, so that it finds the
//! change done.

mod ack;
mod ask;
mod auth;
mod change_room;
mod goim_auth;
mod heartbeat;
mod join;
mod leave;
mod send;
mod session;
mod subscribe;
mod sync;
mod unwatch;
mod watch;

use std::future::Future;
use std::time::Instant;

use contracts::auth::Wire;
use protocol::client::Error;
use protocol::code::{CloseCode, Code};
use protocol::codec::{self, ReplyKind, RequestKind};
use protocol::frame::{Frame, Header};
use protocol::operation;
use protocol::{Identifier, RoomId, limits};

use crate::connection::{ConnectionRef, Phase};
use crate::send_queue::Class;
use crate::shard::Shard;

/// How a request is to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReplyTo {
    /// In JSON, under this seq.
    Json(u64),
    /// In a frame that echoes version and sequence.
    Frame(Header),
}

/// Works on a JSON request.
pub(crate) fn json(shard: &mut Shard, place: ConnectionRef, text: &str, now: Instant) {
    match codec::decode_json(text) {
        Ok((seq, request)) => anser(shard, place, ReplyTo::Json(seq), request, now),
        Err(error) => shard.reply(place, ReplyTo::Json(error.seq), ReplyKind::Error(error.error)),
    }
}

/// Works on a frame: a request of Anser's, or an operation of goim's.
pub(crate) fn frame(shard: &mut Shard, place: ConnectionRef, frame: &Frame<'_>, now: Instant) {
    let header = frame.header;
    if operation::is_anser(header.operation) {
        return match codec::decode_frame(frame) {
            Ok(request) => anser(shard, place, ReplyTo::Frame(header), request, now),
            Err(error) => shard.reply(place, ReplyTo::Frame(header), ReplyKind::Error(error.error)),
        };
    }
    let per_second_max = shard.hub.config.requests_per_second_max;
    let Some(connection) = shard.connection_mut(place) else { return };
    if !connection.may_ask(now, per_second_max) {
        // This wire has no word for "later".
        return shard.close(place, CloseCode::RateLimited, now);
    }
    let open = connection.phase == Phase::Open;
    match header.operation {
        operation::GOIM_AUTH if !open => goim_auth::begin(shard, place, frame, now),
        _ if !open => {}
        operation::HEARTBEAT => heartbeat::goim(shard, place, header, now),
        operation::CHANGE_ROOM => change_room::change(shard, place, frame),
        operation::SUBSCRIBE => subscribe::subscribe(shard, place, frame),
        operation::UNSUBSCRIBE => subscribe::unsubscribe(shard, place, frame),
        unknown => shard.reply_frame(place, header.reply(unknown), &[]),
    }
}

fn anser(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, request: RequestKind, now: Instant) {
    let per_second_max = shard.hub.config.requests_per_second_max;
    let idle_time_limit = shard.hub.config.idle_time_limit;
    let Some(connection) = shard.connection_mut(place) else { return };
    if !connection.may_ask(now, per_second_max) {
        let message = format!("more than {per_second_max} requests a second: wait and try again");
        return shard.refuse(place, to, Code::RateLimited, message);
    }
    let open = connection.phase == Phase::Open;
    if open {
        connection.heard_by = now + idle_time_limit;
    }
    match (request, open) {
        (RequestKind::Auth(auth), false) => auth::begin(shard, place, to, auth, now),
        (RequestKind::Auth(_), true) => {
            shard.refuse(place, to, Code::AuthOrder, "auth was said already on this connection");
        }
        (_, false) => shard.refuse(place, to, Code::AuthOrder, "the first request must be auth"),
        (RequestKind::Heartbeat(_), true) => heartbeat::anser(shard, place, to),
        (RequestKind::Send(send), true) => send::send(shard, place, to, send),
        (RequestKind::Ack(ack), true) => ack::ack(shard, place, to, ack),
        (RequestKind::Sync(sync), true) => sync::sync(shard, place, to, sync),
        (RequestKind::Join(join), true) => join::join(shard, place, to, &join),
        (RequestKind::Leave(leave), true) => leave::leave(shard, place, to, &leave),
        (RequestKind::Watch(watch), true) => watch::watch(shard, place, to, watch),
        (RequestKind::Unwatch(unwatch), true) => unwatch::unwatch(shard, place, to, &unwatch),
        (request, true) => ask::ask(shard, place, to, request),
    }
}

impl Shard {
    /// Answers a request.
    pub(crate) fn reply(&mut self, place: ConnectionRef, to: ReplyTo, reply: ReplyKind) {
        let Some(connection) = self.connection(place) else { return };
        let bytes = match to {
            ReplyTo::Json(seq) => codec::encode_reply_json(seq, reply),
            ReplyTo::Frame(header) => codec::encode_reply_frame(header, &reply),
        };
        let bytes = connection.carrier.carry_frame(bytes);
        self.send(place, bytes, Class::Reply);
    }

    /// Answers an operation of goim's.
    fn reply_frame(&mut self, place: ConnectionRef, header: Header, body: &[u8]) {
        let Some(connection) = self.connection(place) else { return };
        let bytes = connection.carrier.carry_frame(header.frame(body));
        self.send(place, bytes, Class::Reply);
    }

    /// Answers a request with an error; the connection stays.
    fn refuse(&mut self, place: ConnectionRef, to: ReplyTo, code: Code, message: impl Into<String>) {
        self.reply(place, to, ReplyKind::Error(code.with(message)));
    }

    /// Works on a request beside others, and answers it.
    fn answer_later<T: 'static>(
        &mut self,
        place: ConnectionRef,
        to: ReplyTo,
        work: impl Future<Output = contracts::Result<T>> + 'static,
        reply: impl FnOnce(&mut Shard, T) -> ReplyKind + 'static,
    ) {
        let Some(connection) = self.connection_mut(place) else { return };
        connection.in_flight += 1;
        self.later(work, move |shard, outcome| {
            let Some(connection) = shard.connection_mut(place) else { return };
            connection.in_flight -= 1;
            let reply = match outcome {
                Ok(value) => reply(shard, value),
                Err(error) => ReplyKind::Error(failure(&error)),
            };
            shard.reply(place, to, reply);
            shard.send_held(place);
            shard.settle(place, Instant::now());
        });
    }

    fn raise_barrier(&mut self, place: ConnectionRef) {
        if let Some(connection) = self.connection_mut(place) {
            connection.barrier = true;
        }
    }

    fn lift_barrier(&mut self, place: ConnectionRef) {
        if let Some(connection) = self.connection_mut(place) {
            connection.barrier = false;
        }
        self.settle(place, Instant::now());
    }
}

/// What a client is told of a failure; one of ours is logged here.
fn failure(error: &contracts::Error) -> Error {
    if !matches!(error.kind(), contracts::Kind::Refused(_)) {
        tracing::warn!(target: "proxy", ?error, "a request failed");
    }
    error.to_client()
}

/// Checks the rooms that a client names.
fn room_ids(rooms: &[String]) -> Result<Vec<RoomId>, Error> {
    if rooms.len() > limits::ROOMS_PER_CONNECTION_MAX {
        return Err(too_many_rooms(rooms.len()));
    }
    rooms
        .iter()
        .map(|room| RoomId::new(room).map_err(|error| Code::InvalidArgument.with(error.to_string())))
        .collect()
}

fn too_many_rooms(room_count: usize) -> Error {
    let room_count_max = limits::ROOMS_PER_CONNECTION_MAX;
    Code::TooLarge.with(format!("{room_count} rooms: a connection may be in {room_count_max}"))
}

/// The word for a connection whose first auth has not been answered.
fn wire_of(shard: &mut Shard, place: ConnectionRef, wire: Wire) {
    if let Some(connection) = shard.connection_mut(place) {
        connection.wire = Some(wire);
        connection.phase = Phase::Authenticating;
        connection.barrier = true;
    }
}
