//! goim's auth (operation 7): a JSON body, all of it optional.

use std::time::Instant;

use contracts::auth::{Credentials, Wire};
use protocol::code::CloseCode;
use protocol::frame::Frame;
use protocol::operation;
use protocol::{DeviceId, Identifier, RoomId, UserId, limits};
use serde::Deserialize;

use super::session::{self, Greeting};
use super::{failure, wire_of};
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// The device of a goim client that names no key.
const DEVICE_DEFAULT: &str = "goim";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    mid: Option<i64>,
    key: Option<String>,
    room_id: Option<String>,
    platform: Option<String>,
    accepts: Option<Vec<i32>>,
    /// Anser's addition.
    token: Option<String>,
}

pub(super) fn begin(shard: &mut Shard, place: ConnectionRef, frame: &Frame<'_>, now: Instant) {
    wire_of(shard, place, Wire::Goim);
    let Some(greeting) = greeting(frame.body) else {
        return shard.close(place, CloseCode::ProtocolError, now);
    };
    let header = frame.header;
    session::begin(shard, place, greeting, move |shard, outcome| match outcome {
        Ok(_) => {
            shard.reply_frame(place, header.reply(operation::GOIM_AUTH_REPLY), &[]);
            shard.lift_barrier(place);
            shard.catch_up(place);
        }
        Err(error) => {
            let _ = failure(&error);
            let code = if error.retryable() { CloseCode::Internal } else { CloseCode::TokenRejected };
            shard.close(place, code, Instant::now());
        }
    });
}

fn greeting(body: &[u8]) -> Option<Greeting> {
    // serde would take a list for an object of that many fields.
    let body: Body =
        serde_json::from_slice(body).ok().filter(|_| body.trim_ascii_start().starts_with(b"{"))?;
    let key = body.key.unwrap_or_default();
    let device = if key.is_empty() { DEVICE_DEFAULT } else { &key };
    let device = DeviceId::new(device).ok()?;
    let room = body.room_id.filter(|room| !room.is_empty());
    let rooms = room.map(|room| RoomId::new(&room)).transpose().ok()?.into_iter().collect();
    let accepts = body.accepts.unwrap_or_default();
    let platform = body.platform.unwrap_or_default();
    let token = body.token.unwrap_or_default();
    if accepts.len() > limits::ACCEPTS_MAX
        || platform.len() > limits::PLATFORM_BYTES_MAX
        || token.len() > limits::TOKEN_BYTES_MAX
    {
        return None;
    }
    let claimed = UserId::from_mid(body.mid.unwrap_or(0));
    Some(Greeting {
        credentials: Credentials { wire: Wire::Goim, token, claimed },
        device,
        key,
        platform,
        rooms,
        accepts: Some(accepts.into()),
        held_up_to: None,
        goim: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_body_is_optional() {
        let empty = greeting(b"{}").unwrap();
        assert_eq!((empty.device.as_str(), empty.key.as_str()), ("goim", ""));
        assert!(empty.credentials.claimed.is_none());
        assert_eq!(empty.accepts.as_deref(), Some(&[][..]));
        let body = br#"{"mid":42,"key":"k1","room_id":"live://1000","platform":"web","accepts":[1000,1001]}"#;
        let full = greeting(body).unwrap();
        assert_eq!(full.credentials.claimed, Some(UserId::new("42").unwrap()));
        assert_eq!((full.device.as_str(), full.rooms[0].as_str()), ("k1", "live://1000"));
        assert!(greeting(br#"{"mid":1,"key":null,"accepts":null}"#).is_some());
    }

    #[test]
    fn what_is_not_goims_json_is_refused() {
        assert!(greeting(b"").is_none());
        assert!(greeting(b"[]").is_none());
        assert!(greeting(br#"{"mid":"42"}"#).is_none());
        assert!(greeting(&[0xff; 10]).is_none());
    }
}
