//! goim's change of room (operation 12): one room for each connection; an empty body leaves it.

use bytes::Bytes;
use protocol::frame::Frame;
use protocol::operation;
use protocol::{Identifier, RoomId};

use super::failure;
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// Answers with the body echoed when the next push to the room reaches the connection. As with goim, a key
/// that is not valid is echoed too, and the connection is in no room.
pub(super) fn change(shard: &mut Shard, place: ConnectionRef, frame: &Frame<'_>) {
    let header = frame.header.reply(operation::CHANGE_ROOM_REPLY);
    let room = std::str::from_utf8(frame.body).ok().and_then(|key| RoomId::new(key).ok());
    if room.as_ref().is_some_and(|room| shard.is_member(place, room)) {
        return shard.reply_frame(place, header, frame.body);
    }
    shard.leave_all_rooms(place);
    let Some(room) = room else {
        return shard.reply_frame(place, header, frame.body);
    };
    let echo = Bytes::copy_from_slice(frame.body);
    shard.raise_barrier(place);
    shard.enter_rooms(place, &[room], move |shard, outcome| {
        if let Err(error) = outcome {
            let _ = failure(&error);
        }
        shard.reply_frame(place, header, &echo);
        shard.lift_barrier(place);
    });
}
