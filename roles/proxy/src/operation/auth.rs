//! Anser's auth: the first request of a connection.

use std::time::Instant;

use contracts::auth::{Credentials, Wire};
use protocol::client::{Auth, AuthReply, Error};
use protocol::code::{CloseCode, Code};
use protocol::codec::ReplyKind;
use protocol::{DeviceId, Identifier, UserId, limits};

use super::session::{self, Greeting};
use super::{ReplyTo, failure, room_ids, wire_of};
use crate::connection::{ConnectionRef, Phase};
use crate::shard::Shard;

/// The device of a client that names none.
const DEVICE_DEFAULT: &str = "default";

pub(super) fn begin(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, auth: Auth, now: Instant) {
    if auth.token.len() > limits::TOKEN_BYTES_MAX {
        let (length, most) = (auth.token.len(), limits::TOKEN_BYTES_MAX);
        let message = format!("token has {length} bytes: at most {most} are allowed");
        wire_of(shard, place, Wire::Anser);
        shard.refuse(place, to, Code::TokenInvalid, message);
        return shard.close(place, CloseCode::TokenRejected, now);
    }
    let greeting = match greeting(auth) {
        Ok(greeting) => greeting,
        Err(error) => return shard.reply(place, to, ReplyKind::Error(error)),
    };
    wire_of(shard, place, Wire::Anser);
    let heartbeat_ms = shard.hub.config.chat_heartbeat.as_millis() as u64;
    session::begin(shard, place, greeting, move |shard, outcome| match outcome {
        Ok(welcome) => {
            let reply = AuthReply {
                user: welcome.connected.user.map_or_else(String::new, |user| user.to_string()),
                connection: welcome.connected.key,
                server: shard.hub.server.to_string(),
                inbox_top: welcome.resumed.inbox_top,
                acked_up_to: welcome.resumed.acked_up_to,
                heartbeat_ms,
                groups: welcome.resumed.groups,
                groups_next: welcome.resumed.groups_next,
            };
            shard.reply(place, to, ReplyKind::Auth(reply));
            shard.lift_barrier(place);
            shard.catch_up(place);
        }
        Err(error) => {
            shard.reply(place, to, ReplyKind::Error(failure(&error)));
            let code = if error.retryable() { CloseCode::Internal } else { CloseCode::TokenRejected };
            if let Some(connection) = shard.connection_mut(place)
                && connection.phase == Phase::Authenticating
            {
                shard.close(place, code, Instant::now());
            }
        }
    });
}

fn greeting(auth: Auth) -> Result<Greeting, Error> {
    let invalid = |message: String| Code::InvalidArgument.with(message);
    if auth.platform.len() > limits::PLATFORM_BYTES_MAX {
        let (length, most) = (auth.platform.len(), limits::PLATFORM_BYTES_MAX);
        return Err(invalid(format!("platform has {length} bytes: at most {most} are allowed")));
    }
    if auth.accepts.len() > limits::ACCEPTS_MAX {
        let (count, most) = (auth.accepts.len(), limits::ACCEPTS_MAX);
        return Err(invalid(format!("accepts names {count} operations: at most {most} are allowed")));
    }
    let claimed = match auth.user.as_str() {
        "" => None,
        user => Some(UserId::new(user).map_err(|error| invalid(error.to_string()))?),
    };
    let device = if auth.device.is_empty() { DEVICE_DEFAULT } else { &auth.device };
    let device = DeviceId::new(device).map_err(|error| invalid(error.to_string()))?;
    Ok(Greeting {
        credentials: Credentials { wire: Wire::Anser, token: auth.token, claimed },
        device,
        key: String::new(),
        platform: auth.platform,
        rooms: room_ids(&auth.rooms)?,
        accepts: (!auth.accepts.is_empty()).then(|| auth.accepts.into()),
        held_up_to: auth.inbox_seq,
        goim: false,
    })
}
