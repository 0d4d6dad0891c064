//! Leave: several rooms at once; one that the connection is not in is skipped.

use protocol::client::{Leave, LeaveReply};
use protocol::codec::ReplyKind;

use super::{ReplyTo, room_ids};
use crate::connection::ConnectionRef;
use crate::shard::Shard;

pub(super) fn leave(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, leave: &Leave) {
    let rooms = match room_ids(&leave.rooms) {
        Ok(rooms) => rooms,
        Err(error) => return shard.reply(place, to, ReplyKind::Error(error)),
    };
    for room in &rooms {
        shard.leave_room(place, room);
    }
    shard.reply(place, to, ReplyKind::Leave(LeaveReply {}));
}
