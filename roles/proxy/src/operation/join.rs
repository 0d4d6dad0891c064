//! Join: several rooms at once.

use protocol::client::{Join, JoinReply};
use protocol::codec::ReplyKind;
use protocol::limits;

use super::{ReplyTo, failure, room_ids, too_many_rooms};
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// Answers when the next push to each of the rooms reaches the connection.
pub(super) fn join(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, join: &Join) {
    let rooms = match room_ids(&join.rooms) {
        Ok(rooms) => rooms,
        Err(error) => return shard.reply(place, to, ReplyKind::Error(error)),
    };
    let session = shard.connection(place).and_then(|connection| connection.session.as_ref());
    let joined_count = session.map_or(0, |session| session.rooms.len());
    let new_count = rooms.iter().filter(|room| !shard.is_member(place, room)).count();
    if joined_count + new_count > limits::ROOMS_PER_CONNECTION_MAX {
        return shard.reply(place, to, ReplyKind::Error(too_many_rooms(joined_count + new_count)));
    }
    shard.raise_barrier(place);
    shard.enter_rooms(place, &rooms, move |shard, outcome| {
        let reply = match outcome {
            Ok(()) => ReplyKind::Join(JoinReply {}),
            Err(error) => ReplyKind::Error(failure(&error)),
        };
        shard.reply(place, to, reply);
        shard.lift_barrier(place);
    });
}
